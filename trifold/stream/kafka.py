"""The sink in Kafka: predictions, dead letters and offsets in one transaction of Kafka's.

Who reads the predictions with isolation.level=read_committed sees each once. A consumer that lost a partition without
noticing is of an older generation of its group, and the broker refuses its offsets, and so its whole transaction.
Source: https://cwiki.apache.org/confluence/display/KAFKA/KIP-447
"""

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from trifold.answers import Answers
from trifold.errors import JobError, Unavailable
from trifold.failpoints import reach
from trifold.stream.client import SECONDS, words
from trifold.stream.events import SOURCE, Dead, came, kept, position, reasons
from trifold.stream.scored import Partition, Scored
from trifold.stream.sink import Bounds, Fatal, Fenced, require_inside
from trifold.stream.stream import EARLIEST, Stream
from trifold.versions import Version

MODEL, VERSION, DIGEST, REASONS = "trifold.model", "trifold.version", "trifold.digest", "trifold.reasons"
"""Headers of predictions and dead letters, beside events.SOURCE."""
TRANSACTION_MS = 10_000
"""After so long the broker ends the transaction of a consumer that was killed; until then its readers wait."""
STALE = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
"""The broker's words for a consumer whose partitions are another's by now."""

Headers = list[tuple[str, bytes]]


