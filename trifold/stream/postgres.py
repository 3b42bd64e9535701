"""The sink in PostgreSQL: rows, dead letters and offsets in one transaction, by tables of `trifold.batch migrate`.

The offsets that count are the database's. They move by compare-and-set, so that a consumer that lost a partition
without noticing cannot write: whoever comes second finds the offset moved on, and everything it did is rolled back.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from trifold.answers import Answers
from trifold.arrow import column, lists
from trifold.database import Database, literal, quoted
from trifold.errors import TrifoldError, Unavailable
from trifold.failpoints import reach
from trifold.stream.events import Dead, Position, came, kept, position, reasons
from trifold.stream.scored import Partition, Scored
from trifold.stream.sink import Bounds, Fenced, require_inside
from trifold.stream.stream import EARLIEST, Stream
from trifold.versions import Version

CONNECT_SECONDS = 5
"""For a connection; a consumer tries again by itself."""
UTC = pa.timestamp("ms", tz="UTC")
RETIRED = 50_000
"""Rows that are removed in one transaction, which holds nobody up."""


class PostgresSink:
    """See Sink.

    Attributes:
        uri: Address of the database, of the role that scores.
        schema: The release's schema.
        stream: Whose predictions.
        version: The model version that scores.
    """

    tells = True

    def __init__(self, uri: str, schema: str, stream: Stream, version: Version) -> None:
        self.uri, self.schema, self.stream, self.version = uri, schema, stream, version
        self._in = quoted(schema)
        self._open: Database | None = None
        self._sources: dict[Partition, int] = {}
        self._number: int | None = None

    @property
    def identity(self) -> str:
        """See Sink.identity."""
        with self._transaction() as database:
            [[identity]] = database.rows(f"SELECT identity::text FROM {self._in}.stream_identity")
        return str(identity)

    def join(self, client: Any) -> None:
        """See Sink.join; the database needs to know nothing of it."""

    def begin(self, bounds: Mapping[Partition, Bounds]) -> dict[Partition, int]:
        """See Sink.begin; what is not known begins as the stream says, and that is written down at once."""
        found = {}
        with self._transaction() as database:
            if self._number is None:
                self._number = self._version_number(database)
            known = {topic for topic, _ in self._next(database, bounds)}
            for (topic, partition), bound in bounds.items():
                # A partition that is added later is read from its first event on.
                low = self.stream.start_at == EARLIEST or topic in known or topic == self.stream.redrive
                self._insert(database, topic, partition, bound.low if low else bound.high, bound.topic_id)
            for where, (source, offset, topic_id) in self._next(database, bounds).items():
                if where in bounds:
                    require_inside(where, offset, bounds[where], topic_id, self._remedy(where))
                    found[where], self._sources[where] = offset, source
        return found

    def commit(self, scored: Scored) -> None:
        """See Sink.commit."""
        with self._transaction() as database:
            self._move(database, scored)
            reach("offsets-written")
            fresh, redriven = self._apart(scored)
            if fresh.num_rows:
                database.write(self.schema, "stream_predictions", fresh)
            if redriven is not None:
                self._write_redriven(database, redriven)
            reach("predictions-written")
            if scored.dead:
                self._write_dead(database, scored.dead)
            reach("before-commit")
        reach("after-commit")

    def abandon(self) -> None:
        """See Sink.abandon."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def retire(self) -> None:
        """See Sink.retire."""
        days = self.stream.retention
        for table, age, kept_days in (
            ("stream_predictions", "scored_at", days.predictions),
            ("stream_dead_letters", "dead_at", days.dead_letters),
        ):
            removed = RETIRED
            while removed == RETIRED:
                with self._transaction() as database:
                    removed = database.run(
                        f"DELETE FROM {self._in}.{table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {self._in}.{table} "
                        f"WHERE {age} < now() - interval '1 day' * {int(kept_days)} LIMIT {RETIRED}))"
                    )

    def close(self) -> None:
        """See Sink.close."""
        self.abandon()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self)

    def _connection(self) -> Database:
        if self._open is None:
            self._open = Database(self.uri, seconds=CONNECT_SECONDS)
        return self._open

    def _version_number(self, database: Database) -> int:
        self.version.insert(database, self._in)
        [[number]] = database.rows(
            f"SELECT added FROM {self._in}.batch_versions WHERE digest = $1", self.version.digest
        )
        return int(number)

    def _next(self, database: Database, bounds: Mapping[Partition, Bounds]) -> dict[Partition, tuple[int, int, str]]:
        """Source, next offset and topic id of all partitions of the topics that are known."""
        topics = ", ".join(sorted({literal(topic) for topic, _ in bounds}))
        found = database.rows(
            f"SELECT topic, partition, source, next_offset, topic_id FROM {self._in}.stream_sources "
            f"WHERE topic IN ({topics})"
        )
        return {(topic, partition): (source, offset, name) for topic, partition, source, offset, name in found}

    def _insert(self, database: Database, topic: str, partition: int, offset: int, topic_id: str) -> None:
        database.run(
            f"INSERT INTO {self._in}.stream_sources (topic, partition, next_offset, topic_id) VALUES "
            f"({literal(topic)}, {int(partition)}, {int(offset)}, {literal(topic_id)}) ON CONFLICT DO NOTHING"
        )

    def _remedy(self, where: Partition) -> str:
        topic, partition = where
        return f"DELETE FROM {self.schema}.stream_sources WHERE topic = '{topic}' AND partition = {partition}"

    def _move(self, database: Database, scored: Scored) -> None:
        moves = sorted((self._sources[where], at.start, at.end) for where, at in scored.progress.items())
        values = ", ".join(f"({source}, {start}, {end})" for source, start, end in moves)
        moved = database.run(
            f"UPDATE {self._in}.stream_sources s SET next_offset = v.past FROM (VALUES {values}) "
            "AS v (source, start, past) WHERE s.source = v.source AND s.next_offset = v.start"
        )
        if moved != len(moves):
            raise Fenced("Another consumer of the release has gone on with a partition of this one.")

    def _apart(self, scored: Scored) -> tuple[pa.RecordBatch, pa.RecordBatch | None]:
        """Predictions of events that came the first time, and of redriven ones."""
        redrive, messages, answers = self.stream.redrive, scored.messages, scored.answers
        documents = scored.documents
        if all(topic != redrive for topic, _ in scored.progress):
            sources = self._sources_of([(message.topic(), message.partition()) for message in messages])
            return self._table(sources, [m.offset() for m in messages], messages, documents, answers), None
        tables = []
        for wanted in (False, True):
            chosen = [number for number, m in enumerate(messages) if (m.topic() == redrive) is wanted]
            part = [messages[number] for number in chosen]
            sources, offsets = self._places(list(map(position, part)), list(map(came, part)))
            rows = [documents[number] for number in chosen]
            tables.append(self._table(sources, offsets, part, rows, answers.take(np.asarray(chosen, dtype=int))))
        return tables[0], tables[1]

    def _sources_of(self, partitions: Sequence[Partition]) -> list[int]:
        """Number of each partition."""
        return [self._sources[where] for where in partitions]

    def _places(self, stood: Sequence[Position], came: Sequence[Position]) -> tuple[list[int], list[int]]:
        """Source and offset of where events stood first; of where they came from, if that is unknown here."""
        if any((at.topic, at.partition) not in self._sources for at in stood):  # another consumer may have it
            for topic, partition, source in self._connection().rows(
                f"SELECT topic, partition, source FROM {self._in}.stream_sources"
            ):
                self._sources[topic, partition] = source
        known = [
            at if (at.topic, at.partition) in self._sources else otherwise
            for at, otherwise in zip(stood, came, strict=True)
        ]
        return self._sources_of([(at.topic, at.partition) for at in known]), [at.offset for at in known]

    def _table(
        self,
        sources: Sequence[int],
        offsets: Sequence[int],
        messages: Sequence[Any],
        documents: Sequence[Any],
        answers: Answers,
    ) -> pa.RecordBatch:
        columns = {
            "source": pa.array(sources, pa.int32()),
            "offset": pa.array(offsets, pa.int64()),
            "key": pa.array([key_text(message.key()) for message in messages], pa.string()),
            "prediction": column(answers.predictions),
        }
        if answers.probabilities is not None:
            columns["probabilities"] = lists(np.hstack(answers.probabilities).astype("float64", copy=False))
        if self.stream.keep:
            columns["kept"] = pa.array(kept(documents, self.stream.keep), pa.string())
        columns["event_at"] = times([message.timestamp()[1] for message in messages])
        columns["version"] = pa.array(np.full(len(messages), self._number), pa.int64())
        return pa.RecordBatch.from_pydict(columns)

    def _write_redriven(self, database: Database, table: pa.RecordBatch) -> None:
        """Redriving twice counts once: what is predicted already stays as it is."""
        if not table.num_rows:
            return
        found = list(zip(table.column("source").to_pylist(), table.column("offset").to_pylist(), strict=True))
        places = _tuples(found)
        there = database.rows(
            f'SELECT source, "offset" FROM {self._in}.stream_predictions WHERE (source, "offset") IN ({places})'
        )
        taken, keep = set(there), []
        for number, place in enumerate(found):
            if place not in taken:
                taken.add(place)
                keep.append(number)
        if keep:
            database.write(self.schema, "stream_predictions", table.take(pa.array(keep, pa.int64())))
        database.run(
            f"UPDATE {self._in}.stream_dead_letters SET redriven_at = coalesce(redriven_at, now()) "
            f'WHERE (source, "offset") IN ({places})'
        )

    def _write_dead(self, database: Database, letters: Sequence[Dead]) -> None:
        """A letter that was dead before is dead again, with its new reasons."""
        chosen = list({letter.position: letter for letter in letters}.values())
        sources, offsets = self._places([letter.position for letter in chosen], [letter.came for letter in chosen])
        table = pa.RecordBatch.from_pydict(
            {
                "source": pa.array(sources, pa.int32()),
                "offset": pa.array(offsets, pa.int64()),
                "key": pa.array([letter.key for letter in chosen], pa.binary()),
                "value": pa.array([letter.value for letter in chosen], pa.binary()),
                "headers": pa.array([headers_text(letter.headers) for letter in chosen], pa.string()),
                "reasons": pa.array([reasons(letter.rejects).replace("\\u0000", "\\ufffd") for letter in chosen]),
                "event_at": times([letter.at for letter in chosen]),
                "version": pa.array(np.full(len(chosen), self._number), pa.int64()),
            }
        )
        places = _tuples(list(zip(sources, offsets, strict=True)))
        database.run(f'DELETE FROM {self._in}.stream_dead_letters WHERE (source, "offset") IN ({places})')
        database.write(self.schema, "stream_dead_letters", table)


