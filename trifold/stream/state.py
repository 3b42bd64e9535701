"""What a consumer says of itself, over HTTP: alive, ready, metrics, how far it is."""

import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trifold import metrics
from trifold.errors import Unavailable
from trifold.stream.scored import Partition

ALIVE_SECONDS = 120
"""Without a turn of the loop for so long it hangs, and is started again; a transaction may take that long."""


@dataclass
class State:
    """Written by the consumer's loop, read by the server.

    Attributes:
        about: What does not change: group, topic, model, version.
        ready: Whether it consumes.
        reason: Why it does not.
        turned: When its loop last turned.
        lag: Events that wait, by partition.
    """

    about: Mapping[str, Any] = field(default_factory=dict)
    ready: bool = False
    reason: str = "starting"
    turned: float = field(default_factory=time.monotonic)
    lag: Mapping[Partition, int] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the loop turns."""
        return time.monotonic() - self.turned < ALIVE_SECONDS

    def set(self, ready: bool, reason: str = "") -> None:
        """Be ready, or say why not; each change is a line of the log."""
        if (ready, reason) != (self.ready, self.reason):
            self.ready, self.reason = ready, reason
            print("ready" if ready else f"not ready: {reason}", flush=True)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        lag = [
            {"topic": topic, "partition": partition, "lag": count}
            for (topic, partition), count in sorted(self.lag.items())
        ]
        return {**self.about, "ready": self.ready, "reason": self.reason, "lag": lag}


def fetch(port: int) -> str:
    """What the consumer at a port of this pod says of itself, as JSON.

    Raises:
        Unavailable: It does not answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/stream", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise Unavailable(f"No consumer answers at port {port} ({error}).") from None


def serve(state: State, host: str, port: int) -> ThreadingHTTPServer:
    """Answer GET /livez, /readyz, /metrics and /stream in threads of its own.

    Raises:
        OSError: The port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/livez":
                self._answer(200 if state.alive else 503, b"alive" if state.alive else b"the loop stands still")
            elif self.path == "/readyz":
                self._answer(200 if state.ready else 503, b"ready" if state.ready else state.reason.encode())
            elif self.path == "/metrics":
                self._answer(200, metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/stream":
                self._answer(200, json.dumps(state.to_json()).encode(), "application/json")
            else:
                self._answer(404, b"/livez, /readyz, /metrics or /stream")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
