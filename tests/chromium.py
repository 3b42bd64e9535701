"""A real Chromium: pages whose every request and message is watched, screenshots, and axe-core's look at them."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / "tests/browser/node_modules/axe-core/axe.min.js"
SCREENSHOTS = ROOT / ".trifold/screenshots"
OWN = ("data:", "blob:")
WAIT_MS = 60_000
"""As long as the gateway lets a model take for an answer: beside tests of load it may take more than 15 s."""


@pytest.fixture(scope="module")
def chromium():
    """Chromium, found or installed; for a module, since while Playwright is open no other event loop may run."""
    from playwright.sync_api import sync_playwright

    found = subprocess.run([ROOT / "tools/browser", "--print"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    path = found.stdout.strip()
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to start as root with
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*sandbox, "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def complaints():
    """What the pages of a test did that they should not; at its end there is nothing."""
    found = []
    yield found
    assert found == []


@pytest.fixture
def open_page(chromium, complaints):
    """A function that opens a page and watches it.

    Chromium writes a line for each answer that is an error: a test that provokes one allows it by a part of its text.
    """
    contexts = []

    def open_one(url, *, allow=(), **options):
        context = chromium.new_context(
            **{"viewport": {"width": 1100, "height": 900}, "reduced_motion": "reduce", **options}
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        watch(page, url, allow, complaints)
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        for page in context.pages:
            print(f"{page.url}:\n{page.evaluate('document.body?.innerText')}\n")  # shown with a failure
        context.close()


def watch(page, url, allow, complaints):
    """Note what a page asks of other hosts, and what it complains of that is not allowed."""
    origin = urlsplit(url)[:2]

    def asked(request):
        if urlsplit(request.url)[:2] != origin and not request.url.startswith(OWN):
            complaints.append(f"a request to {request.url}")

    def complain(what):
        if not any(re.search(pattern, what) for pattern in allow):
            complaints.append(what)

    def said(message):
        if message.type in ("error", "warning"):
            complain(f"{message.type}: {message.text}")

    def asked_back(dialog):
        complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("request", asked)
    page.on("console", said)
    page.on("pageerror", lambda error: complain(f"an error: {error}"))
    page.on("dialog", asked_back)


@pytest.fixture
def axe():
    """A function that lets axe-core look at a page, and fails on what it calls serious or critical."""

    def look(page):
        page.evaluate(AXE.read_text())  # as a debugger does, past the page's own policy
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [
            f"{each['id']}: {node['html']} {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
        assert serious == []

    return look


@pytest.fixture
def shot():
    """A function that keeps a screenshot of a whole page as .trifold/screenshots/NAME.png."""

    def take(page, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")

    return take
