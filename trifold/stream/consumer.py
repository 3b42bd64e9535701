"""The consumer: takes what waits, scores it and commits it with how far it went, again and again.

One thread does it all, so that a rebalance, which librdkafka tells from within `consume`, never meets a batch on its
way. A batch that fails, for whatever reason, is void: every partition goes back to where the sink says it is.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from trifold import metrics
from trifold.errors import JobError, TrifoldError, first_line
from trifold.failpoints import reach
from trifold.model import Model
from trifold.stream import client as kafka
from trifold.stream.scored import Partition, Progress, Scored, score
from trifold.stream.sink import Fatal, Fenced, OffsetLost, Sink
from trifold.stream.state import State
from trifold.stream.stream import Stream

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds between two tries after a failure, doubled each time."""
LOOK_SECONDS = 1.0
"""Between two looks at lag and topics."""
RETIRE_SECONDS = 3600.0
ALONE_SECONDS = 15.0
"""Without partitions for so long it makes sure that the group knows it."""


class Strangers(TrifoldError):
    """Consumers of another release are in the group."""


class Consumer:
    """A consumer of one release.

    Attributes:
        stream: What it consumes.
        model: What scores.
        sink: Where predictions go.
        state: What it says of itself.
    """

    def __init__(self, stream: Stream, model: Model, sink: Sink, properties: Mapping[str, str], state: State) -> None:
        self.stream, self.model, self.sink, self.state = stream, model, sink, state
        self._properties = properties
        self._admin = kafka.admin(properties)
        self._client: Any = None
        self._positions: dict[Partition, int] = {}
        self._waiting: dict[Partition, TopicPartition] = {}
        self._joined = False
        self._failures = 0
        self._again = 0.0
        self._trouble = ""
        self._looked = self._retired = self._alone = time.monotonic()
        self._told: list[TopicPartition] = []

    def run(self, stopping: threading.Event) -> None:
        """Consume until asked to stop; then end the transaction and leave the group.

        Raises:
            JobError: It is set up in a way that cannot work.
            Fatal: A new process has to.
        """
        try:
            while not stopping.is_set():
                self.state.turned = time.monotonic()
                try:
                    self._turn(stopping)
                except (JobError, Fatal):
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it was, the batch is void, and tried again
                    self._fail(error)
        finally:
            self.state.set(False, "it ends")
            if self._client is not None:
                self._client.close()
            self.sink.close()

    def _turn(self, stopping: threading.Event) -> None:
        if time.monotonic() < self._again:
            self._idle(stopping)
            return
        if self._client is None:
            self._join()
        self._begin()
        messages = self._client.consume(self.stream.max_events, self.stream.max_delay)
        batch, progress = self._sorted(messages)
        if batch:
            self._commit(batch, progress)
        self._look()

    def _idle(self, stopping: threading.Event) -> None:
        """Wait for the next try, and stay in the group meanwhile: all partitions are paused, so nothing comes."""
        if self._client is None:
            stopping.wait(0.1)
            return
        message = self._client.poll(0.1)
        if message is not None and message.error():
            self._note(message.error())

    def _join(self) -> None:
        """Make sure of topics and group, and join it."""
        kafka.ensure_topics(self._admin, self.stream.needed, self.stream)
        identity = self.sink.identity
        others = kafka.strangers(self._admin, self.stream, identity)
        if others:
            raise Strangers(
                f"Group {self.stream.group} has consumers of another release of this name, at {', '.join(others)}: "
                "give one of the two another name or namespace, or end the other."
            )
        given = kafka.consumer_properties(self._properties, self.stream, identity)
        try:
            self._client = Client({**given, "error_cb": self._note})
        except KafkaException as error:
            raise JobError(f"librdkafka refuses stream.kafka.properties: {kafka.words(error)}.") from None
        self._alone = time.monotonic()
        self.sink.join(self._client)
        self._client.subscribe(
            [self.stream.topic, self.stream.redrive],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def _assigned(self, client: Any, partitions: Sequence[TopicPartition]) -> None:
        """Take over partitions, paused until the sink has said where they go on."""
        self._joined = True
        metrics.REBALANCES.labels("assigned").inc(len(partitions))
        for partition in partitions:
            self._waiting[partition.topic, partition.partition] = partition
            partition.offset = 0  # known to librdkafka at once, so that it can be moved; nothing is read of it
        client.incremental_assign(list(partitions))
        if partitions:
            client.pause(list(partitions))
            print(f"assigned {_listed(partitions)}", flush=True)
        reach("assigned")

    def _revoked(self, client: Any, partitions: Sequence[TopicPartition]) -> None:
        """Give partitions back; what was scored of them is committed or was never begun."""
        metrics.REBALANCES.labels("revoked").inc(len(partitions))
        for partition in partitions:
            where = partition.topic, partition.partition
            self._positions.pop(where, None)
            self._waiting.pop(where, None)
            metrics.LAG.remove(*map(str, where)) if where in self.state.lag else None
        self.state.lag = {where: count for where, count in self.state.lag.items() if where in self._positions}
        client.incremental_unassign(list(partitions))
        if partitions:
            print(f"gave back {_listed(partitions)}", flush=True)
        reach("revoked")

    def _begin(self) -> None:
        """Go on, in partitions that wait, where the sink says."""
        if not self._waiting:
            return
        ids = kafka.topic_ids(self._admin, sorted({topic for topic, _ in self._waiting}))
        bounds = kafka.bounds(self._client.get_watermark_offsets, self._waiting, ids)
        for where, offset in self.sink.begin(bounds).items():
            partition = TopicPartition(*where, offset)
            self._client.seek(partition)
            self._client.resume([partition])
            self._positions[where] = offset
            del self._waiting[where]
        reach("begun")

    def _sorted(self, messages: Sequence[Any]) -> tuple[list[Any], dict[Partition, Progress]]:
        """Messages of partitions that are ours, each once, and how far they go."""
        batch, ends = [], dict[Partition, int]()
        positions = self._positions
        for message in messages:
            if message.error():
                self._note(message.error())
                continue
            where, offset = (message.topic(), message.partition()), message.offset()
            expected = ends.get(where, positions.get(where))
            if expected is None or offset < expected:  # given back meanwhile, or read before
                continue
            ends[where] = offset + 1
            batch.append(message)
        return batch, {where: Progress(positions[where], end) for where, end in ends.items()}

    def _commit(self, batch: Sequence[Any], progress: Mapping[Partition, Progress]) -> None:
        reach("consumed")
        scored = score(batch, progress, self.stream, self.model)
        reach("scored")
        self.sink.commit(scored)
        for where, at in progress.items():
            self._positions[where] = at.end
        self._failures = 0
        self._count(scored, batch)

    def _count(self, scored: Scored, batch: Sequence[Any]) -> None:
        metrics.BATCHES.observe(len(batch))
        metrics.ROWS.labels("stream").inc(len(scored.messages))
        for letter in scored.dead:
            metrics.DEAD.labels(letter.rejects[0].rule).inc()
            for reject in letter.rejects:
                metrics.REJECTS.labels("stream", reject.rule).inc()
        for reason, count in scored.passed.items():
            metrics.PASSED.labels(reason).inc(count)
        if scored.messages:
            times = np.fromiter((message.timestamp()[1] for message in scored.messages), np.int64, len(scored.messages))
            metrics.LATENCY.observe(time.time() - times / 1000)

    def _look(self) -> None:
        """Now and then: lag, whether it is ready, what is too old."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS and self._is_settled():
            return
        self._looked = now
        lag = {}
        for where, position in self._positions.items():
            _, high = self._client.get_watermark_offsets(TopicPartition(*where), cached=True)
            lag[where] = max(0, high - position) if high >= 0 else 0
            metrics.LAG.labels(*map(str, where)).set(lag[where])
        self.state.lag = lag
        self._tell()
        self._require_broker()
        if self._trouble:
            if self.state.ready or self.state.reason != self._trouble:
                self.state.set(False, self._trouble)
        elif self._joined and not self._waiting:
            self.state.set(True)
        elif not self._joined:
            self.state.set(False, f"waits for group {self.stream.group} to give it partitions")
        if now - self._retired > RETIRE_SECONDS:
            self._retired = now
            self.sink.retire()
        self._require_member(now)

    def _require_member(self, now: float) -> None:
        """Join anew where the group knows nothing of it: after a broker's restart librdkafka may stop asking."""
        if self._positions or self._waiting:
            self._alone = now
        if now - self._alone < ALONE_SECONDS:
            return
        self._alone = now
        if self._client.memberid() not in kafka.members(self._admin, self.stream.group):
            print(f"group {self.stream.group} does not know this consumer: it joins anew", flush=True)
            client, self._client, self._joined = self._client, None, False
            client.close()

    def _is_settled(self) -> bool:
        return self.state.ready or not self._joined or bool(self._waiting)

    def _tell(self) -> None:
        """Let Kafka know how far it is, for those who watch the group there; what counts is in the sink."""
        offsets = [TopicPartition(*where, offset) for where, offset in self._positions.items()]
        if offsets and offsets != self._told and self.sink.tells:
            self._client.commit(offsets=offsets, asynchronous=True)
            self._told = offsets

    def _require_broker(self) -> None:
        """After librdkafka lost all brokers, look whether one is there again."""
        if self._trouble:
            kafka.ensure_topics(self._admin, self.stream.needed, self.stream)
            self._trouble = ""

    def _note(self, error: Any) -> None:
        """What librdkafka reports beside messages; it goes on by itself from nearly all."""
        code = error.code()
        if error.fatal():
            raise Fatal(f"Kafka's client cannot go on: {kafka.words(error)}.")
        if code == KafkaError._ALL_BROKERS_DOWN:
            self._trouble = f"no broker answers at {self._properties['bootstrap.servers']}"
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._trouble = "an offset is out of range"
            self._rewind()
        elif code == KafkaError.UNKNOWN_TOPIC_OR_PART and self.stream.redrive not in str(error):
            self._trouble = f"topic {self.stream.topic} is gone"
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            print(f"too slow for the group: {kafka.words(error)}", flush=True)

    def _fail(self, error: Exception) -> None:
        """Begin again from what the sink holds, after a while."""
        self.sink.abandon()
        self._rewind()
        if isinstance(error, Fenced):
            print(f"fenced: {error}", flush=True)
            return
        metrics.FAILURES.inc()
        self._failures += 1
        said = str(error) if isinstance(error, TrifoldError) else f"{type(error).__name__}: {_line(error)}"
        wait = min(FIRST_WAIT * 2 ** (self._failures - 1), LONGEST_WAIT)
        self._again = time.monotonic() + wait
        print(f"failed ({self._failures}), next try in {wait:.1f} s: {said}", flush=True)
        standing = isinstance(error, OffsetLost | kafka.TopicMissing | Strangers)
        if standing or self._failures > self.stream.max_retries or not self._joined:
            self.state.set(False, said)

    def _rewind(self) -> None:
        """Take nothing more until the sink has said anew where each partition is."""
        if not self._positions:
            return
        partitions = [TopicPartition(*where) for where in self._positions]
        self._client.pause(partitions)
        for partition in partitions:
            self._waiting[partition.topic, partition.partition] = partition
        self._positions.clear()


def _line(error: BaseException) -> str:
    return kafka.words(error) if isinstance(error, KafkaException) else first_line(error)


def _listed(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{partition.topic} {partition.partition}" for partition in partitions)
