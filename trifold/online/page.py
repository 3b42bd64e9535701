"""The page at `/`: what is served, where its documents are, and a line to try. No script, nothing from another host."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import orjson

from trifold.packed import Packed

STYLE = "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:3rem auto;padding:0 1rem}pre{white-space:pre-wrap;overflow-wrap:anywhere}"  # noqa: E501 - a line of the page
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
PREFIX = re.compile(r"(/[A-Za-z0-9-]+)*")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{description}</p>
<p>Model {name}, version {version}: <a href="model">what it is and takes</a>, <a href="docs.json">its OpenAPI</a>.</p>
<p>Try it:</p>
<pre>{curl}</pre>
</body>
</html>
"""


def address(scheme: str, host: str, prefix: str) -> str:
    """Where the reader reached the server: a gateway in front of it says under which prefix (X-Forwarded-Prefix)."""
    if not (HOST.fullmatch(host) and PREFIX.fullmatch(prefix)):
        host, prefix = "localhost:3000", ""
    return f"{'https' if scheme == 'https' else 'http'}://{host}{prefix}"


def render(packed: Packed, address: str) -> str:
    """The page, for a reader who reached the server at `address`."""
    profile = packed.contract["profile"] or {}
    texts = {
        "title": profile.get("title") or packed.name,
        "description": profile.get("description") or packed.description,
        "name": packed.name,
        "version": packed.version,
        "curl": curl_line(address, packed.input_example),
    }
    return PAGE.format(style=STYLE, **{name: escape(text) for name, text in texts.items()})


def curl_line(address: str, example: Sequence[Any]) -> str:
    """A line for a shell that posts the first row of an input example."""
    body = orjson.dumps({"rows": list(example[:1])}).decode().replace("'", "'\\''")
    return f"curl {address}/predict -H 'Content-Type: application/json' -d '{body}'"
