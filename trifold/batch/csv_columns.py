"""CSV's cells as Arrow columns: plain ones all at once, others one by one by contract/cells.py, whose grammar it is."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from trifold.contract.cells import BOOLEANS, SPACES, cell_reader, check_values
from trifold.contract.checked import Checked
from trifold.contract.contract import Contract
from trifold.contract.signature import Column
from trifold.rows import Array, Rows

UNREAD = "trifold unread"
"""Column of a JSON list for each row that typed columns do not hold: whether its table has decimal commas, how many
names its first line has, how many cells the row has if they are more, and an object of cells by column."""
KINDS = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
}
"""As which type of Arrow's a column comes; all others as text, which the contract reads."""
PYTHON = {pa.bool_(): bool, pa.int64(): int, pa.float64(): float}
TIDY = {
    ("whole", False): r"^[ \t]*(?:\+|(-))?(\d{1,15})(?:\.0*)?[ \t]*$",
    ("whole", True): r"^[ \t]*(?:\+|(-))?(\d{1,15})(?:,0*)?[ \t]*$",
    ("number", False): r"^[ \t]*(?:\+|(-))?((?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?)[ \t]*$",
    ("number", True): r"^[ \t]*(?:\+|(-))?((?:\d{1,40}(?:,\d{0,40})?|,\d{1,40})(?:[eE][+-]?\d{1,2})?)[ \t]*$",
}
"""Numbers as programs write them besides, such as 12.0 for a whole one; none that a cast would refuse."""


def _bytes_of(plain: bytes) -> Array:
    table = np.zeros(256, dtype=bool)
    table[list(plain)] = True
    return table


PLAIN = {
    ("whole", False): _bytes_of(b"0123456789-"),
    ("whole", True): _bytes_of(b"0123456789-"),
    ("number", False): _bytes_of(b"0123456789-+.eE"),
    ("number", True): _bytes_of(b"0123456789-+,eE"),
}
"""Of which bytes a column is that can be cast as it is: Arrow's casts also take 0x10 and inf."""


def kind_of(column: Column | None) -> pa.DataType:
    """As which type of Arrow's a column comes; None is none of the model's."""
    return KINDS.get(column.kind.name, pa.string()) if column and not column.depth else pa.string()


def read_columns(
    texts: pa.RecordBatch, columns: Mapping[str, Column], long: Mapping[int, int], width: int, *, comma: bool
) -> pa.RecordBatch:
    """Columns of cells as the grammar reads them, and UNREAD.

    Args:
        texts: The cells, null where they are empty.
        columns: The model's columns among them, by name.
        long: How many cells a row has, by the positions of those that have more than the first line.
        width: How many the first line has.
        comma: Whether the table has decimal commas.
    """
    arrays, unread = [], dict[int, dict[str, str]]()
    for name in texts.schema.names:
        column, array = columns.get(name), texts.column(name)
        array, others = _read(array, column, comma=comma) if column else (array, {})
        arrays.append(array)
        for place, text in others.items():
            unread.setdefault(place, {})[name] = text
    documents: list[str | None] = [None] * texts.num_rows
    for place in unread.keys() | long.keys():
        documents[place] = orjson.dumps([comma, width, long.get(place), unread.get(place, {})]).decode()
    return pa.RecordBatch.from_arrays([*arrays, pa.array(documents, pa.string())], names=[*texts.schema.names, UNREAD])


def check_piece(contract: Contract, piece: pa.RecordBatch) -> Checked:
    """Check a piece of a batch input; rows in UNREAD as /predict/csv checks them."""
    if UNREAD not in piece.schema.names:
        return _check_typed(contract, piece)
    unread, piece = piece.column(UNREAD), piece.drop_columns(UNREAD)
    valid = np.asarray(unread.is_valid().to_numpy(zero_copy_only=False))
    if not valid.any():
        return _check_typed(contract, piece)
    parts = [(np.flatnonzero(~valid), _check_typed(contract, piece.filter(unread.is_null())))]
    alike: dict[tuple[bool, int], dict[int, tuple[int | None, dict[str, str]]]] = {}
    for place in np.flatnonzero(valid).tolist():
        comma, width, count, cells = orjson.loads(unread[place].as_py())
        alike.setdefault((comma, width), {})[place] = (count, cells)
    for (comma, width), rows in alike.items():
        places = np.array(list(rows))
        taken = piece.take(pa.array(places))
        parts.append((places, _check_unread(contract, taken, list(rows.values()), width, comma=comma)))
    return _join(parts)


def _check_typed(contract: Contract, piece: pa.RecordBatch) -> Checked:
    return contract.check(pa.Table.from_batches([piece]), extra="ignore")


