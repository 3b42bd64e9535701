"""A real Kafka for the tests: a broker of their own for each worker, a topic's name of its own for each test."""

import itertools
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from tests.postgres import free_port

SECONDS = 60
LARGEST = 20_000_000
JAVA = ("java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable")
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "message.max.bytes": LARGEST,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    # Few partitions, small buffers: the start and the first transaction are fast.
    "offsets.topic.num.partitions": 3,
    "transaction.state.log.num.partitions": 3,
    "log.cleaner.dedupe.buffer.size": 8_000_000,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # After a kill the controller waits this long until it takes the broker again.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 300,
    # The transactions of killed producers end soon after their timeout.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
}
LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.type = Console
appender.file.name = file
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c %m%n
"""


@dataclass
class Broker:
    """A broker that listens on loopback; `kill` and `start` it as often as a test likes."""

    jars: Path
    folder: Path
    port: int
    controller_port: int
    process: subprocess.Popen | None = None
    numbers: itertools.count = field(default_factory=itertools.count)

    @property
    def bootstrap(self):
        """Its address."""
        return f"127.0.0.1:{self.port}"

    def start(self):
        """Start it and wait until it answers."""
        if not (self.folder / "data").exists():
            self._format()
        with (self.folder / "log").open("ab") as log:
            argv = self._java("kafka.Kafka", self.folder / "server.properties")
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)
        ends = time.monotonic() + SECONDS
        admin = self.admin()
        while not self._answers(admin):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends, (self.folder / "log").read_text()

    def kill(self):
        """End it at once, as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait(SECONDS)

    def stop(self):
        """End it in order."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(SECONDS)

    def admin(self):
        """A client that makes, lists and deletes."""
        return AdminClient({**self._client, "socket.timeout.ms": 10_000})

    def create(self, topic, partitions=3, **config):
        """Make a topic and wait until each partition has a leader; dots in a setting's name are written as `_`."""
        admin = self.admin()
        settings = {name.replace("_", "."): str(value) for name, value in config.items()}
        admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(SECONDS)
        ends = time.monotonic() + SECONDS
        while not self._has(admin, topic, partitions):
            assert time.monotonic() < ends, f"{topic} has no {partitions} partitions with a leader"
        return topic

    def delete(self, topic):
        """Delete a topic with all that is in it."""
        admin = self.admin()  # which takes its answers with it
        admin.delete_topics([topic])[topic].result(SECONDS)

    def produce(self, topic, events):
        """Send (key, value) or (key, value, headers), in order; each is in the log when this returns."""
        said = []
        producer = Producer({**self._client, "acks": "all", "enable.idempotence": True, "message.max.bytes": LARGEST})
        for key, value, *headers in events:
            sent = {"value": value, "key": key, "headers": headers[0] if headers else None}
            while not self._queued(producer, topic, on_delivery=lambda error, _: said.append(error), **sent):
                producer.poll(1)
            producer.poll(0)
        left = producer.flush(SECONDS)
        assert not left, f"{left} events were not delivered within {SECONDS} s"
        assert not any(said), [error for error in said if error][:3]

    def consume(self, topic, isolation="read_committed"):
        """All messages of a topic up to its ends at this moment, by partition and offset; joins no group."""
        ends = self.ends(topic, isolation)
        left = {partition for partition, end in ends.items() if end}
        if not left:
            return []
        options = {"group.id": "tests", "isolation.level": isolation, "enable.partition.eof": True}
        consumer = Consumer({**self._client, **options, "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        found, deadline = [], time.monotonic() + SECONDS
        while left:
            assert time.monotonic() < deadline, f"{len(found)} messages read, {left} of {topic} not to the end"
            for message in consumer.consume(10_000, timeout=0.2):
                error = message.error()
                if error and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if error or message.offset() >= ends[message.partition()] - 1:
                    left.discard(message.partition())
                if not error and message.offset() < ends[message.partition()]:
                    found.append(message)
        consumer.close()
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    def ends(self, topic, isolation="read_committed"):
        """Partition -> the offset after its last message that a consumer of this isolation may read."""
        admin = self.admin()
        partitions = admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in partitions}
        level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
        found = admin.list_offsets(asked, isolation_level=level, request_timeout=SECONDS)
        return {at.partition: future.result().offset for at, future in found.items()}

    @property
    def _client(self):
        return {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 200, "log_level": 0}

    def _format(self):
        listeners = f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}"
        quorum = {"controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller_port}"}
        settings = {**PROPERTIES, **quorum, "listeners": listeners, "log.dirs": self.folder / "data"}
        (self.folder / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (self.folder / "log4j2.properties").write_text(LOGGING)
        argv = ["format", "--standalone", "--cluster-id", "tests", "--config", self.folder / "server.properties"]
        done = subprocess.run(self._java("kafka.tools.StorageTool", *argv), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _java(self, *arguments):
        logging = f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties"
        return [*JAVA, logging, "-cp", f"{self.jars}/*", *map(str, arguments)]

    @staticmethod
    def _queued(producer, topic, **sent):
        try:
            producer.produce(topic, **sent)
        except BufferError:
            return False
        return True

    @staticmethod
    def _answers(admin):
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    @staticmethod
    def _has(admin, topic, partitions):
        found = admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions
        return len(found) == partitions and all(partition.leader >= 0 for partition in found.values())


def jars():
    """The folder of Kafka's jars, which tools/kafka finds or fetches."""
    found = subprocess.run(
        [Path(__file__).parents[1] / "tools/kafka", "--print"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def broker():
    """This worker's broker."""
    folder = Path(tempfile.mkdtemp(prefix="trifold-kafka-", dir="/tmp"))
    broker = Broker(jars(), folder, free_port(), free_port())
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def topic_name(broker):
    """The name of a topic that is not there yet."""
    return f"topic-{next(broker.numbers)}"
