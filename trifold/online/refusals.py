"""What a client is told that gets no prediction: statuses and their bodies, one form for all."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from trifold import metrics
from trifold.errors import Reject

MOST_ERRORS = 100

Answer = tuple[int, bytes]


class Refused(Exception):
    """A request that is not read to its end, or whose work is not begun.

    Attributes:
        answer: What the client is told.
        headers: Of that answer alone.
    """

    def __init__(self, status: int, rule: str, expected: str, got: str, *, retry_after: int | None = None) -> None:
        """Takes the one reject that the answer shows, and after how many seconds to come back."""
        self.answer = refuse(status, rule, expected, got)
        self.headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
        super().__init__(status, rule, expected, got)


class ClientGone(Exception):
    """The connection was closed before the body was there: nobody is left to answer."""


def refuse(status: int, rule: str, expected: str, got: str) -> Answer:
    """The refusal of a request as a whole."""
    return status, errors([Reject(None, None, rule, expected, got)])


def rejected(rejects: Sequence[Reject]) -> Answer:
    """The refusal of rows, counted by rule."""
    count(rejects)
    return 422, errors(rejects)


def count(rejects: Sequence[Reject]) -> None:
    """Count rejects by rule, for the metrics."""
    for rule, times in Counter(reject.rule for reject in rejects).items():
        metrics.REJECTS.labels("online", rule).inc(times)


def errors(rejects: Sequence[Reject]) -> bytes:
    """The body of a refusal."""
    document: dict[str, Any] = {"errors": [asdict(reject) for reject in rejects[:MOST_ERRORS]]}
    if len(rejects) > MOST_ERRORS:
        document["errors_total"] = len(rejects)
    return orjson.dumps(document)


FAILED = refuse(500, "failed", "an answer", "a failure of the server, which its log explains")
MORE_HEADERS: Mapping[int, list[tuple[bytes, bytes]]] = {
    405: [(b"allow", b"POST")],
    408: [(b"connection", b"close")],
}
"""Of a refusal, by its status."""
