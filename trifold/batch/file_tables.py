"""Files as a table in PostgreSQL."""

import pyarrow as pa
from pyarrow import types

from trifold.batch.sources import Files
from trifold.database import Database
from trifold.errors import JobError


def load(database: Database, schema: str, table: str, files: Files) -> int:
    """Make a table of the rows of files (Files.pieces), in the transaction that is open; gives how many there are.

    Raises:
        JobError: They have a column of a type that PostgreSQL has not.
    """
    wanted = pa.schema(list(map(_field, files.schema())))
    database.make(schema, table, pa.RecordBatch.from_pylist([], wanted))
    rows = 0
    for piece in files.pieces():
        columns = [piece.column(field.name).cast(field.type) for field in wanted]
        database.write(schema, table, pa.RecordBatch.from_arrays(columns, schema=wanted))
        rows += piece.num_rows
    return rows


def _field(field: pa.Field) -> pa.Field:
    if types.is_date64(field.type):
        return pa.field(field.name, pa.date32())
    inner = field.type.value_type if types.is_list(field.type) else field.type
    if types.is_nested(inner):
        raise JobError(f"Column {field.name} of the files is {field.type}, which no table can hold; set sink.files.")
    return field
