"""PostgreSQL by ADBC: tables go in and come out as Arrow, by binary COPY, without a Python object a value.

Source of the driver's behaviour: https://arrow.apache.org/adbc/current/driver/postgresql.html
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import StatementOptions, dbapi

from trifold.errors import InputRefused, JobError, TrifoldError, Unavailable, first_line

BATCH_BYTES = os.environ.get("TRIFOLD_BATCH_BYTES") or str(8 * 2**20)
"""Of rows that come in one piece: large enough for speed, and a few of them are all the memory that a shard takes."""
WRITTEN_ROWS = 4096
"""Rows that are encoded at once: the server works at some while the next are encoded."""
CONNECT_SECONDS = 60
"""How long to try again while a database starts or a network lets this pod through."""
SETTINGS = {
    # A process that was killed leaves its statement running; the server ends it when it notices.
    "client_connection_check_interval": "2s",
    "idle_in_transaction_session_timeout": "10min",
    # Rows in the order in which they lie, so that a repeated read gives the same pieces.
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
}
SETUP = ("0A", "22", "25", "28", "2B", "3D", "3F", "42", "44", "P0")
"""Classes of SQLSTATE that say that a query, a right or the schema is wrong; trying again does not help.

Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""
INPUT = "23"
"""The class of broken constraints: a key that lacks or stands twice."""


class Database:
    """A connection, with or without a transaction."""

    def __init__(self, uri: str, *, autocommit: bool = False, seconds: float = CONNECT_SECONDS) -> None:
        self._connection = _connect(uri, autocommit, seconds)
        self.rows("SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SETTINGS.items()))
        if not autocommit:
            self.commit()

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement with parameters $1, $2 …; gives its rows, if it has any."""
        with _said(statement), self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.USE_COPY.value: "false"})
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, statement: str) -> int:
        """Run a statement that gives no rows and takes no parameters, such as one that makes a table.

        Returns:
            How many rows it made, changed or removed; -1 if it is of no such kind.
        """
        with _said(statement), self._connection.cursor() as cursor:
            # Not by executescript, which first commits what the transaction did so far, and so lets go of its locks.
            cursor.adbc_statement.set_sql_query(statement)
            return int(cursor.adbc_statement.execute_update())

    def read(self, query: str) -> Iterator[pa.RecordBatch]:
        """The query's rows in pieces of about BATCH_BYTES; NUMERIC as doubles."""
        with self._connection.cursor() as cursor:
            with _said(query):
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: BATCH_BYTES})
                cursor.execute(query)
                reader = cursor.fetch_record_batch()
            while True:
                with _said(query):
                    try:
                        piece = reader.read_next_batch()
                    except StopIteration:
                        return
                yield _readable(piece)

    def schema(self, query: str) -> pa.Schema:
        """Names and types of the query's columns."""
        with _said(query), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS asked LIMIT 0")
            return cursor.fetch_arrow_table().schema

    def write(self, schema: str, table: str, piece: pa.RecordBatch) -> None:
        """Append rows to a table, whose other columns take their defaults."""
        with _said(f"COPY {table}"), self._connection.cursor() as cursor:
            slices = pa.Table.from_batches([piece]).to_reader(max_chunksize=WRITTEN_ROWS)
            cursor.adbc_ingest(table, slices, mode="append", db_schema_name=schema)

    def make(self, schema: str, table: str, piece: pa.RecordBatch) -> None:
        """Make a table with the columns of a piece and its rows."""
        with _said(f"CREATE TABLE {table}"), self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, piece, mode="create", db_schema_name=schema)

    def commit(self) -> None:
        """End the transaction; what it did is there for all."""
        with _said("COMMIT"):
            self._connection.commit()

    def rollback(self) -> None:
        """End the transaction; what it did never was."""
        with _said("ROLLBACK"):
            self._connection.rollback()

    def close(self) -> None:
        """End the connection, and roll back what was not committed."""
        with suppress(adbc_driver_manager.Error, RuntimeError):  # it is gone already
            self._connection.close()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _connect(uri: str, autocommit: bool, seconds: float) -> Any:
    if not uri:
        raise JobError("No database is set: give batch.database.existingSecret, a Secret with the key uri.")
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    os.environ.setdefault("PGAPPNAME", "trifold")
    ends, wait = time.monotonic() + seconds, 0.2
    while True:
        try:
            return dbapi.connect(uri, autocommit=autocommit)
        except adbc_driver_manager.Error as error:
            if time.monotonic() + wait > ends:
                raise Unavailable(f"PostgreSQL does not let us in: {_words(error)}.") from None
            time.sleep(wait)
            wait = min(wait * 2, 5)


@contextmanager
def _said(statement: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise _meant(error, statement) from None


def _meant(error: Exception, statement: str) -> TrifoldError:
    state = getattr(error, "sqlstate", None) or ""
    words, start = _words(error), " ".join(statement.split())[:60]
    if state.startswith(INPUT):
        return InputRefused(words)
    if state.startswith(SETUP):
        return JobError(f"PostgreSQL refuses {start!r}: {words} ({state}).")
    return Unavailable(f"PostgreSQL failed at {start!r}: {words}{f' ({state})' if state else ''}.")


def _words(error: Exception) -> str:
    """What the server said, without what the driver puts around it, and without details, which quote values."""
    said = first_line(error)
    return said.rpartition("ERROR: ")[2].rpartition("FATAL: ")[2].strip()[:200]


def _readable(piece: pa.RecordBatch) -> pa.RecordBatch:
    """A piece whose NUMERIC columns, which come as text, are doubles, read exactly; and whose UUIDs are text."""
    columns, changed = [], False
    for column in piece.columns:
        kind = column.type
        if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
            column, changed = pc.cast(column.storage, pa.float64()), True
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=piece.schema.names) if changed else piece
