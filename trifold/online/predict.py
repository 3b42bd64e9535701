"""POST /predict: rows in JSON. The hot path, hence a bare ASGI app; those of files (uploads.py) are made like it."""

import functools
import logging
import time
from collections.abc import Iterable
from typing import ClassVar

from starlette.types import Receive, Scope, Send

from trifold import metrics
from trifold.contract.contract import Contract
from trifold.errors import BodyRefused, NotJson, ParamsRefused, RowsRefused
from trifold.online.admission import SMALL_BYTES, Admission
from trifold.online.body import decode
from trifold.online.demand import Demand
from trifold.online.refusals import FAILED, MORE_HEADERS, Answer, ClientGone, Refused, refuse, rejected
from trifold.online.release import Release
from trifold.pictures import PictureRefused
from trifold.settings import Settings

logger = logging.getLogger(__name__)

JSON = "application/json"
MOST_REFUSED = 10

Headers = list[tuple[bytes, bytes]]


class Endpoint:
    """A route that takes a body and predicts; `answer` is its own.

    Attributes:
        path: The route's path.
        settings: The server's.
        headers: Of an answer with predictions.
    """

    path: str
    headers: ClassVar[Headers] = [(b"content-type", JSON.encode())]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = time.perf_counter()
        more: Headers = []
        try:
            status, body = await self._answered(scope, receive)
        except Refused as refused:
            (status, body), more = refused.answer, refused.headers
        except ClientGone:
            return
        if status == 503:  # out of the exception's block, which holds the body
            await scope["app"].state.admission.delay_refusal()
        metrics.REQUESTS.labels(self.path, str(status)).inc()
        metrics.SECONDS.labels(self.path).observe(time.perf_counter() - start)
        headers = self.headers if status == 200 else Endpoint.headers
        length = (b"content-length", str(len(body)).encode())
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, length, *MORE_HEADERS.get(status, ()), *more],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _answered(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return refuse(405, "method", "POST", scope["method"])
        state = scope["app"].state
        if not self.fits(state.release.model.contract):
            return refuse(404, "path", "a route for what this model takes, as GET /docs.json lists", self.path)
        try:
            return await self.answer(scope, receive, state.release, state.admission)
        except NotJson as error:
            return refuse(400, "json", "JSON", str(error))
        except (BodyRefused, ParamsRefused, PictureRefused, RowsRefused) as error:
            return rejected(error.rejects)
        except (ClientGone, Refused):
            raise
        except Exception:
            # The edge of the process: log the whole, show none of it.
            logger.exception("A prediction failed.")
            return FAILED

    def fits(self, contract: Contract) -> bool:
        """Whether a model of this contract has the route."""
        return True

    async def answer(self, scope: Scope, receive: Receive, release: Release, admission: Admission) -> Answer:
        """Status and body for one POST."""
        raise NotImplementedError


class Predict(Endpoint):
    """POST /predict."""

    path = "/predict"

    async def answer(self, scope: Scope, receive: Receive, release: Release, admission: Admission) -> Answer:
        """Status and body for rows in JSON."""
        require_headers(scope["headers"], JSON, self.settings.max_body_bytes)
        demand = Demand.read(self.path, scope["headers"], admission.clock())
        first = await receive()
        body: bytes = first.get("body", b"")
        if first.get("more_body") or len(body) > SMALL_BYTES or first["type"] == "http.disconnect":
            async with admission.body(receive, self.settings.max_body_bytes, first) as whole:
                return await self._apart(release, admission, demand, whole)
        if release.inline_rows:
            work = functools.partial(self._predict, release, body, inline=True)
            if answer := await admission.inline(demand, len(body), work):
                return answer
        return await self._apart(release, admission, demand, body)

    async def _apart(self, release: Release, admission: Admission, demand: Demand, body: bytes) -> Answer:
        answer = await admission.apart(demand, len(body), functools.partial(self._predict, release, body))
        assert answer is not None
        return answer

    def _predict(self, release: Release, body: bytes, inline: bool = False) -> Answer | None:
        """The answer to a body; None where `inline` and it would take the event loop for too long."""
        request = decode(body)
        if len(request.rows) > self.settings.max_rows:
            return refuse(413, "too_large", f"at most {self.settings.max_rows} rows", f"{len(request.rows)} rows")
        if inline and len(request.rows) > release.inline_rows:
            return None
        contract = release.model.contract
        contract.check_params(request.params)
        checked = contract.check_rows(request.rows)
        if checked.rejects:
            return rejected(checked.rejects)
        document = release.render(release.model.predict(checked.rows, most_refused=MOST_REFUSED))
        metrics.ROWS.labels("online").inc(len(request.rows))
        return 200, document


def require_headers(
    headers: Iterable[tuple[bytes, bytes]], wanted: str, most: int, *, any_charset: bool = False
) -> bytes:
    """Make sure, before a body is read, that it is of the kind and size that is taken.

    Args:
        headers: The request's.
        wanted: The media type.
        most: Most bytes.
        any_charset: Whether the caller looks at the charset; else it is UTF-8.

    Returns:
        The Content-Type as it came.

    Raises:
        Refused: It is not.
    """
    media, encoding = b"nothing", b"identity"
    for name, value in headers:
        if name == b"content-type":
            media = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"content-length" and int(value) > most:
            raise Refused(413, "too_large", f"at most {most} bytes", f"{int(value)} bytes")
    kind, _, parameters = media.lower().partition(b";")
    if kind.strip() != wanted.encode():
        raise Refused(415, "media_type", f"Content-Type: {wanted}", media.decode("latin-1"))
    if b"charset" in parameters and b"utf-8" not in parameters and not any_charset:
        raise Refused(415, "media_type", "UTF-8", media.decode("latin-1"))
    if encoding.lower() != b"identity":
        raise Refused(415, "media_type", "no Content-Encoding", encoding.decode("latin-1"))
    return media
