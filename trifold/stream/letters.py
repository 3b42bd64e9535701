"""Dead letters: what a release could not score, listed, and sent back to be scored once it can be."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from trifold.batch.stores import schema_of
from trifold.database import Database, quoted
from trifold.errors import TrifoldError, Unavailable
from trifold.failpoints import reach
from trifold.stream import client as kafka
from trifold.stream.events import SOURCE
from trifold.stream.kafka import DIGEST, MODEL, REASONS, TRANSACTION_MS, VERSION
from trifold.stream.stream import KAFKA, Stream

SECONDS = 30
"""For a question to the broker; nobody waits for the answer but a person."""
AT_ONCE = 500
"""Letters in one transaction."""

Headers = list[tuple[str, bytes | None]]


class Unknown(TrifoldError):
    """There is no such dead letter."""


@dataclass(frozen=True)
class Letter:
    """A dead letter.

    Attributes:
        position: Where the event stood first: topic/partition/offset.
        key: Its key.
        value: Its bytes.
        headers: Its headers.
        reasons: Why it is dead: column, rule, expected, got, as HTTP's 422 has them.
        model: The model that refused it.
        version: Its version.
        at: When it came, in ISO 8601.
        redriven: Whether it was sent back.
    """

    position: str
    key: bytes | None
    value: bytes
    headers: Headers
    reasons: list[dict[str, Any]]
    model: str
    version: str
    at: str
    redriven: bool

    def to_json(self) -> dict[str, Any]:
        """All of it; bytes in base64."""
        headers = [[name, _base64(content)] for name, content in self.headers]
        return {**asdict(self), "key": _base64(self.key), "value": _base64(self.value), "headers": headers}


class Letters(Protocol):
    """The dead letters of a release."""

    def listed(self, limit: int) -> list[Letter]:
        """The newest, the latest first.

        Raises:
            TrifoldError: They cannot be read.
        """

    def at(self, position: str) -> Letter:
        """The one of an event.

        Raises:
            Unknown: There is none.
        """

    def redrive(self) -> int:
        """Send all that wait back, each once, whatever is killed meanwhile; gives how many.

        Raises:
            TrifoldError: They cannot be sent.
        """


def open_letters(stream: Stream, environment: Mapping[str, str]) -> Letters:
    """The dead letters of the sink that the stream names.

    Raises:
        JobError: The environment lacks what it needs.
    """
    properties = kafka.properties(environment)
    if stream.sink == KAFKA:
        return KafkaLetters(stream, properties)
    return PostgresLetters(stream, properties, environment.get("TRIFOLD_DATABASE_URI", ""), schema_of(environment))


class PostgresLetters:
    """See Letters; a letter that was sent is marked, and one that is sent twice is scored once (PostgresSink)."""

    def __init__(self, stream: Stream, properties: Mapping[str, str], uri: str, schema: str) -> None:
        self._stream, self._properties, self._uri, self._in = stream, properties, uri, quoted(schema)

    def listed(self, limit: int) -> list[Letter]:
        """See Letters.listed."""
        return self._select(f'ORDER BY dead_at DESC, topic, partition, "offset" DESC LIMIT {int(limit)}')

    def at(self, position: str) -> Letter:
        """See Letters.at."""
        found = self._select("WHERE topic || '/' || partition || '/' || \"offset\" = $1", position)
        if not found:
            raise Unknown(f"No event at {position} is a dead letter.")
        return found[0]

    def redrive(self) -> int:
        """See Letters.redrive."""
        with Database(self._uri, seconds=SECONDS) as database:
            [[began]] = database.rows("SELECT now()::text")
        sent = 0
        waiting = "WHERE redriven_at IS NULL AND dead_at < $1::text::timestamptz ORDER BY dead_at"
        with _producer(self._stream, self._properties) as producer:
            while letters := self._select(f"{waiting} LIMIT {AT_ONCE}", began):
                for letter in letters:
                    _send(producer, self._stream, letter)
                _flush(producer)
                reach("letters-sent")
                self._mark(letters, began)
                sent += len(letters)
        return sent

    def _mark(self, letters: Sequence[Letter], began: str) -> None:
        """Note that letters were sent; but not of one that is dead again already, which waits anew."""
        places = json.dumps([letter.position for letter in letters])
        with Database(self._uri, seconds=SECONDS) as database:
            database.rows(
                f"UPDATE {self._in}.stream_dead_letters d SET redriven_at = now() FROM {self._in}.stream_sources s "
                "WHERE s.source = d.source AND s.topic || '/' || s.partition || '/' || d.\"offset\" "
                "IN (SELECT json_array_elements_text($1::text::json)) AND d.dead_at < $2::text::timestamptz",
                places,
                began,
            )
            database.commit()

    def _select(self, rest: str, *parameters: Any) -> list[Letter]:
        with Database(self._uri, seconds=SECONDS) as database:
            rows = database.rows(
                "SELECT topic || '/' || partition || '/' || \"offset\", key, value, headers::text, reasons::text, "
                f"model, version, to_char(event_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
                f"redriven_at IS NOT NULL FROM {self._in}.dead_letters {rest}",
                *parameters,
            )
        return [
            Letter(
                position,
                None if key is None else bytes(key),
                bytes(value),
                [(name, None if data is None else base64.b64decode(data)) for name, data in json.loads(headers)],
                json.loads(reasons),
                model,
                version,
                at,
                bool(redriven),
            )
            for position, key, value, headers, reasons, model, version, at, redriven in rows
        ]


class KafkaLetters:
    """See Letters; what is sent, and how far, is one transaction of a group of its own."""

    def __init__(self, stream: Stream, properties: Mapping[str, str]) -> None:
        self._stream, self._properties = stream, properties
        self._group = f"{stream.group}.redrive"

    def listed(self, limit: int) -> list[Letter]:
        """See Letters.listed."""
        with self._consumer() as consumer:
            done = self._committed(consumer)
            spans = {
                where: (max(low, high - limit), high) for where, (low, high) in self._spans(consumer, done).items()
            }
            letters = [_letter(message, done) for message in _read(consumer, self._stream.dead, spans)]
        return sorted(letters, key=lambda letter: letter.at, reverse=True)[:limit]

    def at(self, position: str) -> Letter:
        """See Letters.at; of several, the last."""
        with self._consumer() as consumer:
            done = self._committed(consumer)
            found = None
            for message in _read(consumer, self._stream.dead, self._spans(consumer, done)):
                if dict(message.headers() or ()).get(SOURCE, b"").decode() == position:
                    found = _letter(message, done)
        if found is None:
            raise Unknown(f"No event at {position} is a dead letter.")
        return found

    def redrive(self) -> int:
        """See Letters.redrive."""
        sent = 0
        settings = {"transactional.id": self._group, "transaction.timeout.ms": TRANSACTION_MS}
        with self._consumer() as consumer, _producer(self._stream, self._properties, settings) as producer, _said():
            producer.init_transactions(SECONDS)  # ends what another one, killed or not, has begun
            done = self._committed(consumer)
            spans = {where: (max(low, done[where]), high) for where, (low, high) in self._spans(consumer, done).items()}
            waiting: list[Any] = []
            for message in _read(consumer, self._stream.dead, spans):
                waiting.append(message)
                if len(waiting) == AT_ONCE:
                    sent += self._resend(consumer, producer, waiting, done)
                    waiting = []
            return sent + (self._resend(consumer, producer, waiting, done) if waiting else 0)

    def _resend(self, consumer: Any, producer: Any, messages: Sequence[Any], done: Mapping[int, int]) -> int:
        producer.begin_transaction()
        for message in messages:
            _send(producer, self._stream, _letter(message, done))
        ends = {message.partition(): message.offset() + 1 for message in messages}
        offsets = [TopicPartition(self._stream.dead, partition, end) for partition, end in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), SECONDS)
        reach("letters-sent")
        producer.commit_transaction(SECONDS)
        return len(messages)

    @contextmanager
    def _consumer(self) -> Iterator[Any]:
        fixed = {
            "group.id": self._group,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
        consumer = Consumer({"log_level": 2, **self._properties, **fixed})
        try:
            yield consumer
        finally:
            consumer.close()

    def _committed(self, consumer: Any) -> dict[int, int]:
        """Up to where the letters of each partition were sent back; none where there are no letters yet."""
        with _said():
            there = consumer.list_topics(self._stream.dead, timeout=SECONDS).topics[self._stream.dead].partitions
            asked = [TopicPartition(self._stream.dead, partition) for partition in there]
            found = consumer.committed(asked, timeout=SECONDS) if asked else []
        return {at.partition: max(at.offset, 0) for at in found}

    def _spans(self, consumer: Any, partitions: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        with _said():
            return {
                number: consumer.get_watermark_offsets(TopicPartition(self._stream.dead, number), timeout=SECONDS)
                for number in partitions
            }


def _read(consumer: Any, topic: str, spans: Mapping[int, tuple[int, int]]) -> Iterator[Any]:
    """The committed messages of partitions between two offsets, partition by partition in order."""
    open_ends = {number: high for number, (low, high) in spans.items() if low < high}
    with _said():
        consumer.assign([TopicPartition(topic, number, spans[number][0]) for number in open_ends])
        while open_ends:
            message = consumer.poll(SECONDS)
            if message is None:
                raise Unavailable(f"Kafka gives nothing more of {topic} for {SECONDS} s.")
            number = message.partition()
            if message.error():
                if message.error().code() != kafka.END:
                    raise KafkaException(message.error())
                open_ends.pop(number, None)  # what is behind it is no message: the end of a transaction
                continue
            if number in open_ends and message.offset() < open_ends[number]:
                yield message
            if message.offset() + 1 >= open_ends.get(number, 0):
                open_ends.pop(number, None)
        consumer.unassign()


def _letter(message: Any, done: Mapping[int, int]) -> Letter:
    ours = {name: (content or b"").decode() for name, content in message.headers() or () if name in OURS}
    return Letter(
        ours.get(SOURCE, ""),
        message.key(),
        message.value() or b"",
        [(name, content) for name, content in message.headers() or () if name not in OURS],
        json.loads(ours.get(REASONS) or "[]"),
        ours.get(MODEL, ""),
        ours.get(VERSION, ""),
        datetime.fromtimestamp(max(message.timestamp()[1], 0) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        message.offset() < done.get(message.partition(), 0),
    )


OURS = frozenset({SOURCE, REASONS, MODEL, VERSION, DIGEST})


@contextmanager
def _producer(stream: Stream, properties: Mapping[str, str], settings: Mapping[str, Any] = {}) -> Iterator[Any]:
    """A producer into the topic of redriven events, which is made if the stream may make topics."""
    admin: AdminClient = kafka.admin(properties)
    kafka.ensure_topics(admin, [stream.redrive], stream)
    yield Producer(
        {"log_level": 2, "message.max.bytes": 20_000_000, **properties, "enable.idempotence": True, **settings}
    )


def _send(producer: Any, stream: Stream, letter: Letter) -> None:
    headers = [*letter.headers, (SOURCE, letter.position.encode())]
    producer.produce(stream.redrive, letter.value, letter.key, headers=headers)


def _flush(producer: Any) -> None:
    left = producer.flush(SECONDS)
    if left:
        raise Unavailable(f"Kafka took {left} letters not within {SECONDS} s; run it again, none is scored twice.")


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise Unavailable(f"Kafka failed: {kafka.words(error)}; run it again, none is scored twice.") from None


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