class KafkaSink:
    """See Sink.

    Attributes:
        stream: Whose predictions.
        version: The model version that scores.
        labels: Names of the classes, an entry an output.
    """

    tells = False
    """Its offsets are in Kafka anyway."""

    def __init__(
        self,
        stream: Stream,
        version: Version,
        labels: Sequence[Sequence[str]],
        properties: Mapping[str, str],
        pod: str,
    ) -> None:
        self.stream, self.version, self.labels = stream, version, labels
        self._own = [
            (MODEL, version.model.encode()),
            (VERSION, version.version.encode()),
            (DIGEST, version.digest.encode()),
        ]
        self._given = {
            "log_level": 2,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            **properties,
            "linger.ms": 5,
            "message.max.bytes": 20_000_000,
            "partitioner": "murmur2_random",  # Java's, so that keys lie where other clients put them
            "transactional.id": f"{stream.group}.{pod}",
            "transaction.timeout.ms": TRANSACTION_MS,
        }
        self._open: Any = None
        self._client: Any = None
        self._begun = False
        self._ids: dict[str, str] = {}

    @property
    def identity(self) -> str:
        """See Sink.identity."""
        return hashlib.sha256(f"{self.version.model} {self.stream.output}".encode()).hexdigest()[:32]

    def join(self, client: Any) -> None:
        """See Sink.join."""
        self._client = client

    def begin(self, bounds: Mapping[Partition, Bounds]) -> dict[Partition, int]:
        """See Sink.begin; what is not known begins as the stream says, and that is committed at once."""
        with _said("the offsets of the group"):
            asked = [TopicPartition(*where) for where in bounds]
            committed = {(at.topic, at.partition): at for at in self._client.committed(asked, timeout=SECONDS)}
        found, new = dict[Partition, int](), dict[Partition, int]()
        for where, bound in bounds.items():
            topic = where[0]
            self._ids[topic] = bound.topic_id
            at = committed[where]
            if at.offset >= 0:
                remedy = f"reset the offsets of group {self.stream.group} with kafka-consumer-groups while no pod runs"
                require_inside(where, at.offset, bound, at.metadata or "", remedy)
                found[where] = at.offset
                continue
            low = self.stream.start_at == EARLIEST or topic == self.stream.redrive or self._is_known(topic)
            new[where] = bound.low if low else bound.high
        if new:
            self._transact(lambda _: None, new)
        return found | new

    def commit(self, scored: Scored) -> None:
        """See Sink.commit."""

        def produce(producer: Any) -> None:
            self._produce(producer, scored)
            reach("predictions-written")

        self._transact(produce, {where: at.end for where, at in scored.progress.items()})

    def abandon(self) -> None:
        """See Sink.abandon; the next producer has the same name and so ends what this one began.

        None is kept over a failure: one whose broker was away may wait for it without end when it sends offsets.
        Source: https://github.com/confluentinc/librdkafka/issues/5456
        """
        self._open, self._begun = None, False

    def retire(self) -> None:
        """See Sink.retire; Kafka does it by the topics' retention."""

    def close(self) -> None:
        """See Sink.close; readers need not wait for the end of a transaction that nobody goes on with."""
        if self._begun:
            with contextlib.suppress(KafkaException):
                self._open.abort_transaction(SECONDS)
        self.abandon()

    def _transact(self, work: Callable[[Any], None], offsets: Mapping[Partition, int]) -> None:
        with _said("a transaction"):
            producer = self._producer()
            producer.begin_transaction()
            self._begun = True
            work(producer)
            ends = [TopicPartition(*where, offset, self._ids[where[0]]) for where, offset in offsets.items()]
            producer.send_offsets_to_transaction(ends, self._client.consumer_group_metadata(), SECONDS)
            reach("offsets-written")
            reach("before-commit")
            producer.commit_transaction(SECONDS)
            self._begun = False
        reach("after-commit")

    def _producer(self) -> Any:
        """A producer whose predecessor's transaction, if one was left open in this pod, is ended."""
        if self._open is None:
            try:
                made = Producer(self._given)
            except KafkaException as error:
                raise JobError(f"librdkafka refuses stream.kafka.properties: {words(error)}.") from None
            made.init_transactions(SECONDS)
            self._open = made
        return self._open

    def _is_known(self, topic: str) -> bool:
        """Whether the group has read any of a topic before."""
        partitions = self._client.list_topics(topic, timeout=SECONDS).topics[topic].partitions
        asked = [TopicPartition(topic, partition) for partition in partitions]
        return any(at.offset >= 0 for at in self._client.committed(asked, timeout=SECONDS))

    def _produce(self, producer: Any, scored: Scored) -> None:
        stream, own = self.stream, self._own
        redriven = any(topic == stream.redrive for topic, _ in scored.progress)
        texts = values(scored.answers, self.labels, scored.documents, stream.keep)
        for message, text in zip(scored.messages, texts, strict=True):
            source = str(position(message) if redriven else came(message)).encode()
            self._send(producer, stream.output, message.key(), text, [*own, (SOURCE, source)], message.timestamp()[1])
        for letter in scored.dead:
            self._send(producer, stream.dead, letter.key, letter.value, self._headers(letter), letter.at)

    def _headers(self, letter: Dead) -> Headers:
        ours = {SOURCE, REASONS, MODEL, VERSION, DIGEST}
        theirs = [(name, content) for name, content in letter.headers if name not in ours]
        why = (REASONS, reasons(letter.rejects).encode())
        return [*theirs, *self._own, (SOURCE, str(letter.position).encode()), why]  # type: ignore[list-item]

    def _send(self, producer: Any, topic: str, key: bytes | None, value: bytes, headers: Headers, at: int) -> None:
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, timestamp=max(at, 0))
                return
            except BufferError:
                producer.poll(0.1)


def values(
    answers: Answers, labels: Sequence[Sequence[str]], documents: Sequence[Any], keep: Sequence[str]
) -> list[bytes]:
    """Predictions as JSON, in the words of HTTP's answer: prediction, probabilities by class, and what is kept."""
    whole = answers.to_json(labels)
    parts = [("prediction", whole["predictions"])]
    if "probabilities" in whole:
        parts.append(("probabilities", whole["probabilities"]))
    if keep:
        parts.append(("kept", [orjson.Fragment(text) for text in kept(documents, keep)]))
    names = [name for name, _ in parts]
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in zip(*(each for _, each in parts), strict=True)]


class _said:  # noqa: N801 - a context manager, used as a function
    """Turn the client's errors into ours."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if not isinstance(error, KafkaException):
            return
        inner = error.args[0]
        if inner.code() in STALE:
            raise Fenced(f"Another consumer has taken over ({words(error)}).") from None
        if inner.fatal():
            raise Fatal(f"Kafka's producer cannot go on: {words(error)}.") from None
        raise Unavailable(f"Kafka failed at {self._what}: {words(error)}.") from None
