"""The HTTP routes of a release."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from trifold import bento, metrics
from trifold.errors import BodyRefused, NotJson, ParamsRefused, Reject, RowsRefused
from trifold.online.body import decode
from trifold.online.release import Release
from trifold.settings import Settings

logger = logging.getLogger(__name__)

JSON = "application/json"
MOST_ERRORS = 100
MOST_REFUSED = 10
INLINE_BYTES = 65_536
RETRY_AFTER = "1"
ROUTES = ("/predict", "/model", "/docs.json", "/livez", "/readyz", "/metrics")

Answer = tuple[int, bytes]


class TooLarge(Exception):
    """A body of more bytes than allowed; the rest of it is not read."""


def create_app(settings: Settings | None = None, release: Release | None = None) -> Starlette:
    """The app of one release.

    Args:
        settings: None: from the environment.
        release: None: loaded from the settings' or the Bento's packed model when the app starts.
    """
    settings = settings or Settings.from_environment()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.release = (
            release
            or getattr(app.state, "preloaded", None)
            or Release.load(settings.model or bento.packed_model(), settings)
        )
        with ThreadPoolExecutor(1, thread_name_prefix="predict") as app.state.executor:
            yield

    routes = [
        Route("/predict", Predict(settings), methods=None),
        Route("/model", _document("model_json"), methods=["GET"]),
        Route("/docs.json", _document("docs_json"), methods=["GET"]),
        Route("/livez", _alive, methods=["GET"]),
        Route("/readyz", _alive, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class Predict:
    """POST /predict, as a bare ASGI app: it is the hot path."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = time.perf_counter()
        status, body = await self._answer(scope, receive)
        metrics.REQUESTS.labels("/predict", str(status)).inc()
        metrics.SECONDS.labels("/predict").observe(time.perf_counter() - start)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 503:
            headers.append((b"retry-after", RETRY_AFTER.encode()))
        if status == 405:
            headers.append((b"allow", b"POST"))
        if status == 413:  # what is left of the body is not read, so the connection cannot go on
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return _refuse(405, "method", "POST", scope["method"])
        refusal = _refuse_headers(scope["headers"])
        if refusal:
            return refusal
        try:
            body = await _read(receive, scope["headers"], self.settings.max_body_bytes)
        except TooLarge:
            return _refuse(413, "too_large", f"at most {self.settings.max_body_bytes} bytes", "more")
        release: Release = scope["app"].state.release
        if len(body) <= INLINE_BYTES:
            return self._predict(release, body, inline=True) or await self._wait(scope, release, body)
        return await self._wait(scope, release, body)

    async def _wait(self, scope: Scope, release: Release, body: bytes) -> Answer:
        """Predict in the one thread that does, so that the probes are answered meanwhile."""
        if self.waiting >= self.settings.max_waiting:
            return _refuse(503, "busy", f"at most {self.settings.max_waiting} waiting requests", "one more")
        self.waiting += 1
        metrics.WAITING.set(self.waiting)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                scope["app"].state.executor, self._predict, release, body
            )
        finally:
            self.waiting -= 1
            metrics.WAITING.set(self.waiting)
        assert answer is not None
        return answer

    def _predict(self, release: Release, body: bytes, inline: bool = False) -> Answer | None:
        """The answer to a body; None where `inline` and it would take the event loop for too long."""
        try:
            request = decode(body)
            if len(request.rows) > self.settings.max_rows:
                return _refuse(413, "too_large", f"at most {self.settings.max_rows} rows", f"{len(request.rows)} rows")
            if inline and len(request.rows) > release.inline_rows:
                return None
            contract = release.model.contract
            contract.check_params(request.params)
            checked = contract.check_rows(request.rows)
            if checked.rejects:
                return _rejected(checked.rejects)
            answers = release.model.predict(checked.rows, most_refused=MOST_REFUSED)
        except NotJson as error:
            return _refuse(400, "json", "JSON", str(error))
        except (BodyRefused, ParamsRefused, RowsRefused) as error:
            return _rejected(error.rejects)
        except Exception:
            # The edge of the process: log the whole, show none of it.
            logger.exception("A prediction failed.")
            return _refuse(500, "failed", "an answer", "a failure of the server, which its log explains")
        metrics.ROWS.labels("online").inc(len(request.rows))
        head = {"model": release.packed.name, "version": release.packed.version}
        return 200, orjson.dumps(head | answers.to_json(release.model.labels))


async def _read(receive: Receive, headers: Iterable[tuple[bytes, bytes]], most: int) -> bytes:
    for name, value in headers:
        if name == b"content-length" and int(value) > most:
            raise TooLarge
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > most:
            raise TooLarge
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            raise TooLarge
    return b"".join(chunks)


def _refuse_headers(headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
    media, encoding = b"nothing", b"identity"
    for name, value in headers:
        if name == b"content-type":
            media = value
        elif name == b"content-encoding":
            encoding = value
    kind, _, parameters = media.lower().partition(b";")
    if kind.strip() != b"application/json":
        return _refuse(415, "media_type", f"Content-Type: {JSON}", media.decode("latin-1"))
    if b"charset" in parameters and b"utf-8" not in parameters:
        return _refuse(415, "media_type", "UTF-8", media.decode("latin-1"))
    if encoding.lower() != b"identity":
        return _refuse(415, "media_type", "no Content-Encoding", encoding.decode("latin-1"))
    return None


def _refuse(status: int, rule: str, expected: str, got: str) -> Answer:
    return status, _errors([Reject(None, None, rule, expected, got)])


def _rejected(rejects: Sequence[Reject]) -> Answer:
    for reject in rejects:
        metrics.REJECTS.labels("online", reject.rule).inc()
    return 422, _errors(rejects)


def _errors(rejects: Sequence[Reject]) -> bytes:
    document: dict[str, Any] = {"errors": [asdict(reject) for reject in rejects[:MOST_ERRORS]]}
    if len(rejects) > MOST_ERRORS:
        document["errors_total"] = len(rejects)
    return orjson.dumps(document)


def _document(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(getattr(request.app.state.release, name), media_type=JSON)

    return endpoint


async def _alive(request: Request) -> Response:
    # The app starts only after the model has predicted its own example: who answers is ready.
    return Response(b'{"status": "ok"}', media_type=JSON)


async def _metrics(request: Request) -> Response:
    return Response(metrics.render(), media_type="text/plain; version=0.0.4")
