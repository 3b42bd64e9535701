"""Read a request's JSON: fast where it is plain, and with care where something is wrong with it."""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from trifold.checked import NotFinite, Repeated, text
from trifold.errors import BodyRefused, NotJson

SHAPE = 'an object such as {"rows": [...]}, optionally with "params"'
LONGEST_INTEGER = 400
"""Digits; a longer integer is past every type, and Python needs quadratic time to read it."""


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
    try:
        return _shaped(_read(body))
    except RecursionError:
        raise NotJson("The body is nested too deeply.") from None


def _read(body: bytes) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _read_with_care(body, error)
    if b"\\" in body or 2 * _strings(document) != body.count(b'"'):
        return _read_with_care(body, None)
    return document


def _strings(value: Any) -> int:
    """How many strings a document holds, names among them.

    Each stands between two quotation marks, and a text without a backslash has no others. So the text has
    more of them than this count if, and only if, a name stood twice in an object and one was dropped.
    """
    if type(value) is dict:
        count, values = len(value), list(value.values())
    else:
        count, values = 0, value
    types = list(map(type, values))
    count += types.count(str)
    if list in types or dict in types:
        count += sum(_strings(item) for item in values if type(item) in (list, dict))
    return count


def _read_with_care(body: bytes, error: orjson.JSONDecodeError | None) -> Any:
    try:
        document = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_constant=_not_finite,
            parse_float=_float,
            parse_int=_integer,
        )
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeError:
        raise NotJson("The body is not UTF-8, or has half a surrogate pair in a string.") from None
    except ValueError as second:
        raise NotJson(f"The body is not JSON: {error or second}.") from None
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    names = [name for name, _ in pairs]
    repeated = Repeated(plain)
    repeated.names = tuple(name for name in plain if names.count(name) > 1)
    return repeated


def _not_finite(token: str) -> NotFinite:
    number = NotFinite("nan")
    number.token = token
    return number


def _float(token: str) -> float:
    number = float(token)
    return number if abs(number) != float("inf") else _not_finite(token[:50])


def _integer(token: str) -> int | float:
    return int(token) if len(token) < LONGEST_INTEGER else _not_finite(token[:50] + "…")


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
    if type(params) is not dict:
        raise BodyRefused('"params" as an object', text(params))
    return Body(rows, params)