def _check_unread(
    contract: Contract,
    piece: pa.RecordBatch,
    rows: Sequence[tuple[int | None, Mapping[str, str]]],
    width: int,
    *,
    comma: bool,
) -> Checked:
    nothing, columns = [None] * piece.num_rows, []
    for column in contract.signature.columns:
        values = piece.column(column.name).to_pylist() if column.name in piece.schema.names else nothing
        read = cell_reader(column, comma=comma)
        texts = (cells.get(column.name) for _, cells in rows)
        columns.append([value if text is None else read(text) for value, text in zip(values, texts, strict=True)])
    long = {place: count for place, (count, _) in enumerate(rows) if count is not None}
    return check_values(contract, columns, long, width, comma=comma)


def _join(parts: Sequence[tuple[Array, Checked]]) -> Checked:
    """One check of what was checked in parts; each with the places of its rows."""
    rejects = [replace(each, row=int(places[each.row or 0])) for places, part in parts for each in part.rejects]
    rejects.sort(key=lambda reject: reject.row or 0)
    accepted = np.concatenate([places[part.accepted] for places, part in parts])
    filled = [part.rows for _, part in parts if len(part.rows)]
    if len(filled) < 2:
        return Checked(filled[0] if filled else parts[0][1].rows, accepted, tuple(rejects))
    order = np.argsort(accepted)
    return Checked(_concatenate(filled).take(order), accepted[order], tuple(rejects))


def _concatenate(rows: Sequence[Rows]) -> Rows:
    if rows[0].columns is None:
        return Rows(matrix=np.concatenate([np.asarray(each.matrix) for each in rows]))
    columns = [each.columns or {} for each in rows]
    return Rows(columns={name: np.concatenate([each[name] for each in columns]) for name in columns[0]})


def _read(texts: pa.Array, column: Column, *, comma: bool) -> tuple[pa.Array, dict[int, str]]:
    """A column, and by place the cells that it cannot hold."""
    target = kind_of(column)
    if column.depth:
        return texts, _cells(texts, pc.is_valid(texts))
    if column.kind.name == "string":
        return texts, {}
    if target == pa.string():
        trimmed = pc.utf8_trim(texts, characters=SPACES)
        return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed), {}
    values, unusual = _read_booleans(texts) if target == pa.bool_() else _read_numbers(texts, target, comma)
    others = _cells(texts, unusual)
    if not others:
        return values, {}
    read, kind = cell_reader(column, comma=comma), PYTHON[target]
    found = {place: read(text) for place, text in others.items()}
    held = {place: value for place, value in found.items() if type(value) is kind and _fits(value)}
    values = pc.replace_with_mask(values, unusual, pa.array([held.get(place) for place in found], target))
    return values, {place: others[place] for place in found.keys() - held.keys() if found[place] is not None}


def _read_booleans(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Booleans, and which cells have to be looked at."""
    with suppress(pa.ArrowInvalid):  # such as yes
        return texts.cast(pa.bool_()), pa.repeat(False, len(texts))
    words = pc.ascii_lower(pc.utf8_trim(texts, characters=SPACES))
    place = pc.index_in(words, pa.array(list(BOOLEANS), pa.string()))
    values = pa.array(list(BOOLEANS.values())).take(place)
    return values, pc.and_(texts.is_valid(), values.is_null())


def _read_numbers(texts: pa.Array, target: pa.DataType, comma: bool) -> tuple[pa.Array, pa.Array]:
    """Numbers, and which cells have to be looked at."""
    form = ("whole" if pa.types.is_integer(target) else "number", comma)
    if PLAIN[form][_bytes(texts)].all():
        with suppress(pa.ArrowInvalid):  # such as 2-3, or a whole number past the type
            values = _cast(texts, target, comma)
            if pa.types.is_integer(target) or not pc.any(pc.is_inf(values)).as_py():
                return values, pa.repeat(False, len(texts))
    usual = pc.match_substring_regex(texts, TIDY[form])
    tidy = pc.replace_substring_regex(pc.if_else(usual, texts, pa.scalar(None, pa.string())), TIDY[form], r"\1\2")
    return _cast(tidy, target, comma), pc.invert(usual).fill_null(False)


def _cast(texts: pa.Array, target: pa.DataType, comma: bool) -> pa.Array:
    return (pc.replace_substring(texts, ",", ".") if comma else texts).cast(target)


def _fits(value: Any) -> bool:
    """Whether a value is no whole number past Arrow's."""
    return type(value) is not int or -(2**63) <= value < 2**63


def _bytes(texts: pa.Array) -> Array:
    """The bytes of all cells, one after another."""
    _, ends, data = texts.buffers()
    ends = np.frombuffer(ends, "int32", len(texts) + 1, 4 * texts.offset) if len(texts) else np.zeros(1, "int32")
    return np.frombuffer(data or b"", "uint8")[ends[0] : ends[-1]]


def _cells(texts: pa.Array, chosen: pa.Array) -> dict[int, str]:
    places = pc.indices_nonzero(chosen)
    return dict(zip(places.to_pylist(), texts.take(places).to_pylist(), strict=True))
