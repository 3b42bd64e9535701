"""The server's end: it drains first, so that a rolling update fails no request.

Kubernetes sends SIGTERM while it still tells nodes and gateways that the pod is going, so requests keep coming for a
while, on old connections and on new ones. uvicorn would close idle connections at once, under requests that are on
their way. This server goes on answering for `drain_seconds`, each answer with `Connection: close`, so that clients
leave of themselves, and is not ready; only then it ends. It needs no preStop hook, hence no route by which a stranger
could begin the end.
"""

import signal
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """A uvicorn that drains at SIGTERM, and ends at once at a second one or at Ctrl-C."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float, begun: Callable[[], None]) -> None:
        """Takes how long to drain, and what to call when that begins."""
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._begun = begun
        self._ends: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn.Server."""
        if sig != signal.SIGTERM or self._ends is not None or not self._drain_seconds or not self.started:
            super().handle_exit(sig, frame)
            return
        self._ends = time.monotonic() + self._drain_seconds
        self._begun()
        # uvicorn sends these with every answer, and keeps no connection that it told to close.
        self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn.Server: called ten times a second."""
        if self._ends is not None and time.monotonic() >= self._ends:
            self.should_exit = True
        return await super().on_tick(counter)
