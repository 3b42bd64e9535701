"""The contract's door for Arrow tables: whole columns are cast, single values only looked at when a cast fails."""

import decimal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from trifold.contract.checked import Checked, Extra, settle, text
from trifold.contract.columns import empty, read_values, within
from trifold.contract.readers import EXACT_FLOAT, Invalid
from trifold.contract.signature import Column, Signature
from trifold.errors import ColumnsMissing, ColumnsRepeated, ColumnsUnknown, Reject, SignatureError
from trifold.rows import Array

WIDE = {"integer": "int64", "long": "int64", "float": "double", "double": "double"}
"""Through which type of Arrow's a number comes; what is narrower is compared with its limits afterwards."""

Found = tuple[int, int, Reject]


def check_table(signature: Signature, table: pa.Table, extra: Extra) -> Checked:
    """See `Contract.check`."""
    if signature.tensor is not None:
        raise SignatureError("The model takes a tensor, a table has columns; log it with a DataFrame as input_example.")
    counts = Counter(table.column_names)
    _check_names(signature, counts, extra)
    arrays, found = [], list[Found]()
    for position, column in enumerate(signature.columns):
        if column.name not in counts:
            arrays.append(empty(column, table.num_rows))
            continue
        array, refused = _read(column, _plain(table.column(column.name)))
        arrays.append(array)
        for row, error, value in refused:
            found.append((row, position, Reject(row, column.name, error.rule, error.expected, text(value))))
    return settle(signature, arrays, found, table.num_rows)


def _check_names(signature: Signature, counts: Counter[str], extra: Extra) -> None:
    lacking = [column.name for column in signature.columns if column.required and column.name not in counts]
    if lacking:
        raise ColumnsMissing(lacking)
    repeated = [column.name for column in signature.columns if counts[column.name] > 1]
    if repeated:
        raise ColumnsRepeated(repeated)
    unknown = counts.keys() - set(signature.names)
    if unknown and extra == "refuse":
        raise ColumnsUnknown(sorted(unknown))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array without dictionaries, run ends and extensions; NaN says missing, as it does in pandas."""
    chunks = [_unpacked(chunk) for chunk in column.chunks]
    array = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks or [pa.nulls(0)])
    if types.is_float16(array.type):
        array = array.cast(pa.float32())
    if types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


def _unpacked(chunk: pa.Array) -> pa.Array:
    if isinstance(chunk.type, pa.BaseExtensionType):
        return _unpacked(chunk.storage)
    if types.is_dictionary(chunk.type):
        return _unpacked(chunk.dictionary_decode())
    if types.is_run_end_encoded(chunk.type):
        return _unpacked(pc.run_end_decode(chunk))
    return chunk


def _read(column: Column, values: pa.Array) -> tuple[Array, Sequence[tuple[int, Invalid, Any]]]:
    """The column's array; and row, reason and value of what is refused."""
    array = _cast(column, values)
    if array is None:
        came = _as_json(values)
        array, refused = read_values(column, came)
        return array, [(row, error, came[row]) for row, error in refused.items()]
    if not column.required or not values.null_count:
        return array, ()
    missing = Invalid("missing", column.kind.expected)
    return array, [(int(row), missing, None) for row in np.flatnonzero(_nulls(values))]


def _cast(column: Column, values: pa.Array) -> Array | None:
    """The column as the model takes it, with zeros where it cannot say missing; None: look at single values."""
    kind = column.kind
    dtype = kind.numpy if column.required else kind.optional
    if column.depth or kind.single or not _may_cast(column, values.type):
        return None
    try:
        wide = _converted(values, pa.type_for_alias(WIDE.get(kind.name, kind.arrow)))
        if column.required and dtype.kind in "bi":
            wide = wide.fill_null(False if dtype.kind == "b" else 0)
        array = np.asarray(wide.to_numpy(zero_copy_only=False))
    except pa.ArrowException:
        return None
    if kind.name in WIDE and not within(array, column, wide.null_count):
        return None
    if dtype.kind == "M" and np.isnat(array).sum() > wide.null_count:
        return None
    # What Arrow lends is read-only, and some estimators write.
    array = array.astype(dtype, copy=not array.flags.writeable)
    if dtype.kind == "O" and kind.missing is not None and values.null_count:
        array[_nulls(values)] = kind.missing
    return array


