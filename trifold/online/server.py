"""Our server: uvicorn, our routes in front, the Bento's own app behind them for the few paths that only it has."""

import gc
import logging
import os
import resource
import signal
import socket
import sys
from typing import Any

from trifold.settings import THREAD_VARIABLES, Settings

for variable in THREAD_VARIABLES:  # read by numpy's BLAS when it is imported, hence before all else
    os.environ.setdefault(variable, os.environ.get("TRIFOLD_THREADS", "1"))
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

BEHIND = frozenset({"/healthz", "/schema.json"})
STOP_SECONDS = 20
"""For requests under way at the end, after the drain; the chart's grace period is 5 s more than both."""
MARGIN = 2**22
"""Bytes that a body may be over its limit so that its client is sure to read the refusal, however it sends."""
FILES = 65_536
ACCEPTS = 32
"""libuv (from 1.45 on, its pull request 3696) accepts one connection a socket and turn of the loop, so that with one
socket the probes would wait behind every new client; the copies of a socket share one queue."""


def front(own: Any, behind: Any) -> Any:
    """An ASGI app that answers by `own`, and sends the paths in BEHIND and the life span to `behind`.

    BentoML's middleware costs four fifths of the speed of a small model, so our routes skip it; its page loads a
    script from another host, so ours stands in its place. `own` has to be mounted in `behind`, which starts it.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mine = scope["type"] == "http" and scope["path"] not in BEHIND
        await (own if mine else behind)(scope, receive, send)

    return app


def main() -> int:
    """Serve until a signal ends it; 0 after a clean stop, 1 with a sentence if it could not start."""
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it has ended
        signal.signal(number, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    from trifold.errors import TrifoldError

    allow_files()
    try:
        settings = Settings.from_environment()
        listening = listen(settings.host, settings.port)
        app = load(settings)
    except (TrifoldError, OSError) as error:
        print(f"trifold: {error}", file=sys.stderr, flush=True)
        return 1
    run(app, listening, settings)
    return 0


def allow_files() -> None:
    """Let the process open more files: each connection is one, and with the usual 1,024 no probe would get another."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def listen(host: str, port: int) -> socket.socket:
    """The socket, before the model is loaded, so that a port that is taken is said at once.

    Raises:
        ServeError: The port is taken, or not ours to take.
    """
    from trifold.errors import ServeError

    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise ServeError(f"Cannot listen on {host}, port {port} ({error.strerror}); set TRIFOLD_PORT.") from None
    return listening


def load(settings: Settings) -> Any:
    """The app, with a model that has predicted its own example.

    Raises:
        TrifoldError: See `Release.load`.
    """
    import_pandas()
    from trifold import bento
    from trifold.online.release import Release

    release = Release.load(settings.model or bento.packed_model(), settings)
    import service  # the Bento's, beside trifold/ in its folder

    logging.getLogger("bentoml").setLevel(logging.WARNING)
    service.application.state.preloaded = release
    gc.collect()
    gc.freeze()  # what is loaded now stays: looking through it again and again would cost pauses of 100 ms
    return front(service.application, service.Trifold.to_asgi(is_main=True))  # type: ignore[attr-defined]


def import_pandas() -> None:
    """Import pandas, which scikit-learn does anyway, without Arrow, which pandas imports wherever it is installed.

    Nothing reads Arrow online, and it would take 40 MB a pod. Code that a model brings may import it later on.
    """
    hidden: Any = sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
    import pandas  # noqa: F401

    if hidden is None:
        del sys.modules["pyarrow"]


def run(app: Any, listening: socket.socket, settings: Settings) -> None:
    """Serve until a signal; requests under way are answered."""
    import uvicorn

    import service
    from trifold.online.drain import Server
    from trifold.online.protocol import Protocol

    Protocol.most_late_bytes = max(Protocol.most_late_bytes, settings.max_body_bytes + MARGIN)
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_level="error",  # a warning for each malformed request would let a stranger fill the disk
        access_log=False,
        server_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=STOP_SECONDS,
    )

    def draining() -> None:
        service.application.state.draining = True

    Server(config, settings.drain_seconds, draining).run(sockets=[listening.dup() for _ in range(ACCEPTS)])


if __name__ == "__main__":
    sys.exit(main())
