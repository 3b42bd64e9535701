"""The HTTP routes of a release."""

import asyncio
import gc
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from trifold import bento, metrics
from trifold.errors import BodyRefused, NotJson, ParamsRefused, Reject, RowsRefused
from trifold.online import page
from trifold.online.body import decode
from trifold.online.release import Release
from trifold.settings import Settings

logger = logging.getLogger(__name__)

JSON = "application/json"
MOST_ERRORS = 100
MOST_REFUSED = 10
INLINE_BYTES = 65_536
TURN_SECONDS = 0.005
RETRY_AFTER = "1"

Answer = tuple[int, bytes]


class Refused(Exception):
    """A body that is not read to its end.

    Attributes:
        answer: What the client is told.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class ClientGone(Exception):
    """The connection was closed before the body was there: nobody is left to answer."""


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
        Route("/", _page, methods=["GET"]),
        Route("/predict", Predict(settings), methods=None),
        Route("/model", _document("model_json"), methods=["GET"]),
        Route("/docs.json", _document("docs_json"), methods=["GET"]),
        Route("/livez", _alive, methods=["GET"]),
        Route("/readyz", _ready, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_such, Exception: _failed})
    app.router.redirect_slashes = False  # to an address that a proxy in front may not have
    return app


class Predict:
    """POST /predict, as a bare ASGI app: it is the hot path."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiting = 0
        self.held = 0
        self.spent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = time.perf_counter()
        try:
            status, body = await self._answer(scope, receive)
        except ClientGone:
            return
        metrics.REQUESTS.labels("/predict", str(status)).inc()
        metrics.SECONDS.labels("/predict").observe(time.perf_counter() - start)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers + MORE_HEADERS.get(status, [])})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return _refuse(405, "method", "POST", scope["method"])
        refusal = _refuse_headers(scope["headers"], self.settings.max_body_bytes)
        if refusal:
            return refusal
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body") or len(body) > INLINE_BYTES or message["type"] == "http.disconnect":
            return await self._answer_pieces(scope, receive, message)
        release: Release = scope["app"].state.release
        if self.spent >= TURN_SECONDS and not await self._next_turn():
            return self._busy()
        start = time.perf_counter()
        if not self.spent:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        answer = self._predict(release, body, inline=True)
        self.spent += time.perf_counter() - start
        return answer or await self._wait(scope, release, body)

    def _begin_turn(self) -> None:
        self.spent = 0.0

    async def _next_turn(self) -> bool:
        """Let the event loop look at its sockets, where new connections and probes wait; False: too many wait here."""
        if self.waiting >= self.settings.max_waiting:
            return False
        self.waiting += 1
        try:
            while self.spent >= TURN_SECONDS:
                await asyncio.sleep(0)
        finally:
            self.waiting -= 1
        return True

    def _busy(self) -> Answer:
        return _refuse(503, "busy", f"at most {self.settings.max_waiting} waiting requests", "one more")

    async def _answer_pieces(self, scope: Scope, receive: Receive, message: Message) -> Answer:
        """Answer a body that is large or comes in pieces; what all of these hold at once is limited."""
        pieces: list[bytes] = []
        try:
            await self._collect(receive, message, pieces)
            pieces[:] = [b"".join(pieces)]
            return await self._wait(scope, scope["app"].state.release, pieces[0])
        except Refused as refused:
            return refused.answer
        except TimeoutError:
            return _refuse(408, "too_slow", f"the whole body within {self.settings.body_seconds} s", "a part of it")
        finally:
            self.held -= sum(map(len, pieces))

    async def _collect(self, receive: Receive, message: Message, pieces: list[bytes]) -> None:
        """Add a body's pieces as they come.

        Raises:
            Refused: There are too many bytes, of this body or of all.
            TimeoutError: They take too long.
            ClientGone: No more will come.
        """
        size, most = 0, self.settings.max_body_bytes
        async with asyncio.timeout(self.settings.body_seconds):
            while message["type"] != "http.disconnect":
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                self.held += len(pieces[-1])
                if size > most:
                    raise Refused(_refuse(413, "too_large", f"at most {most} bytes", "more"))
                if self.held > self.settings.max_held_bytes:
                    raise Refused(_refuse(503, "busy", f"at most {self.settings.max_held_bytes} bytes at once", "more"))
                if not message.get("more_body"):
                    return
                message = await receive()
        raise ClientGone

    async def _wait(self, scope: Scope, release: Release, body: bytes) -> Answer:
        """Predict in the one thread that does, so that the probes are answered meanwhile."""
        if self.waiting >= self.settings.max_waiting:
            return self._busy()
        self.waiting += 1
        metrics.WAITING.set(self.waiting)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                scope["app"].state.executor, self._predict_apart, release, body
            )
        finally:
            self.waiting -= 1
            metrics.WAITING.set(self.waiting)
        assert answer is not None
        return answer

    def _predict_apart(self, release: Release, body: bytes) -> Answer | None:
        # The garbage collector would hold up all threads for seconds to find that none of a million lists is garbage.
        gc.disable()
        try:
            return self._predict(release, body)
        finally:
            gc.enable()

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
            document = release.render(answers)
        except NotJson as error:
            return _refuse(400, "json", "JSON", str(error))
        except (BodyRefused, ParamsRefused, RowsRefused) as error:
            return _rejected(error.rejects)
        except Exception:
            # The edge of the process: log the whole, show none of it.
            logger.exception("A prediction failed.")
            return FAILED
        metrics.ROWS.labels("online").inc(len(request.rows))
        return 200, document


