"""Our server: uvicorn, our routes in front, the Bento's own app behind them for every other path."""

import logging
import os
import sys
from typing import Any

from trifold.settings import THREAD_VARIABLES, Settings

for variable in THREAD_VARIABLES:  # read by numpy's BLAS when it is imported, hence before all else
    os.environ.setdefault(variable, os.environ.get("TRIFOLD_THREADS", "1"))
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


def front(own: Any, behind: Any) -> Any:
    """An ASGI app that sends `own`'s routes there and all else, the life span too, to `behind`.

    BentoML's middleware costs four fifths of the speed of a small model, so the routes that carry load skip it.
    `own` has to be mounted in `behind`, which starts it.
    """
    from trifold.online.app import ROUTES

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mine = scope["type"] == "http" and scope["path"] in ROUTES
        await (own if mine else behind)(scope, receive, send)

    return app


def main() -> int:
    """Serve until a signal ends it; 0 after a clean stop, 1 with a sentence if it could not start."""
    import uvicorn

    from trifold import bento
    from trifold.errors import TrifoldError

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = Settings.from_environment()
        from trifold.online.release import Release

        release = Release.load(settings.model or bento.packed_model(), settings)
    except TrifoldError as error:
        print(f"trifold: {error}", file=sys.stderr, flush=True)
        return 1
    import service  # the Bento's, beside trifold/ in its folder

    service.application.state.preloaded = release
    app = front(service.application, service.Trifold.to_asgi(is_main=True))  # type: ignore[attr-defined]
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=65,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
