"""How long a request will have to wait, from how long others took; no clock in it, times are given."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_SECONDS = 1.0
"""Of work that the mean is over."""
START_SECONDS = 0.1
START_REQUESTS = 5
"""What was thought before counts for as much work, and as many requests, at most."""
EACH_BYTE = 1e-7
"""Seconds to read and check a byte of a body, and to write the answer, before any was measured."""

Kind = tuple[str, int]
"""A route, and the bits of the body's size: bodies of a kind are alike within a factor of two."""


@dataclass(frozen=True)
class Cost:
    """What a request is thought to take before one of its kind was measured.

    Attributes:
        once: Seconds, however small the body.
        each_byte: Seconds for each of the body's bytes.
    """

    once: float = 0.01
    each_byte: float = EACH_BYTE

    @classmethod
    def fit(cls, times: Sequence[tuple[int, float]], row_bytes: float) -> "Cost":
        """The cost by predictions that were measured.

        Args:
            times: Rows and seconds, by rising rows; the line goes through the first and the last.
            row_bytes: Bytes of a row in a body.
        """
        (few, short), (many, long) = times[0], times[-1]
        each_row = max(long - short, 0.0) / (many - few) if many > few else short
        return cls(short, each_row / row_bytes + EACH_BYTE)


class Pace:
    """Seconds that a request of a kind takes: a mean over about the last second of work for that kind.

    Each request that was measured makes those before it weigh less, by an exponential of the seconds that it took. So a
    pause of the machine does not look like a slow model, and a model that has become slow is noticed within a second.
    """

    def __init__(self, start: Cost) -> None:
        self._start = start
        self._work: dict[Kind, tuple[float, float]] = {}
        """Weighted seconds, and how many requests they were for."""

    def estimate(self, kind: Kind) -> float:
        """Seconds for the next request of a kind."""
        seconds, count = self._work.get(kind) or self._begin(kind)
        return seconds / count

    def learn(self, kind: Kind, seconds: float) -> None:
        """Take in what a request took."""
        before, count = self._work.get(kind) or self._begin(kind)
        weight = math.exp(-seconds / WINDOW_SECONDS)
        self._work[kind] = before * weight + seconds, count * weight + 1

    def _begin(self, kind: Kind) -> tuple[float, float]:
        size = 0.75 * 2 ** kind[1]  # the middle of the kind
        seconds = self._start.once + self._start.each_byte * size
        count = min(START_REQUESTS, START_SECONDS / seconds)
        return count * seconds, count


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in a queue.

    Attributes:
        kind: What waits there.
        since: When it came.
        begun: Whether work for it was begun.
    """

    kind: Kind
    since: float
    begun: bool = False


class Queue:
    """Requests that are served one after another; the first is being served.

    Attributes:
        pace: How long they take.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._tickets: dict[Ticket, None] = {}
        self._counts: Counter[Kind] = Counter()
        self._begun = 0.0

    def __len__(self) -> int:
        return len(self._tickets)

    def enter(self, kind: Kind, now: float) -> Ticket:
        """Take the last place."""
        if not self._tickets:
            self._begun = now
        ticket = Ticket(kind, now)
        self._tickets[ticket] = None
        self._counts[kind] += 1
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """Give the place up, once; a request for which work was done tells what one of its kind takes.

        That is the time since the one before it was done: all that the server does meanwhile belongs to it.
        """
        if ticket not in self._tickets:
            return
        del self._tickets[ticket]
        self._counts[ticket.kind] -= 1
        if not self._counts[ticket.kind]:
            del self._counts[ticket.kind]
        if ticket.begun:
            self.pace.learn(ticket.kind, now - max(self._begun, ticket.since))
            self._begun = now

    def first_seconds(self, now: float) -> float:
        """Until the first will be done; 0 where there is none, or it takes longer than was thought."""
        first = next(iter(self._tickets), None)
        return max(self.pace.estimate(first.kind) - (now - self._begun), 0.0) if first else 0.0

    def seconds(self, now: float) -> float:
        """Until all will be done."""
        first = next(iter(self._tickets), None)
        if first is None:
            return 0.0
        total = sum(count * self.pace.estimate(kind) for kind, count in self._counts.items())
        return total - self.pace.estimate(first.kind) + self.first_seconds(now)
