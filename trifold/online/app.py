"""The HTTP routes of a release."""

from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from trifold import bento, metrics
from trifold.online import decoder_process, lists, page
from trifold.online.admission import Admission
from trifold.online.decoder import Decoder
from trifold.online.predict import JSON, Predict
from trifold.online.refusals import FAILED, refuse
from trifold.online.release import Release
from trifold.online.uploads import CSV, PredictCsv, PredictImage
from trifold.picture_files import PNG_MAGIC
from trifold.settings import Settings


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
        with ThreadPoolExecutor(1, thread_name_prefix="predict") as executor:
            app.state.admission = Admission(settings, executor, cost=app.state.release.cost)
            async with _decoder(app.state.release) as app.state.decoder:
                yield

    routes = [
        Route("/", _page(settings), methods=["GET"]),
        Route("/page/{name}", _page_file, methods=["GET"]),
        Route("/samples/{number:int}", _sample, methods=["GET"]),
        Route("/example.csv", _example, methods=["GET"]),
        Route("/predict", Predict(settings), methods=None),
        Route("/predict/image", PredictImage(settings), methods=None),
        Route("/predict/csv", PredictCsv(settings), methods=None),
        Route("/model", _document("model_json"), methods=["GET"]),
        Route("/docs.json", _document("docs_json"), methods=["GET"]),
        Route("/livez", _alive, methods=["GET"]),
        Route("/readyz", _ready, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_such, Exception: _failed})
    app.router.redirect_slashes = False  # to an address that a proxy in front may not have
    return app


async def _no_such(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        status, body = refuse(405, "method", " or ".join(allowed), request.method)
    else:
        paths = ", ".join(route.path for route in request.app.routes)
        status, body = refuse(error.status_code, "path", f"one of {paths}", request.url.path)
    return Response(body, status, error.headers, JSON)


async def _failed(request: Request, error: Exception) -> Response:
    status, body = FAILED
    return Response(body, status, media_type=JSON)


@asynccontextmanager
async def _decoder(release: Release) -> AsyncIterator[Decoder | None]:
    """A decoder that has read a picture; None for a model of anything else."""
    image = release.model.contract.image
    if image is None:
        yield None
        return
    decoder = Decoder(image)
    try:
        await decoder.read(decoder_process.smallest_picture())
        yield decoder
    finally:
        await decoder.close()


def _page(settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        release, headers = request.app.state.release, request.headers
        scheme = headers.get("x-forwarded-proto", request.url.scheme)
        prefix = headers.get("x-forwarded-prefix", "")
        text = page.render(release.model, release.packed, settings, scheme, headers.get("host", ""), prefix)
        return HTMLResponse(text, headers=page.HEADERS)

    return endpoint


async def _page_file(request: Request) -> Response:
    if request.path_params["name"] not in page.FILES:
        raise HTTPException(404)
    content, media = page.FILES[request.path_params["name"]]
    return Response(content, headers=page.HEADERS, media_type=media)


async def _sample(request: Request) -> Response:
    """A picture of the model's own, by its number from 1."""
    samples, number = request.app.state.release.samples, request.path_params["number"]
    if not 0 < number <= len(samples):
        raise HTTPException(404)
    content = samples[number - 1]
    return Response(
        content, headers=page.HEADERS, media_type="image/png" if content.startswith(PNG_MAGIC) else "image/jpeg"
    )


async def _example(request: Request) -> Response:
    release = request.app.state.release
    if not release.model.contract.takes_tables:
        raise HTTPException(404)
    text = lists.example(release.model.contract, release.packed.input_example)
    return Response(
        text, headers={**page.HEADERS, "content-disposition": 'attachment; filename="example.csv"'}, media_type=CSV
    )


def _document(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(getattr(request.app.state.release, name), media_type=JSON)

    return endpoint


async def _alive(request: Request) -> Response:
    # The app starts only after the model has predicted its own example: who answers is ready.
    return Response(b'{"status": "ok"}', media_type=JSON)


async def _ready(request: Request) -> Response:
    if getattr(request.app.state, "draining", False):
        status, body = refuse(503, "busy", "a server that is not about to end", "one that drains")
        return Response(body, status, media_type=JSON)
    return await _alive(request)


async def _metrics(request: Request) -> Response:
    return Response(metrics.render(), media_type="text/plain; version=0.0.4")
