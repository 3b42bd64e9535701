"""The contract's door for Arrow tables: whole columns are cast, single values only looked at when a cast fails."""

import datetime as dt
import decimal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trifold.checked import Checked, Extra, settle, text
from trifold.columns import empty, read_values
from trifold.errors import ColumnsMissing, ColumnsUnknown, Reject, SignatureError
from trifold.rows import Array
from trifold.signature import Column, Signature
from trifold.types import EXACT_FLOAT, Invalid

Found = tuple[int, int, Reject]


def check_table(signature: Signature, table: pa.Table, extra: Extra) -> Checked:
    """See `Contract.check`."""
    if signature.tensor is not None:
        raise SignatureError("The model takes a tensor, a table has columns; log it with a DataFrame as input_example.")
    names = set(table.column_names)
    lacking = [column.name for column in signature.columns if column.required and column.name not in names]
    if lacking:
        raise ColumnsMissing(lacking)
    unknown = names - {column.name for column in signature.columns}
    if unknown and extra == "refuse":
        raise ColumnsUnknown(sorted(unknown))
    arrays, found = [], list[Found]()
    for position, column in enumerate(signature.columns):
        if column.name not in names:
            arrays.append(empty(column, table.num_rows))
            continue
        values = _plain(table.column(column.name))
        array = _cast(column, values)
        if array is None:
            array, refused = read_values(column, [_as_json(value) for value in values.to_pylist()])
            found += _rejects(column, position, refused, values)
        else:
            found += _unfit(column, position, array, values)
        arrays.append(array)
    return settle(signature, arrays, found, table.num_rows)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array, without a dictionary; NaN says missing, as it does in pandas."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


def _cast(column: Column, values: pa.Array) -> Array | None:
    """The column as the model takes it; None if single values must be looked at."""
    kind, source = column.kind, values.type
    if column.depth or not _may_cast(kind.name, source):
        return None
    try:
        if kind.name == "datetime" and pa.types.is_timestamp(source):
            values = values.cast(pa.timestamp("ns", source.tz)).cast(pa.timestamp("ns"))
        else:
            values = values.cast(pa.type_for_alias(kind.arrow))
    except pa.ArrowInvalid:
        return None
    if kind.numpy.kind in "ib" and column.required:
        return np.asarray(values.fill_null(0 if kind.numpy.kind == "i" else False).to_numpy(zero_copy_only=False))
    if kind.numpy.kind == "i" and len(values) and not _exact(values):
        return None
    array = np.asarray(values.to_numpy(zero_copy_only=False))
    dtype = kind.numpy if column.required else kind.optional
    if dtype.kind == "O" and kind.missing is not None and values.null_count:
        array = np.where(values.is_null(), kind.missing, array)
    return array.astype(dtype, copy=False)


def _may_cast(name: str, source: pa.DataType) -> bool:
    """Whether Arrow's cast means what JSON means: no text for numbers, no numbers for booleans."""
    types = pa.types
    if types.is_null(source):
        return True
    number = types.is_integer(source) or types.is_floating(source) or types.is_decimal(source)
    if name in ("integer", "long", "double"):
        return bool(number)
    if name == "float":  # a cast from double overflows to infinity without a word
        return bool(types.is_float32(source) or types.is_float16(source) or types.is_integer(source))
    if name == "string":
        return bool(types.is_string(source) or types.is_large_string(source) or types.is_string_view(source))
    if name == "binary":
        return bool(types.is_binary(source) or types.is_large_binary(source) or types.is_fixed_size_binary(source))
    if name == "datetime":
        return bool(types.is_timestamp(source) or types.is_date(source))
    return bool(types.is_boolean(source))


def _exact(values: pa.Array) -> bool:
    limits = pc.min_max(values)
    least, most = limits["min"].as_py(), limits["max"].as_py()
    return least is None or (least >= -EXACT_FLOAT and most <= EXACT_FLOAT)


def _unfit(column: Column, position: int, array: Array, values: pa.Array) -> Iterator[Found]:
    """Rejects of a column that was cast as a whole: missing where required, or infinite."""
    if column.required and values.null_count:
        for row in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)):
            error = Invalid("missing", column.kind.expected)
            yield _found(column, int(row), position, error, None)
    if array.dtype.kind == "f":
        for row in np.flatnonzero(np.isinf(array)):
            error = Invalid("not_finite", "a finite number, or null where it is missing")
            yield _found(column, int(row), position, error, float(array[row]))


def _rejects(column: Column, position: int, refused: dict[int, Invalid], values: pa.Array) -> Iterator[Found]:
    for row, error in refused.items():
        yield _found(column, row, position, error, _as_json(values[row].as_py()))


def _found(column: Column, row: int, position: int, error: Invalid, value: Any) -> Found:
    return row, position, Reject(row, column.name, error.rule, error.expected, text(value))


def _as_json(value: Any) -> Any:
    """A value that Arrow gave, as JSON would have carried it."""
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value