def _refuse_headers(headers: Iterable[tuple[bytes, bytes]], most: int) -> Answer | None:
    media, encoding = b"nothing", b"identity"
    for name, value in headers:
        if name == b"content-type":
            media = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"content-length" and int(value) > most:
            return _refuse(413, "too_large", f"at most {most} bytes", f"{int(value)} bytes")
    kind, _, parameters = media.lower().partition(b";")
    if kind.strip() != b"application/json":
        return _refuse(415, "media_type", f"Content-Type: {JSON}", media.decode("latin-1"))
    if b"charset" in parameters and b"utf-8" not in parameters:
        return _refuse(415, "media_type", "UTF-8", media.decode("latin-1"))
    if encoding.lower() != b"identity":
        return _refuse(415, "media_type", "no Content-Encoding", encoding.decode("latin-1"))
    return None


def _refuse(status: int, rule: str, expected: str, got: str) -> Answer:
    return status, errors([Reject(None, None, rule, expected, got)])


def _rejected(rejects: Sequence[Reject]) -> Answer:
    for rule, count in Counter(reject.rule for reject in rejects).items():
        metrics.REJECTS.labels("online", rule).inc(count)
    return 422, errors(rejects)


def errors(rejects: Sequence[Reject]) -> bytes:
    """The body of a refusal."""
    document: dict[str, Any] = {"errors": [asdict(reject) for reject in rejects[:MOST_ERRORS]]}
    if len(rejects) > MOST_ERRORS:
        document["errors_total"] = len(rejects)
    return orjson.dumps(document)


FAILED = _refuse(500, "failed", "an answer", "a failure of the server, which its log explains")
MORE_HEADERS: Mapping[int, list[tuple[bytes, bytes]]] = {
    405: [(b"allow", b"POST")],
    408: [(b"connection", b"close")],
    503: [(b"retry-after", RETRY_AFTER.encode())],
}


async def _no_such(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        status, body = _refuse(405, "method", " or ".join(allowed), request.method)
    else:
        paths = ", ".join(route.path for route in request.app.routes)
        status, body = _refuse(error.status_code, "path", f"one of {paths}", request.url.path)
    return Response(body, status, error.headers, JSON)


async def _failed(request: Request, error: Exception) -> Response:
    status, body = FAILED
    return Response(body, status, media_type=JSON)


async def _page(request: Request) -> Response:
    headers = request.headers
    scheme = headers.get("x-forwarded-proto", request.url.scheme)
    prefix = headers.get("x-forwarded-prefix", "")
    text = page.render(request.app.state.release.packed, page.address(scheme, headers.get("host", ""), prefix))
    return HTMLResponse(text, headers=page.HEADERS)


def _document(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(getattr(request.app.state.release, name), media_type=JSON)

    return endpoint


async def _alive(request: Request) -> Response:
    # The app starts only after the model has predicted its own example: who answers is ready.
    return Response(b'{"status": "ok"}', media_type=JSON)


async def _ready(request: Request) -> Response:
    if getattr(request.app.state, "draining", False):
        status, body = _refuse(503, "busy", "a server that is not about to end", "one that drains")
        return Response(body, status, media_type=JSON)
    return await _alive(request)


async def _metrics(request: Request) -> Response:
    return Response(metrics.render(), media_type="text/plain; version=0.0.4")
