"""The watch itself: what the pages' tests rely on does catch what it is there for."""

import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chromium import ROOT


@pytest.fixture(scope="module")
def site():
    """A server of pages that each do something wrong."""
    pages = {
        "/foreign": "<img alt='' src='http://127.0.0.1:9/x.png'>",
        "/error": "<script>throw new Error('broken')</script>",
        "/console": "<script>console.error('broken')</script>",
        "/dialog": "<script>setTimeout(() => alert(1))</script>",
        "/unread": "<img src='data:,'>",
        "/good": "<main><h1>Good</h1></main>",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = (
                f"<!doctype html><html lang=en><title>x</title><link rel=icon href='data:,'>{pages.get(self.path, '')}"
            )
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("what", ["foreign", "error", "console", "dialog"])
def test_what_is_wrong_is_noted(open_page, complaints, site, what):
    """A request to another host, an error, a line on the console and a dialog are each seen."""
    page = open_page(f"{site}/{what}")
    deadline = time.monotonic() + 10
    while not complaints and time.monotonic() < deadline:
        page.wait_for_timeout(10)
    assert complaints
    complaints.clear()


def test_axe_finds_what_cannot_be_read(open_page, site, axe):
    """A picture without words fails, a good page does not."""
    axe(open_page(f"{site}/good"))
    with pytest.raises(AssertionError, match="image-alt"):
        axe(open_page(f"{site}/unread"))


def test_a_chromium_that_is_not_there_is_said(tmp_path):
    """Whoever names one wants that one, and would otherwise test another without knowing."""
    environment = {**os.environ, "TRIFOLD_CHROMIUM": str(tmp_path / "no such")}
    done = subprocess.run(
        [ROOT / "tools/browser", "--print"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: TRIFOLD_CHROMIUM is {tmp_path}/no such, which is no program; "
        "set it to Chromium's path, or to nothing.\n"
    )
