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
from trifold.errors import ColumnsRepeated

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


class ParquetFiles:
    """A job's Parquet files.

    Args:
        contract: What the model takes.
        names: Columns that are read besides the model's.
        key: That which is text, unless the model has it as a number.
    """

    def __init__(self, contract: Contract, names: Sequence[str], key: str) -> None:
        self._columns = {column.name: column for column in contract.signature.columns}
        self._names = dict.fromkeys([*names, *self._columns])
        self._key = key

    def schema(self, system: fs.FileSystem, path: str) -> pa.Schema:
        """The columns of a file that are read, as `pieces` gives them.

        Raises:
            ColumnsRepeated: It has one of them twice.
            InputRefused: It cannot be read.
        """
        with readable(path), system.open_input_file(path) as file:
            found = pq.read_schema(file)
        repeated = [name for name in self._names if found.names.count(name) > 1]
        if repeated:
            raise ColumnsRepeated(repeated)
        return pa.schema([(name, self._kind(found.field(name))) for name in self._names if name in found.names])

    def pieces(self, system: fs.FileSystem, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """A file's rows, with the columns of a schema.

        Raises:
            InputRefused: It cannot be read.
        """
        with readable(path), system.open_input_file(path) as file:
            found = pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
            for piece in found.iter_batches(_rows(found.metadata), columns=schema.names):
                columns = [_as(piece.column(name), schema.field(name).type) for name in schema.names]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _kind(self, field: pa.Field) -> pa.DataType:
        """Without dictionaries and the like; one of nothing but nulls as the model's."""
        column, plain = self._columns.get(field.name), _plain(field.type)
        if column is None and field.name == self._key:
            return pa.string()
        if not types.is_null(plain):
            return plain
        return pa.type_for_alias(column.kind.arrow) if column and not column.depth else pa.string()


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
