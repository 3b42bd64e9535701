"""A release's ASGI app, driven in process without a socket."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trifold.model import Model
from trifold.online.app import create_app
from trifold.online.release import Release
from trifold.packed import Packed
from trifold.settings import Settings

Post = Callable[[str, str, bytes], tuple[int, bytes]]
"""Posts a body: path, media type, body -> status, body."""


@contextmanager
def app_of(model: Model) -> Iterator[Post]:
    """The ASGI app of a release, without a socket; gives a function that posts a body."""
    packed = Packed("right", "1", "", "", "", "", {"signature": {}, "profile": None}, form=model.form)
    app = create_app(Settings(), Release(model, packed, 0, b"{}", b"{}"))
    seen = _Seen()
    logger = logging.getLogger("trifold.online.predict")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(seen)
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())

        def post(path: str, media: str, body: bytes) -> tuple[int, bytes]:
            status, answer = runner.run(_post(app, path, media, body))
            return status, seen.tell(answer) if status >= 500 else answer

        try:
            yield post
        finally:
            runner.run(lifespan.__aexit__(None, None, None))
            logger.removeHandler(seen)
            logger.propagate = propagates


async def _post(app: Any, path: str, media: str, body: bytes) -> tuple[int, bytes]:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"", "app": app,
        "headers": [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


class _Seen(logging.Handler):
    """Keeps what the server logs of a failure."""

    words = ""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self.words = repr(record.exc_info[1]) if record.exc_info else record.getMessage()

    def tell(self, answer: bytes) -> bytes:
        """The answer to what failed, with what only the log says."""
        errors = json.loads(answer)["errors"]
        return json.dumps({"errors": [{**error, "got": self.words} for error in errors]}).encode()
