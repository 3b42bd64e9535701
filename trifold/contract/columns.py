"""Decoded JSON rows to columns: whole columns at once, single values only of a column with something unusual in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trifold.contract.checked import Checked, Extra, Repeated, printable, settle, text
from trifold.contract.readers import EXACT_FLOAT, Invalid, is_text
from trifold.contract.signature import Column, Signature
from trifold.errors import Reject
from trifold.rows import Array, Rows

EXPECTED_LENGTH = 500
MISSING = object()
NONE = type(None)


def check_columns(signature: Signature, rows: Sequence[Any], extra: Extra) -> Checked:
    """See `Contract.check_rows`."""
    matrix = _doubles_at_once(signature, rows, extra)
    if matrix is not None:
        return Checked(Rows(matrix=matrix), np.arange(len(rows)), ())
    found: list[tuple[int, int, Reject]] = []
    try:
        taken = _transpose(signature, rows, extra)
    except (KeyError, TypeError):
        taken, found = _transpose_with_care(signature, rows, extra)
    unread = {row for row, _, reject in found if reject.rule == "row"}
    arrays = []
    for position, (column, values) in enumerate(zip(signature.columns, taken, strict=True)):
        array = _vector(column, values)
        if array is None:
            array, refused = read_values(column, values)
            for row in refused.keys() - unread:
                rule, expected = refused[row].rule, refused[row].expected
                got = "nothing" if values[row] is MISSING else text(values[row])
                found.append((row, position, Reject(row, column.name, rule, expected, got)))
        arrays.append(array)
    return settle(signature, arrays, found, len(rows))


def _doubles_at_once(signature: Signature, rows: Sequence[Any], extra: Extra) -> Array | None:
    """The commonest case on the hot path, columns of doubles only, as one matrix; None: look closer."""
    columns = signature.columns
    if not (signature.named and rows and signature.all_doubles) or set(map(type, rows)) != {dict}:
        return None
    if extra == "refuse" and set(map(len, rows)) != {len(columns)}:
        return None
    try:
        flat = [row[name] for row in rows for name in signature.names]
        if set(map(type, flat)) - {float, int}:
            return None
        matrix = np.array(flat, dtype="float64")
    except (KeyError, OverflowError):
        return None
    return matrix.reshape(len(rows), len(columns)) if np.isfinite(matrix).all() else None


def _transpose(signature: Signature, rows: Sequence[Any], extra: Extra) -> list[list[Any]]:
    """Columns of rows that are all complete; any exception: look again with care."""
    columns = signature.columns
    if not signature.named and len(columns) == 1 and (columns[0].depth or list not in map(type, rows)):
        return [list(rows)]
    if not signature.named:
        if set(map(type, rows)) - {list} or set(map(len, rows)) - {len(columns)}:
            raise TypeError
        return [list(values) for values in zip(*rows, strict=True)] if rows else [[] for _ in columns]
    if set(map(type, rows)) - {dict} or (extra == "refuse" and set(map(len, rows)) - {len(columns)}):
        raise TypeError
    return [[row[column.name] for row in rows] for column in columns]


def _transpose_with_care(
    signature: Signature, rows: Sequence[Any], extra: Extra
) -> tuple[list[list[Any]], list[tuple[int, int, Reject]]]:
    columns = signature.columns
    names = {column.name for column in columns}
    taken: list[list[Any]] = [[MISSING] * len(rows) for _ in columns]
    found: list[tuple[int, int, Reject]] = []
    last, known = len(columns), f"one of {', '.join(column.name for column in columns)}"[:EXPECTED_LENGTH]
    for number, row in enumerate(rows):
        values = _as_object(signature, row)
        if values is None:
            words = "an object of columns" if signature.named else f"a list of {len(columns)} values"
            found.append((number, -1, Reject(number, None, "row", words, text(row))))
            continue
        for position, column in enumerate(columns):
            taken[position][number] = values.get(column.name, MISSING)
        if signature.named and isinstance(row, Repeated):
            for name in row.names:
                reject = Reject(number, printable(name), "duplicate_column", "each column once", "it twice")
                found.append((number, last, reject))
        if extra == "refuse":
            for name in values:
                if name not in names:
                    reject = Reject(number, printable(name), "unknown_column", known, text(values[name]))
                    found.append((number, last, reject))
    return taken, found


def _as_object(signature: Signature, row: Any) -> Mapping[str, Any] | None:
    columns = signature.columns
    if signature.named:
        return row if isinstance(row, dict) else None
    if len(columns) == 1 and (type(row) is not list or columns[0].depth):
        return {columns[0].name: row}
    if type(row) is not list or len(row) != len(columns):
        return None
    return {column.name: value for column, value in zip(columns, row, strict=True)}


def _vector(column: Column, values: list[Any]) -> Array | None:
    """The column in one go if every value is plain; None: look at each."""
    kind = column.kind
    types = set(map(type, values))
    if not column.required:
        types.discard(NONE)
    if column.depth or not types <= kind.plain:
        return None
    dtype = kind.numpy if column.required else kind.optional
    if kind.name == "string" and not is_text(values if column.required else filter(None, values)):
        return None
    if dtype.kind not in "iuf":
        array = np.array(values, dtype=dtype)
        if not column.required and kind.missing is not None:
            array[[value is None for value in values]] = kind.missing
        return array if array.ndim == 1 else None
    try:
        wide = np.array(values, dtype="float64" if dtype.kind == "f" else "int64")
    except OverflowError:
        return None
    missing = 0 if column.required else values.count(None)
    return wide.astype(dtype, copy=False) if within(wide, column, missing) else None


def within(wide: Array, column: Column, missing: int) -> bool:
    """Whether all numbers but the missing ones are finite and keep their value in the column's own type."""
    if wide.dtype.kind == "f":
        finite = wide[np.isfinite(wide)]
        if len(wide) - len(finite) != missing:
            return False
        wide = finite
    if not len(wide):
        return True
    kind = column.kind.numpy
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    low, high = limits.min, limits.max
    if kind.kind in "iu" and not column.required:
        low, high = max(low, 1 - EXACT_FLOAT), min(high, EXACT_FLOAT - 1)
    return bool(low <= wide.min() and wide.max() <= high)


