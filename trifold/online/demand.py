"""What a request asks of the server beside its body: which route, and how long its client waits for the answer.

A client says so in `grpc-timeout`, the header of gRPC's own specification (PROTOCOL-HTTP2.md, "Requests"): up to eight
digits and a unit, as in `500m` for 500 milliseconds. Plain JSON clients send it as well, to grpc-gateway and proxies
like it. HTTP itself has only `Prefer: wait=` (RFC 7240), in whole seconds; Envoy's `x-envoy-expected-rq-timeout-ms` is
what a proxy allows, 15 s unless told otherwise, not what a client wants.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from trifold.online.refusals import Refused

HEADER = b"grpc-timeout"
TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
EXPECTED = "grpc-timeout: 1 to 8 digits, not all 0, and a unit, H, M, S, m (milliseconds), u or n, such as 500m"
MOST_WAIT_SECONDS = 1.0
"""That a request may have to wait whose client does not say how long it would."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request asks.

    Attributes:
        route: Its path.
        since: When it came, by the server's clock.
        timeout: Seconds in which its client wants the answer; None: it did not say.
    """

    route: str
    since: float
    timeout: float | None = None

    @classmethod
    def read(cls, route: str, headers: Iterable[tuple[bytes, bytes]], now: float) -> "Demand":
        """The demand of a request that has just come.

        Raises:
            Refused: Its timeout is none.
        """
        sent = [value for name, value in headers if name == HEADER]
        return cls(route, now, read_timeout(b", ".join(sent)) if sent else None)

    def patience(self, now: float) -> float:
        """Seconds that it may still wait before it is served."""
        return MOST_WAIT_SECONDS if self.timeout is None else self.timeout - (now - self.since)

    def require_time(self, now: float) -> None:
        """Make sure, before work is begun, that somebody waits for it.

        Raises:
            Refused: The client's time is over.
        """
        if self.timeout is not None and now - self.since > self.timeout:
            raise busy(f"an answer within {self.timeout:g} s, as grpc-timeout has it", "a longer wait", 0)


def read_timeout(value: bytes) -> float:
    """Seconds of a `grpc-timeout`.

    Raises:
        Refused: It is none, or 0; who sends one relies on it, so it is not passed over.
    """
    found = TIMEOUT.fullmatch(value)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise Refused(400, "timeout", EXPECTED, value.decode("latin-1"))
    return seconds


def busy(expected: str, got: str, seconds: float) -> Refused:
    """The refusal of a request for which there is no room until some seconds have passed."""
    return Refused(503, "busy", expected, got, retry_after=max(1, math.ceil(seconds)))
