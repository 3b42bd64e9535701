"""Kafka as the chart describes it: properties of librdkafka from the values and a Secret, and what is in it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from trifold.errors import JobError, TrifoldError, Unavailable
from trifold.stream.scored import Partition
from trifold.stream.sink import Bounds
from trifold.stream.stream import Stream

END: int = KafkaError._PARTITION_EOF
SECONDS = 5
"""For a question to the broker."""
SESSION_MS = 6000
"""After so long without a word a consumer is taken for dead, and others take over."""


class TopicMissing(TrifoldError):
    """A topic is not there, and nobody allowed to make it."""


def properties(environment: Mapping[str, str]) -> dict[str, str]:
    """Librdkafka's properties: those in TRIFOLD_KAFKA, and those of the Secret in the folder TRIFOLD_KAFKA_SECRET.

    Raises:
        JobError: There are none, or no bootstrap.servers among them.
    """
    try:
        found = {
            str(name): str(value) for name, value in dict(json.loads(environment.get("TRIFOLD_KAFKA", ""))).items()
        }
    except (TypeError, ValueError) as error:
        raise JobError(f"TRIFOLD_KAFKA holds no properties ({error}); the chart sets it.") from None
    folder = environment.get("TRIFOLD_KAFKA_SECRET")
    if folder:
        # A Secret's volume has links that begin with dots beside its files.
        files = [file for file in Path(folder).iterdir() if file.is_file() and not file.name.startswith(".")]
        found |= {file.name: file.read_text().strip() for file in files}
    if not found.get("bootstrap.servers"):
        raise JobError("No broker is set: give stream.kafka.properties.bootstrap.servers.")
    return found


def consumer_properties(given: Mapping[str, str], stream: Stream, identity: str) -> dict[str, Any]:
    """Those of the consumer; what exactness rests on is not for others to set."""
    return {
        "queued.max.messages.kbytes": 16_384,
        "fetch.queue.backoff.ms": 10,
        "topic.metadata.refresh.interval.ms": 30_000,
        "log_level": 2,  # what goes wrong is said by the consumer, once
        **given,
        "group.id": stream.group,
        "client.id": client_id(identity),
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": 2000,
        "partition.assignment.strategy": "cooperative-sticky",
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "allow.auto.create.topics": False,
    }


def client_id(identity: str) -> str:
    """The name by which consumers of one release know each other."""
    return f"trifold-{identity}"


def admin(given: Mapping[str, str]) -> AdminClient:
    """A client that makes and describes.

    Raises:
        JobError: librdkafka does not know a property.
    """
    try:
        return AdminClient({"socket.timeout.ms": SECONDS * 1000, "log_level": 2, **given})
    except KafkaException as error:
        raise JobError(f"librdkafka refuses stream.kafka.properties: {words(error)}.") from None


def ensure_topics(client: AdminClient, topics: Sequence[str], stream: Stream) -> None:
    """Make sure that topics are there; make those that are missing where the values say so.

    Raises:
        TopicMissing: One is not.
        Unavailable: No broker answers.
    """
    there = topic_ids(client, topics)
    missing = [topic for topic in topics if topic not in there]
    if not missing:
        return
    made = stream.creation
    if made is None:
        raise TopicMissing(
            f"Topic {', '.join(missing)} does not exist; make it, or set stream.createTopics.enabled to let it be made."
        )
    wanted = [NewTopic(topic, made.partitions, made.replication, config=_config(topic, stream)) for topic in missing]
    for topic, done in client.create_topics(wanted, request_timeout=SECONDS).items():
        try:
            done.result()
            print(f"made topic {topic} of {made.partitions} partitions", flush=True)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Unavailable(f"Topic {topic} could not be made: {words(error)}.") from None


def _config(topic: str, stream: Stream) -> dict[str, str]:
    """Dead letters are larger than their events by headers, and are kept as long as the values say."""
    if topic not in (stream.dead, stream.redrive):
        return {}
    days = stream.retention.dead_letters
    return {"max.message.bytes": "20000000", "retention.ms": str(days * 86_400_000)}


def topic_ids(client: AdminClient, topics: Sequence[str]) -> dict[str, str]:
    """Kafka's id of each of the topics that is there.

    Raises:
        Unavailable: No broker answers.
    """
    found = {}
    try:
        asked = client.describe_topics(TopicCollection(list(topics)), request_timeout=SECONDS)
    except KafkaException as error:
        raise Unavailable(f"Kafka does not answer: {words(error)}.") from None
    for topic, said in asked.items():
        try:
            description = said.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise Unavailable(f"Kafka does not answer for topic {topic}: {words(error)}.") from None
        identity = description.topic_id
        found[topic] = f"{identity.get_most_significant_bits():016x}{identity.get_least_significant_bits():016x}"
    return found


def strangers(client: AdminClient, stream: Stream, identity: str) -> list[str]:
    """Clients in the group that are none of this release.

    Raises:
        Unavailable: No broker answers.
    """
    found = members(client, stream.group).values()
    return sorted({member.host for member in found if member.client_id != client_id(identity)})


def members(client: AdminClient, group: str) -> dict[str, Any]:
    """The members of a group, by their ids.

    Raises:
        Unavailable: No broker answers.
    """
    try:
        [said] = client.describe_consumer_groups([group], request_timeout=SECONDS).values()
        return {member.member_id: member for member in said.result().members}
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise Unavailable(f"Kafka does not answer for group {group}: {words(error)}.") from None


def bounds(
    watermarks: Callable[..., tuple[int, int]], partitions: Mapping[Partition, Any], ids: Mapping[str, str]
) -> dict[Partition, Bounds]:
    """What partitions hold, asked of the broker.

    Raises:
        Unavailable: It does not answer.
    """
    found = {}
    for (topic, number), partition in partitions.items():
        try:
            low, high = watermarks(partition, timeout=SECONDS)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not answer for {topic}, partition {number}: {words(error)}.") from None
        found[topic, number] = Bounds(low, high, ids.get(topic, ""))
    return found


def words(error: BaseException) -> str:
    """What librdkafka said, in one line."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    said = inner.str() if isinstance(inner, KafkaError) else str(inner)
    return " ".join(said.split())[:200]