class _Transaction:
    """A transaction of a sink: committed at its end, and gone with its connection if anything goes wrong."""

    def __init__(self, sink: PostgresSink) -> None:
        self._sink = sink

    def __enter__(self) -> Database:
        self._database = self._sink._connection()
        return self._database

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            try:
                self._database.commit()
            except TrifoldError:
                self._sink.abandon()
                raise
            return
        if isinstance(error, Unavailable):
            self._sink.abandon()
            return
        try:
            self._database.rollback()
        except TrifoldError:
            self._sink.abandon()


def key_text(key: bytes | None) -> str | None:
    """A key as text; bytes that PostgreSQL has no text for as it writes bytes."""
    if key is None:
        return None
    with suppress(UnicodeDecodeError):
        text = key.decode()
        if "\0" not in text:
            return text
    return "\\x" + key.hex()


def headers_text(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Headers as JSON: name, and bytes in base64."""
    return json.dumps([[name, None if data is None else base64.b64encode(data).decode()] for name, data in headers])


def times(milliseconds: Sequence[int]) -> pa.Array:
    """Kafka's times as a column."""
    return pa.array(np.maximum(np.asarray(milliseconds, dtype="int64"), 0)).cast(UTC)


def _tuples(places: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"({int(source)}, {int(offset)})" for source, offset in places)
