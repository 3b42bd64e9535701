"""Where predictions go: each batch with how far it went, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trifold.errors import TrifoldError
from trifold.stream.scored import Partition, Scored


class Fenced(TrifoldError):
    """Another consumer has gone on with a partition; what this one scored of it is void."""


class Fatal(TrifoldError):
    """Kafka's client cannot go on; a new process can."""


class OffsetLost(TrifoldError):
    """The next event of a partition is no longer there, or never was; going on would pass over events in silence."""


@dataclass(frozen=True)
class Bounds:
    """What a partition holds.

    Attributes:
        low: The first offset that is there.
        high: The next that will be.
        topic_id: Kafka's own name of the topic, which one made anew does not have.
    """

    low: int
    high: int
    topic_id: str


class Sink(Protocol):
    """A sink of one release."""

    @property
    def identity(self) -> str:
        """What all consumers of the release have in common, and those of another one of its name do not."""

    tells: bool
    """Whether Kafka has to be told how far it is, for those who watch the group there."""

    def join(self, client: Any) -> None:
        """Know the consumer that it commits for."""

    def begin(self, bounds: Mapping[Partition, Bounds]) -> dict[Partition, int]:
        """The next offsets of partitions that this consumer takes over.

        Raises:
            OffsetLost: One's next offset is not in its partition.
            Unavailable: The sink does not answer.
        """

    def commit(self, scored: Scored) -> None:
        """Write a batch and how far it goes, all or nothing.

        Raises:
            Fenced: Another has gone on with one of the partitions; nothing is written.
            Unavailable: It does not answer; nothing is written, or all.
        """

    def abandon(self) -> None:
        """Forget what was begun and not committed."""

    def retire(self) -> None:
        """Remove what is older than its retention."""

    def close(self) -> None:
        """Let go of it."""


def require_inside(where: Partition, offset: int, bounds: Bounds, known_id: str, remedy: str) -> None:
    """Make sure that a partition's next event can be read.

    Args:
        where: The partition.
        offset: The next offset.
        bounds: What the partition holds.
        known_id: The topic's id when the offset was written; empty where nobody knows.
        remedy: What to do to begin at the first event that is there.

    Raises:
        OffsetLost: It cannot.
    """
    topic, partition = where
    if (known_id and known_id != bounds.topic_id) or offset > bounds.high:
        raise OffsetLost(f"Topic {topic} was made anew since its events were read last; {remedy}.")
    if offset < bounds.low:
        raise OffsetLost(
            f"{bounds.low - offset:,} events of {topic}, partition {partition}, have expired before they were read "
            f"({offset} is next, {bounds.low} the first that is there). To go on without them, {remedy}."
        )
