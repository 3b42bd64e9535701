"""Parquet files as pieces of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs, types

from trifold.batch.storage import readable
from trifold.contract.contract import Contract
from trifold.database import BATCH_BYTES

MORE: tuple[pa.Field, ...] = ()
MOST_ROWS = 16_384
PIECE_BYTES = int(BATCH_BYTES)
BUFFER_BYTES = 2**20
"""Of each column that is read at once; without it, Arrow holds whole columns of a row group."""
PLAIN = {
    "large_string": pa.string(),
    "string_view": pa.string(),
    "large_binary": pa.binary(),
    "binary_view": pa.binary(),
    "halffloat": pa.float32(),
}


def header(system: fs.FileSystem, path: str) -> pa.Schema:
    """The columns of a file."""
    with readable(path), system.open_input_file(path) as file:
        return pq.read_schema(file)


def kind(field: pa.Field, contract: Contract) -> pa.DataType:
    """As which type a column is given: without dictionaries and the like; one of nothing but nulls as the model's."""
    plain = _plain(field.type)
    if not types.is_null(plain):
        return plain
    column = next((each for each in contract.signature.columns if each.name == field.name and not each.depth), None)
    return pa.type_for_alias(column.kind.arrow) if column else pa.string()


def pieces(system: fs.FileSystem, path: str, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """A file's rows, with the columns of a schema."""
    with readable(path), system.open_input_file(path) as file:
        found = pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
        for piece in found.iter_batches(_rows(found.metadata), columns=list(names)):
            columns = [_as(piece.column(name), schema.field(name).type) for name in names]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _rows(metadata: Any) -> int:
    """How many rows make a piece."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    width = int(sum(group.total_byte_size for group in groups)) // max(int(metadata.num_rows), 1)
    return max(1, min(MOST_ROWS, PIECE_BYTES // max(width, 1)))


def _plain(source: pa.DataType) -> pa.DataType:
    if isinstance(source, pa.BaseExtensionType):
        return _plain(source.storage_type)
    if types.is_dictionary(source) or types.is_run_end_encoded(source):
        return _plain(source.value_type)
    return PLAIN.get(str(source), source)


def _as(column: pa.Array, target: pa.DataType) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        return _as(column.storage, target)
    if types.is_dictionary(column.type):
        return _as(column.dictionary_decode(), target)
    if types.is_run_end_encoded(column.type):
        return _as(pc.run_end_decode(column), target)
    if column.type != target:
        return column.cast(target)
    if types.is_string(target):
        column.validate(full=True)  # or text that is no UTF-8 would be found by whoever shows it
    return column
