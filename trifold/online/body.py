"""Read a request's body: what it asks."""

from dataclasses import dataclass
from typing import Any

from trifold.contract.checked import Repeated, text
from trifold.contract.json import read
from trifold.errors import BodyRefused

SHAPE = 'an object such as {"rows": [...]}, optionally with "params"'


@dataclass(frozen=True)
class Body:
    """What a request asks.

    Attributes:
        rows: Decoded JSON rows, not yet checked.
        params: Decoded parameters, not yet checked.
    """

    rows: list[Any]
    params: dict[str, Any]


def decode(body: bytes) -> Body:
    """Read the body of a prediction request.

    NaN, Infinity, numbers past a double's range and names that stand twice are no JSON, or not in every
    reader's; they are read all the same, so that the answer can name their row and column.

    Raises:
        NotJson: It is no JSON.
        BodyRefused: It is JSON of another shape.
    """
    return _shaped(read(body))


def _shaped(document: Any) -> Body:
    if not isinstance(document, dict):
        raise BodyRefused(SHAPE, text(document))
    if isinstance(document, Repeated):
        raise BodyRefused(SHAPE, f'"{document.names[0]}" twice')
    unknown = document.keys() - {"rows", "params"}
    if unknown or "rows" not in document:
        names = ", ".join(f'"{name}"' for name in sorted(document)) or "no names"
        raise BodyRefused(SHAPE, f"an object with {names}")
    rows, params = document["rows"], document.get("params", {})
    if type(rows) is not list or not rows:
        raise BodyRefused('"rows" as a list of one row or more', text(rows))
    if isinstance(params, Repeated):
        raise BodyRefused('"params" with each name once', f'"{params.names[0]}" twice')
    if type(params) is not dict:
        raise BodyRefused('"params" as an object', text(params))
    return Body(rows, params)
