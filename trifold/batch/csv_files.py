"""CSV files as pieces of a table: what the model takes as a number is read as one, row by row if it must be."""

import csv
import io
from collections.abc import Iterator, Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow
from pyarrow import fs

from trifold.batch.storage import readable
from trifold.contract.contract import Contract
from trifold.errors import InputRefused

UNREAD = "trifold unread"
"""Column of a JSON object: by name the texts that are no numbers or booleans, though the model takes such."""
MORE: tuple[pa.Field, ...] = (pa.field(UNREAD, pa.string()),)
HEADER_BYTES = 2**20
BLOCK_BYTES = 2**20
"""Of which Arrow reads 32 ahead; a row has to be shorter."""
TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
}
TIDY = {
    pa.int64(): r"^\s*\+?(-?\d+)(?:\.0*)?\s*$",
    pa.float64(): r"^\s*\+?(.*?)\s*$",
    pa.bool_(): r"^\s*(.*?)\s*$",
}
"""What is left of a number as other programs write it, such as 12.0 for a whole one."""


def header(system: fs.FileSystem, path: str) -> pa.Schema:
    """The columns of a file, of strings."""
    with readable(path), system.open_input_stream(path, compression="detect") as stream:
        text = bytes(stream.read(HEADER_BYTES)).decode("utf-8-sig", errors="replace")
    names = next(csv.reader(io.StringIO(text, newline="")), [])
    if not names:
        raise InputRefused(f"{path} is empty; its first line has to name the columns.")
    return pa.schema([pa.field(name, pa.string()) for name in names])


def kind(field: pa.Field, contract: Contract) -> pa.DataType:
    """As which type a column is given: a number or boolean if the model takes it as such, else a string."""
    column = next((each for each in contract.signature.columns if each.name == field.name and not each.depth), None)
    return TYPES.get(column.kind.name, pa.string()) if column else pa.string()


def pieces(system: fs.FileSystem, path: str, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """A file's rows, with the columns of a schema; what is empty is missing."""
    options = arrow.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=list(names),
        strings_can_be_null=True,
        null_values=[""],
    )
    with readable(path), system.open_input_stream(path, compression="detect") as stream:
        reader = arrow.open_csv(
            stream,
            read_options=arrow.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=arrow.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )
        for piece in reader:
            yield _typed(piece, schema)


def apart(piece: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A piece as the contract can check it: rows with texts for numbers by themselves, with columns of texts."""
    if UNREAD not in piece.schema.names:
        yield piece
        return
    unread, piece = piece.column(UNREAD), piece.drop_columns(UNREAD)
    if unread.null_count == len(unread):
        yield piece
        return
    yield piece.filter(unread.is_null())
    alike: dict[tuple[str, ...], list[tuple[int, dict[str, str]]]] = {}
    for place in pc.indices_nonzero(unread.is_valid()).to_pylist():
        texts = orjson.loads(unread[place].as_py())
        alike.setdefault(tuple(texts), []).append((place, texts))
    for names, rows in alike.items():
        taken = piece.take(pa.array([place for place, _ in rows]))
        for name in names:
            texts = pa.array([row[name] for _, row in rows], pa.string())
            taken = taken.set_column(taken.schema.get_field_index(name), name, texts)
        yield taken


def _typed(piece: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns, unread = [], dict[int, dict[str, str]]()
    for field in schema:
        if field.name == UNREAD:
            continue
        texts = piece.column(field.name)
        column, bad = (texts, []) if field.type == texts.type else _read(texts, field.type)
        columns.append(column)
        for place in bad:
            unread.setdefault(place, {})[field.name] = texts[place].as_py()
    objects: list[str | None] = [None] * piece.num_rows
    for place, found in unread.items():
        objects[place] = orjson.dumps(found).decode()
    return pa.RecordBatch.from_arrays([*columns, pa.array(objects, pa.string())], schema=schema)


def _read(texts: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Texts as numbers or booleans, and the places of those that are none."""
    try:
        return texts.cast(target), []
    except pa.ArrowInvalid:
        return _search(pc.replace_substring_regex(texts, TIDY[target], r"\1"), target)


def _search(texts: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Halve until each text that is no number stands alone."""
    try:
        return texts.cast(target), []
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, target), [0]
    middle = len(texts) // 2
    left, bad = _search(texts[:middle], target)
    right, more = _search(texts[middle:], target)
    return pa.concat_arrays([left, right]), [*bad, *(middle + place for place in more)]
