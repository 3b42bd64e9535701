"""A slot's input in the form in which it is frozen in files: from a query, or from files."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from trifold.batch.checks import require_columns
from trifold.batch.csv_columns import UNREAD
from trifold.batch.job import Job, bound
from trifold.batch.sources import Files
from trifold.batch.store import KEPT, KEY
from trifold.contract.contract import Contract
from trifold.database import Database, literal, quoted


class Input(Protocol):
    """A slot's input."""

    def look(self) -> None:
        """Make sure that it can be read, without reading it.

        Raises:
            ColumnsMissing: It lacks one of the model's.
            InputRefused: It lacks the key, or one that is to be kept.
            JobError: The query is wrong, or nobody may read it.
            Unavailable: It is not there yet, or what holds it is away.
        """

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Its rows, in one piece or more: KEY, KEPT and UNREAD if they are, and the model's columns."""


def input_of(job: Job, contract: Contract, window: tuple[datetime, datetime], environment: Mapping[str, str]) -> Input:
    """A job's input for a window."""
    if job.files:
        return FilesInput(job, contract, window, environment)
    return QueryInput(job, contract, window, environment.get("TRIFOLD_DATABASE_URI", ""))


class QueryInput:
    """What a query gives; keys and what is kept as PostgreSQL writes them, as in its own store."""

    def __init__(self, job: Job, contract: Contract, window: tuple[datetime, datetime], uri: str) -> None:
        self._job, self._contract, self._uri = job, contract, uri
        self._query = bound(job.query, window)

    def look(self) -> None:
        """See Input.look."""
        with Database(self._uri) as database:
            self._selected(database)

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """See Input.pieces."""
        with Database(self._uri) as database:
            selected = self._selected(database)
            none = True
            for piece in database.read(selected):
                none = False
                yield _stored(piece)
            if none:
                yield _stored(pa.RecordBatch.from_pylist([], database.schema(selected)))

    def _selected(self, database: Database) -> str:
        asked = database.schema(self._query)
        require_columns(asked, self._job, self._contract)
        columns = read_columns(self._job, self._contract, asked.names)
        return f"SELECT {columns} FROM ({self._query}\n) AS asked"


def read_columns(job: Job, contract: Contract, there: Collection[str]) -> str:
    """What is selected of an input in PostgreSQL whose columns are `there`: KEY, KEPT and the model's."""
    columns = [f"{quoted(job.key)}::text AS {quoted(KEY)}"]
    if job.keep:
        parts = ", ".join(f"{literal(name)}, {quoted(name)}" for name in job.keep)
        columns.append(f"json_build_object({parts})::text AS {quoted(KEPT)}")
    columns += [quoted(name) for name in contract.signature.names if name in there]
    return ", ".join(columns)


class FilesInput:
    """What files hold."""

    def __init__(
        self, job: Job, contract: Contract, window: tuple[datetime, datetime], environment: Mapping[str, str]
    ) -> None:
        self._job, self._names = job, contract.signature.names
        self._files = Files(job, contract, window, environment)

    def look(self) -> None:
        """See Input.look."""
        self._files.schema()

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """See Input.pieces."""
        none = True
        for piece in self._files.pieces():
            none = False
            yield self._prepared(piece)
        if none:
            yield self._prepared(pa.RecordBatch.from_pylist([], self._files.schema()))

    def _prepared(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        columns = {KEY: piece.column(self._job.key).cast(pa.string())}
        if self._job.keep:
            columns[KEPT] = json_texts(piece, self._job.keep)
        columns |= {name: piece.column(name) for name in (*self._names, UNREAD) if name in piece.schema.names}
        return pa.RecordBatch.from_pydict(columns)


def json_texts(piece: pa.RecordBatch, names: Sequence[str]) -> pa.Array:
    """A JSON object a row, of some columns."""
    parts: list[Any] = []
    for number, name in enumerate(names):
        parts += [("{" if number == 0 else ", ") + _dumped(name) + ": ", _json(piece.column(name))]
    return pc.binary_join_element_wise(*parts, "}", "")


def _json(column: pa.Array) -> pa.Array:
    """A column's values as JSON, each different one written once."""
    if types.is_nested(column.type):
        return pa.array([_dumped(value) for value in column.to_pylist()], pa.string())
    encoded = column.dictionary_encode()
    texts = pa.array([_dumped(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return texts.take(encoded.indices).fill_null("null")


def _dumped(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def _stored(piece: pa.RecordBatch) -> pa.RecordBatch:
    """A piece as Parquet can have it: the database's own types by what they hold."""
    columns = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in piece.columns]
    return pa.RecordBatch.from_arrays(columns, names=piece.schema.names)
