"""Serves the page to the gateway, which alone reaches it and asks once a second at most."""

import hashlib
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from front_page.keeper import Keeper

STYLE = (Path(__file__).parent / "style.css").read_bytes()


def start(keeper: Keeper, port: int) -> ThreadingHTTPServer:
    """Serve beside what the process does; its end ends it."""

    class Handler(_Handler):
        answers_for = keeper

    server = _Server(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    def handle_error(self, *client: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that left is nobody's error
            super().handle_error(*client)


class _Handler(BaseHTTPRequestHandler):
    answers_for: Keeper
    timeout = 5  # a client that sends nothing holds a thread

    def do_GET(self) -> None:
        content, media_type = self._content()
        status = HTTPStatus.SERVICE_UNAVAILABLE if content is None else HTTPStatus.OK
        self.send_response(status if media_type else HTTPStatus.NOT_FOUND)
        body = (content or b"") if media_type else b""
        self.send_header("Content-Type", media_type or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if body:
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()[:16]}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def log_message(self, *_: object) -> None:
        """Write no access log."""

    def _content(self) -> tuple[bytes | None, str]:
        """What stands at the path, None if it is not there now, and its media type, empty if it never is."""
        if self.path == "/":
            return self.answers_for.page, "text/html; charset=utf-8"
        if self.path == "/front-page.css":
            return STYLE, "text/css; charset=utf-8"
        if self.path == "/livez":
            return b"ok\n" if self.answers_for.alive else None, "text/plain"
        return None, ""
