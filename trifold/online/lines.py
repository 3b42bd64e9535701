"""Lines for a shell that ask a server, as the page and the commands print them."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from trifold.packed import Packed

HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
PREFIX = re.compile(r"(/[A-Za-z0-9-]+)*")


def address(scheme: str, host: str, prefix: str) -> str:
    """Where the reader reached the server: a gateway in front of it says under which prefix (X-Forwarded-Prefix)."""
    if not (HOST.fullmatch(host) and PREFIX.fullmatch(prefix)):
        host, prefix = "localhost:3000", ""
    return f"{'https' if scheme == 'https' else 'http'}://{host}{prefix}"


def curl_line(address: str, packed: Packed) -> str:
    """A line that posts a sample to a model of pictures, and to any other the first row of its input example."""
    image = packed.profile.get("image")
    if not image:
        return _rows_line(address, packed.input_example)
    if image.get("samples"):
        return f"curl -s {address}/samples/1 | curl {address}/predict/image -F 'image=@-;filename=sample'"
    return f"curl {address}/predict/image -F image=@picture.png"


def _rows_line(address: str, example: Sequence[Any]) -> str:
    """A line that posts the first row of an input example."""
    body = orjson.dumps({"rows": list(example[:1])}).decode().replace("'", "'\\''")
    return f"curl {address}/predict -H 'Content-Type: application/json' -d '{body}'"