def read_values(column: Column, values: Sequence[Any]) -> tuple[Array, dict[int, Invalid]]:
    """One column's values, each looked at; what is refused is left as missing.

    Returns:
        The array of shape (values,), and why by position.
    """
    kind = column.kind
    read = kind.read if column.required or column.depth else kind.read_optional
    for level in range(column.depth):
        read = _list_of(read, np.dtype(object) if level else kind.numpy)
    array = empty(column, len(values))
    refused = {}
    for position, value in enumerate(values):
        try:
            if value is MISSING:
                if column.required:
                    raise Invalid("missing_column", _expected(column))
            elif value is None:
                if column.required:
                    raise Invalid("missing", _expected(column))
            else:
                array[position] = read(value)
        except Invalid as error:
            refused[position] = error
    return array, refused


def empty(column: Column, count: int) -> Array:
    """An array of `count` missing values; zeros where the type cannot say missing."""
    if column.depth:
        return np.full(count, None, dtype=object)
    if column.required and column.kind.numpy.kind in "biu":
        return np.zeros(count, dtype=column.kind.numpy)
    dtype = column.kind.numpy if column.required else column.kind.optional
    return np.full(count, column.kind.missing, dtype=dtype)


def _expected(column: Column) -> str:
    return (
        f"a list of lists of {column.kind.expected}"
        if column.depth > 1
        else (f"a list, each {column.kind.expected}" if column.depth else column.kind.expected)
    )


def _list_of(read: Callable[[Any], Any], dtype: np.dtype[Any]) -> Callable[[Any], Array]:
    def read_list(value: Any) -> Array:
        if type(value) is not list:
            raise Invalid("type", "a list")
        array = np.empty(len(value), dtype=dtype)
        for position, item in enumerate(value):
            array[position] = read(item)
        return array

    return read_list
