"""Read a request's JSON: fast where it is plain, and with care where something is wrong with it."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson

from trifold.checked import NotFinite, Repeated, text
from trifold.errors import BodyRefused, NotJson

SHAPE = 'an object such as {"rows": [...]}, optionally with "params"'
MOST_LEVELS = 100
"""Of lists and objects within each other; a request has three, and as many more as its tensor has sizes."""
TOO_DEEP = f"The body is nested more than {MOST_LEVELS} levels deep."
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
    return _shaped(_read(body))


def _read(body: bytes) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_with_care(body)
    if type(document) in (dict, list) and (b"\\" in body or 2 * _strings(document) != body.count(b'"')):
        return _read_with_care(body)
    return document


def _strings(value: Any, level: int = 1) -> int:
    """How many strings a list or object holds, names among them.

    Each stands between two quotation marks, and a text without a backslash has no others. So the text has
    more of them than this count if, and only if, a name stood twice in an object and one was dropped.

    Raises:
        NotJson: It is nested too deeply.
    """
    if level > MOST_LEVELS:
        raise NotJson(TOO_DEEP)
    if type(value) is dict:
        count, values = len(value), list(value.values())
    else:
        count, values = 0, value
    types = list(map(type, values))
    count += types.count(str)
    if list in types or dict in types:
        count += sum(_strings(item, level + 1) for item in values if type(item) in (list, dict))
    return count


def _read_with_care(body: bytes) -> Any:
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
    except ValueError as error:
        raise NotJson(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    _check_levels(document)
    return document


def _check_levels(document: Any) -> None:
    level, inside = 0, [document]
    while inside := [value for value in inside if isinstance(value, dict | list)]:
        level += 1
        if level > MOST_LEVELS:
            raise NotJson(TOO_DEEP)
        inside = list(chain.from_iterable(value.values() if isinstance(value, dict) else value for value in inside))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    counts = Counter(name for name, _ in pairs)
    repeated = Repeated(plain)
    repeated.names = tuple(name for name, count in counts.items() if count > 1)
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
    if isinstance(params, Repeated):
        raise BodyRefused('"params" with each name once', f'"{params.names[0]}" twice')
    if type(params) is not dict:
        raise BodyRefused('"params" as an object', text(params))
    return Body(rows, params)