def _may_cast(column: Column, source: pa.DataType) -> bool:
    """Whether Arrow's cast means what JSON means: no text for numbers, no numbers for booleans."""
    name = column.kind.name
    if types.is_null(source):
        return True
    if name in WIDE:
        return _is_number(source) or bool(types.is_decimal(source))
    if name == "string":
        return _is_string(source)
    if name == "binary":
        return _is_binary(source)
    if name == "datetime":
        zoned, whole_days = (column.dtype.zone, column.dtype.items == "date") if column.dtype else (None, False)
        dated = bool(types.is_date(source)) and not zoned
        return dated or bool(types.is_timestamp(source) and not whole_days and (source.tz or not zoned))
    return bool(types.is_boolean(source))


def _converted(values: pa.Array, target: pa.DataType) -> pa.Array:
    """The values in another of Arrow's types.

    Raises:
        ArrowInvalid: One of them would change.
    """
    source = values.type
    if types.is_timestamp(source):  # without its zone: the values are UTC already, and no zone need be installed
        return values.cast(pa.timestamp(source.unit)).cast(target)
    if types.is_decimal(source) and types.is_floating(target):
        return values.cast(pa.string()).cast(target)  # the direct cast is wrong in the last bits; text is read exactly
    to_whole = types.is_floating(source) and types.is_integer(target)
    if to_whole and pc.any(pc.greater_equal(pc.abs(values), EXACT_FLOAT)).as_py():
        raise pa.ArrowInvalid("The last digits of a whole number may be lost already.")
    return values.cast(target)


def _as_json(values: pa.Array) -> list[Any]:
    """Values as JSON would have carried them; the type itself for those that JSON has no form for."""
    source = values.type
    if types.is_float16(source):
        return _as_json(values.cast(pa.float32()))
    if _is_number(source) or _is_binary(source) or types.is_boolean(source) or types.is_null(source):
        return list(values.to_pylist())
    if _is_string(source):
        return _strings(values)
    if types.is_decimal(source):
        return [_number(value) for value in values.to_pylist()]
    if types.is_timestamp(source) or types.is_date(source):
        return _times(values)
    if _is_list(source):
        return [_as_json(_unpacked(item.values)) if item.is_valid else None for item in values]
    return [source if valid else None for valid in values.is_valid().to_pylist()]


def _strings(values: pa.Array) -> list[str | bytes | None]:
    """Strings; bytes where a broken file has such as are no UTF-8."""
    try:
        return list(values.to_pylist())
    except UnicodeDecodeError:
        return [_string(raw) for raw in values.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()]


def _string(raw: bytes | None) -> str | bytes | None:
    try:
        return raw and raw.decode()
    except UnicodeDecodeError:
        return raw


def _number(value: decimal.Decimal | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _times(values: pa.Array) -> list[str | None]:
    """Times as text, by numpy: Python has neither their years nor their nanoseconds."""
    source, zone, naive = values.type, "", values
    if types.is_timestamp(source):
        naive, zone = values.cast(pa.timestamp(source.unit)), "Z" if source.tz else ""
    elif types.is_date64(source):  # milliseconds, whole days only by agreement
        naive = values.cast(pa.timestamp("ms"))
    texts = np.datetime_as_string(naive.to_numpy(zero_copy_only=False)).tolist()
    short = [moment.rstrip("0").rstrip(".") if "." in moment else moment for moment in texts]
    return [None if null else moment + zone for moment, null in zip(short, _nulls(values), strict=True)]


def _nulls(values: pa.Array) -> Array:
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


def _is_number(source: pa.DataType) -> bool:
    return bool(types.is_integer(source) or types.is_floating(source))


def _is_string(source: pa.DataType) -> bool:
    return bool(types.is_string(source) or types.is_large_string(source) or types.is_string_view(source))


def _is_binary(source: pa.DataType) -> bool:
    known = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(is_known(source) for is_known in known)


def _is_list(source: pa.DataType) -> bool:
    known = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(is_known(source) for is_known in known)
