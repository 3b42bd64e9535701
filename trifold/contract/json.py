"""Read JSON from outside: fast where it is plain, and with care where something is wrong with it."""

import json
from collections import Counter
from itertools import chain
from typing import Any

import orjson

from trifold.contract.checked import NotFinite, Repeated
from trifold.errors import NotJson

MOST_LEVELS = 100
"""Of lists and objects within each other; a request has three, and as many more as its tensor has sizes."""
RUN = b"[" * (MOST_LEVELS + 1)
TOO_DEEP = f"The {{}} is nested more than {MOST_LEVELS} levels deep."
LONGEST_INTEGER = 400
"""Digits; a longer integer is past every type, and Python needs quadratic time to read it."""


def read(body: bytes, what: str = "body") -> Any:
    """Read JSON.

    NaN, Infinity, numbers past a double's range and names that stand twice are no JSON, or not in every
    reader's; they are read all the same, so that an answer can name their row and column.

    Args:
        body: The JSON, in UTF-8.
        what: What it is called in errors.

    Raises:
        NotJson: It is no JSON, or nested too deeply.
    """
    _refuse_runs(body, what)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_with_care(body, what)
    if type(document) in (dict, list) and (b"\\" in body or 2 * _strings(document, what) != body.count(b'"')):
        return _read_with_care(body, what)
    return document


def _refuse_runs(body: bytes, what: str) -> None:
    """Refuse, before millions of lists are made and freed in one go, what begins too many of them in a row.

    Raises:
        NotJson: It is nested too deeply.
    """
    if RUN in body and b"\\" not in body and any(RUN in part for part in body.split(b'"')[::2]):
        raise NotJson(TOO_DEEP.format(what))


def _strings(value: Any, what: str, level: int = 1) -> int:
    """How many strings a list or object holds, names among them.

    Each stands between two quotation marks, and a text without a backslash has no others. So the text has
    more of them than this count if, and only if, a name stood twice in an object and one was dropped.

    Raises:
        NotJson: It is nested too deeply.
    """
    if level > MOST_LEVELS:
        raise NotJson(TOO_DEEP.format(what))
    if type(value) is dict:
        count, values = len(value), list(value.values())
    else:
        count, values = 0, value
    types = list(map(type, values))
    count += types.count(str)
    if list in types or dict in types:
        count += sum(_strings(item, what, level + 1) for item in values if type(item) in (list, dict))
    return count


def _read_with_care(body: bytes, what: str) -> Any:
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
        raise NotJson(f"The {what} is not UTF-8, or has half a surrogate pair in a string.") from None
    except ValueError as error:
        raise NotJson(f"The {what} is not JSON: {error}.") from None
    except RecursionError:
        raise NotJson(TOO_DEEP.format(what)) from None
    _check_levels(document, what)
    return document


def _check_levels(document: Any, what: str) -> None:
    level, inside = 0, [document]
    while inside := [value for value in inside if isinstance(value, dict | list)]:
        level += 1
        if level > MOST_LEVELS:
            raise NotJson(TOO_DEEP.format(what))
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
