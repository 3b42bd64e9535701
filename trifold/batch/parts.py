"""The files that a shard writes: predictions and rejects as Parquet."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trifold.batch.folders import Folder, Making
from trifold.batch.migrate import MOST_CLASSES
from trifold.batch.scored import REJECTS
from trifold.batch.storage import said
from trifold.batch.store import Run
from trifold.versions import Version

ARROW = {"float8": pa.float64(), "bigint": pa.int64(), "boolean": pa.bool_(), "text": pa.string()}
"""Arrow's type by PostgreSQL's of a prediction."""
GROUP_ROWS = 65_536
"""Rows of a row group, at least, but for the last."""
TIME = pa.timestamp("us", "UTC")
CONSTANT = ("model", "version", "digest", "job", "slot")


class Part:
    """A Parquet file in the making; there is none if nothing is written and it is not asked for."""

    def __init__(self, folder: Folder, file: str, schema: pa.Schema) -> None:
        self._folder, self._file, self._schema = folder, file, schema
        self._making: Making | None = None
        self._writer: Any = None
        self._held = list[pa.RecordBatch]()
        self._rows = 0

    def write(self, piece: pa.RecordBatch) -> None:
        """Append rows."""
        self.begin()
        self._held.append(piece)
        self._rows += piece.num_rows
        if sum(each.num_rows for each in self._held) >= GROUP_ROWS:
            self._flush()

    def begin(self) -> None:
        """Let there be a file even without a row."""
        if self._making is None:
            self._making = self._folder.create(self._file)
            # Dictionaries save space only where values repeat, and cost time where they do not.
            repeated = [
                field.name for field in self._schema if field.type in (pa.string(), TIME) and field.name != "key"
            ]
            self._writer = pq.ParquetWriter(
                self._making.sink, self._schema, compression="zstd", use_dictionary=repeated
            )

    def done(self) -> list[dict[str, Any]]:
        """Let it be there; gives its name, rows and bytes, in a list that is empty if there is no file."""
        if self._making is None:
            return []
        self._flush()
        with said(f"{self._folder.address}/{self._file}"):
            self._writer.close()
        size = self._making.done()
        self._making = None
        return [{"file": self._file, "rows": self._rows, "bytes": size}]

    def _flush(self) -> None:
        with said(f"{self._folder.address}/{self._file}"):
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema))
        self._held = []

    def drop(self) -> None:
        """Let there never have been a file."""
        if self._making is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()  # or it would, when Python forgets it, into a file that is closed
            self._making.drop()


class Layout:
    """The columns of a run's files.

    Attributes:
        predictions: key, prediction, probability_<class> (or probabilities, of very many classes), lower and upper of
            a model with an interval, kept if the job keeps something, model, version, digest, job, slot, scored_at.
        rejects: row (its position in the shard), key, column, rule, expected, got, model, version, digest, job, slot.
    """

    def __init__(self, version: Version, run: Run, *, kept: bool) -> None:
        self._version = version
        self._spread = len(version.classes) <= MOST_CLASSES
        values = (version.model, version.version, version.digest, run.job, run.slot)
        self._values = [pa.scalar(value, TIME if value is run.slot else pa.string()) for value in values]
        self._scored_at = pa.scalar(datetime.now(UTC), TIME)
        constant = [(name, value.type) for name, value in zip(CONSTANT, self._values, strict=True)]
        self.predictions = pa.schema([*self._own(kept), *constant, ("scored_at", TIME)])
        self.rejects = pa.schema([*REJECTS, *(pa.field(*each) for each in constant)])

    def scored_at(self) -> datetime:
        """The shard's one instant."""
        instant: datetime = self._scored_at.as_py()
        return instant

    def predicted(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """Scored rows with all columns."""
        if not piece.num_rows:  # their types are not those of the model's answers
            return pa.RecordBatch.from_pylist([], self.predictions)
        columns = [piece.column("key"), piece.column("prediction")]
        if self._version.classes:
            columns += self._probabilities(piece.column("probabilities"))
        if self._has_interval:
            width = pa.scalar(self._version.half_width, pa.float64())
            columns += [pa.compute.subtract(columns[1], width), pa.compute.add(columns[1], width)]
        if "kept" in self.predictions.names:
            columns.append(piece.column("kept"))
        return self._filled(columns, piece.num_rows, [*self._values, self._scored_at], self.predictions)

    def rejected(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """Rejects with all columns."""
        return self._filled(piece.select(REJECTS.names).columns, piece.num_rows, self._values, self.rejects)

    @property
    def _has_interval(self) -> bool:
        return self._version.half_width is not None and self._version.type == "float8"

    def _own(self, kept: bool) -> list[tuple[str, pa.DataType]]:
        kind = self._version.type
        prediction = ARROW[kind.rstrip("[]")]
        for _ in range(kind.count("[]")):
            prediction = pa.list_(prediction)
        columns = [("key", pa.string()), ("prediction", prediction)]
        if self._spread:
            columns += [(f"probability_{name}", pa.float64()) for name in self._version.classes]
        else:
            columns.append(("probabilities", pa.list_(pa.float64())))
        if self._has_interval:
            columns += [("lower", pa.float64()), ("upper", pa.float64())]
        return [*columns, ("kept", pa.string())] if kept else columns

    def _probabilities(self, lists: pa.Array) -> list[pa.Array]:
        if not self._spread:
            return [lists]
        matrix = lists.flatten().to_numpy().reshape(len(lists), -1)
        return [pa.array(column) for column in matrix.T.copy()]

    def _filled(self, columns: list[pa.Array], rows: int, values: list[pa.Scalar], schema: pa.Schema) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([*columns, *(pa.repeat(value, rows) for value in values)], schema=schema)
