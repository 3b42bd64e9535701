"""A stream: which events a release takes and where their predictions go, as the chart tells it in TRIFOLD_STREAM."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trifold.errors import JobError

POSTGRES, KAFKA = "postgres", "kafka"
EARLIEST, LATEST = "earliest", "latest"
NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
"""A topic's name.

Source: https://github.com/apache/kafka/blob/4.1.0/clients/src/main/java/org/apache/kafka/common/internals/Topic.java
"""
KEYS = {
    "topic": str,
    "where": dict,
    "fields": dict,
    "keep": list,
    "sink": str,
    "output": str,
    "startAt": str,
    "maxEvents": int,
    "maxDelayMs": int,
    "maxEventBytes": int,
    "maxRetries": int,
    "createTopics": dict,
    "retentionDays": dict,
}

Path = tuple[str, ...]


@dataclass(frozen=True)
class Creation:
    """How topics are made that are missing."""

    partitions: int
    replication: int


@dataclass(frozen=True)
class Retention:
    """For how many days predictions and dead letters are kept."""

    predictions: int
    dead_letters: int


@dataclass(frozen=True)
class Stream:
    """What one release consumes.

    Attributes:
        release: The release's name.
        namespace: Its namespace.
        topic: Where the events come from.
        where: Path in an event to the value that it must have there; other events are none of this model's.
        fields: Column of the model to its path in an event; the rest have their own names.
        keep: Paths of an event that stand beside its prediction.
        sink: "postgres" or "kafka".
        output: Topic of the predictions, of the kafka sink.
        start_at: Where a release begins that has never committed: "earliest" or "latest".
        max_events: Most events in a transaction.
        max_delay: Seconds for which the first of them waits for others.
        max_event_bytes: A larger event is a dead letter.
        max_retries: Failures after which the consumer is unready; it keeps trying.
        creation: How missing topics are made; None: they are not.
        retention: What is kept for how long.
    """

    release: str
    namespace: str
    topic: str
    where: Mapping[Path, Any]
    fields: Mapping[str, Path]
    keep: tuple[str, ...]
    sink: str
    output: str
    start_at: str
    max_events: int
    max_delay: float
    max_event_bytes: int
    max_retries: int
    creation: Creation | None
    retention: Retention

    @property
    def group(self) -> str:
        """The consumer group: one a release, so that no model holds up another."""
        return f"trifold.{self.namespace}.{self.release}"

    @property
    def redrive(self) -> str:
        """The topic from which dead letters come back, to this release alone."""
        return f"{self.topic}.redrive.{self.release}"

    @property
    def dead(self) -> str:
        """The topic of dead letters, of the kafka sink."""
        return f"{self.topic}.dead.{self.release}"

    @property
    def needed(self) -> tuple[str, ...]:
        """The topics without which it cannot run; that of redriven events may come later."""
        return (self.topic, self.output, self.dead) if self.sink == KAFKA else (self.topic,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Stream":
        """Read what the chart set.

        Raises:
            JobError: It is not set, or makes no sense.
        """
        release, namespace = environment.get("TRIFOLD_RELEASE", ""), environment.get("TRIFOLD_NAMESPACE", "")
        if not release or not namespace:
            raise JobError("TRIFOLD_RELEASE and TRIFOLD_NAMESPACE are not set; the chart sets them.")
        try:
            document = json.loads(environment.get("TRIFOLD_STREAM", ""))
        except ValueError as error:
            raise JobError(f"TRIFOLD_STREAM holds no stream ({error}); the chart sets it.") from None
        return cls.from_json(document, release, namespace)

    @classmethod
    def from_json(cls, document: Any, release: str, namespace: str) -> "Stream":
        """Read a stream; all keys have to be there, as the chart writes them.

        Raises:
            JobError: A key lacks, is unknown or has another type, or a value makes no sense.
        """
        _require_keys(document)
        made, days = document["createTopics"], document["retentionDays"]
        try:
            creation = Creation(int(made["partitions"]), int(made["replicationFactor"])) if made["enabled"] else None
            retention = Retention(int(days["predictions"]), int(days["deadLetters"]))
        except (KeyError, TypeError, ValueError) as error:
            raise JobError(f"TRIFOLD_STREAM lacks {error} in createTopics or retentionDays.") from None
        topic = document["topic"]
        stream = cls(
            release=release,
            namespace=namespace,
            topic=topic,
            where={path(name): value for name, value in document["where"].items()},
            fields={column: path(name) for column, name in document["fields"].items()},
            keep=tuple(document["keep"]),
            sink=document["sink"],
            output=document["output"] or f"{topic}.predictions.{release}",
            start_at=document["startAt"],
            max_events=document["maxEvents"],
            max_delay=document["maxDelayMs"] / 1000,
            max_event_bytes=document["maxEventBytes"],
            max_retries=document["maxRetries"],
            creation=creation,
            retention=retention,
        )
        stream._require_sense()
        return stream

    def _require_sense(self) -> None:
        for name in (self.topic, self.output, self.dead, self.redrive):
            if not NAME.fullmatch(name):
                raise JobError(
                    f"{name!r} can be no topic: letters, digits, '.', '_' and '-', at most 249; change stream.topic."
                )
        for key, value, known in (
            ("sink", self.sink, (POSTGRES, KAFKA)),
            ("startAt", self.start_at, (EARLIEST, LATEST)),
        ):
            if value not in known:
                raise JobError(f"stream.{key} is {value!r}; set it to {' or '.join(known)}.")
        if self.output == self.topic:
            raise JobError("stream.output is the topic that is read; predictions would be taken for events.")


def path(name: str) -> Path:
    """A path in an event: names of objects inside each other, with dots between."""
    return tuple(name.split("."))


def _require_keys(document: Any) -> None:
    if not isinstance(document, dict) or document.keys() != KEYS.keys():
        lacking = sorted(KEYS.keys() ^ (document.keys() if isinstance(document, dict) else set()))
        raise JobError(f"TRIFOLD_STREAM lacks or has too many of: {', '.join(lacking)}; image and chart do not agree.")
    for key, kind in KEYS.items():
        if not isinstance(document[key], kind) or isinstance(document[key], bool):
            raise JobError(f"stream.{key} is {document[key]!r}, and should be of type {kind.__name__}.")
