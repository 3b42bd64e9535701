"""How single values are read from JSON into what numpy takes, and written back; why one is refused."""

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

EXACT_FLOAT = 2**53
"""Integers up to this have an exact double (IEEE 754)."""
EPOCH, SECOND = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(seconds=1)
TIME = re.compile(
    r"(\d{4,}|[+-]\d{3,})(-\d\d-\d\d)"
    r"(?:[Tt ]((?:[01]\d|2[0-3]):\d\d)(?:(:\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
"""RFC 3339; besides, a time may lack its T, offset, seconds or time of day, and have a year of another length."""
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Digits after the seconds that a unit of numpy's datetime64 keeps."""
UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
RANGES = {"ns": "a time from 1677-09-21T00:12:44Z to 2262-04-11T23:47:16Z"}
WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "string": "a string",
    "binary": "a string in base64",
    "datetime": "a time such as 2026-11-23T08:00:00Z",
}


class Invalid(Exception):
    """A value breaks a rule of its type."""

    def __init__(self, rule: str, expected: str) -> None:
        self.rule = rule
        self.expected = expected
        super().__init__(rule, expected)


def read_boolean(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise Invalid("type", "true or false")
    return value


def integer_reader(dtype: str) -> Callable[[Any], int]:
    """How a JSON number is read that must fit into an integer type."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    def read(value: Any) -> int:
        number: Any = value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Invalid("not_finite", "a whole number")
            # JSON has one kind of number: 3.0 is a whole number, as JSON Schema says.
            number = int(value) if value.is_integer() else None
        if type(number) is not int:
            raise Invalid("type", "a whole number")
        if not low <= number <= high:
            raise Invalid("out_of_range", f"a whole number from {low} to {high}")
        if isinstance(value, float) and abs(number) >= EXACT_FLOAT:  # its last digits may be lost already
            raise Invalid("out_of_range", f"a whole number without a point or exponent from {EXACT_FLOAT} on")
        return int(number)

    return read


def read_within_doubles(value: Any) -> int:
    """A whole number for an array of doubles, which hold integers up to EXACT_FLOAT."""
    number = _read_long(value)
    if abs(number) > EXACT_FLOAT:
        raise Invalid("out_of_range", f"a whole number from {-EXACT_FLOAT} to {EXACT_FLOAT}")
    return number


_read_long = integer_reader("int64")


def number_reader(dtype: str, *, optional: bool = True) -> Callable[[Any], float]:
    """How a JSON number is read that must fit into a floating-point type; `optional`: null may stand for it."""
    largest = float(np.finfo(dtype).max)
    finite = "a finite number, or null where it is missing" if optional else "a finite number"

    def read(value: Any) -> float:
        if type(value) is not int and not isinstance(value, float):
            raise Invalid("type", "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if isinstance(value, float) and not math.isfinite(value):
            raise Invalid("not_finite", finite)
        if abs(number) > largest:
            raise Invalid("out_of_range", f"a number from {-largest:.6g} to {largest:.6g}")
        return number

    return read


def number_readers(dtype: str) -> tuple[Callable[[Any], float], Callable[[Any], float]]:
    """How a number of a required and of an optional column is read."""
    return number_reader(dtype, optional=False), number_reader(dtype)


def is_text(values: Iterable[str]) -> bool:
    """Whether strings can be written as UTF-8: none has half a surrogate pair."""
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_string(value: Any) -> str:
    """Text that can be written as UTF-8."""
    if type(value) is not str:
        raise Invalid("type", "a string")
    if not is_text(value):
        raise Invalid("type", "a string without lone surrogates")
    return value


def read_binary(value: Any) -> bytes:
    """Bytes from base64, as RFC 4648 has it."""
    if type(value) is bytes:  # from a table; JSON has none
        return value
    if type(value) is not str:
        raise Invalid("type", "a string in base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("type", "a string in base64") from None


def time_words(*, zoned: bool = False, whole_days: bool = False) -> str:
    """What a value of a column of times must be."""
    if whole_days:
        return "a date such as 2026-11-23"
    return "a time with its offset, such as 2026-11-23T08:00:00+01:00" if zoned else WORDS["datetime"]


def time_reader(unit: str = "ns", *, zoned: bool = False, whole_days: bool = False) -> Callable[[Any], np.datetime64]:
    """How a time by RFC 3339 is read into 64 bits of a unit; without a time of day it is midnight.

    Args:
        unit: "s", "ms", "us" or "ns"; a time that it cannot hold to the last digit is refused.
        zoned: Whether a time must say its offset; else one without is UTC.
        whole_days: Whether it must be midnight in UTC.
    """
    words = time_words(zoned=zoned, whole_days=whole_days)
    digits = DIGITS[unit]

    def read(value: Any) -> np.datetime64:
        parts = TIME.fullmatch(value) if type(value) is str else None
        if parts is None or (zoned and not parts[6]):
            raise Invalid("type", words)
        year, day, minute, second, fraction, offset = parts.groups(default="")
        try:
            count = 2**63
            if len(year) == 4 and year.isdigit() and year != "0000":
                text = f"{year}{day}T{minute or '00:00'}{second}{offset.upper() or 'Z'}"
                seconds = (dt.datetime.fromisoformat(text) - EPOCH) // SECOND
                if fraction[digits:].strip("0") or (whole_days and seconds % 86_400):
                    raise Invalid("out_of_range", f"{words}, in whole {'days' if whole_days else UNITS[unit]}")
                count = seconds * 10**digits + int(fraction[:digits].ljust(digits, "0") or 0)
        except ValueError:
            raise Invalid("type", words) from None
        # numpy's datetime64 is 64 bits of a unit around 1970, the least of which says missing.
        if not abs(count) < 2**63:
            raise Invalid("out_of_range", RANGES.get(unit, "a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z"))
        return make_time(count, unit)

    return read


def make_time(count: int | None, unit: str) -> np.datetime64:
    """A time of so many units since 1970; without a count, the one that says missing."""
    made: Any = np.datetime64
    return made("NaT" if count is None else count, unit)  # type: ignore[no-any-return]


def write_time(value: Any) -> str:
    """A time in RFC 3339, with as many digits as it has."""
    text = str(np.datetime64(value))
    text = text if "T" in text else f"{text}T00:00:00"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"


def write_binary(value: Any) -> str:
    """Bytes in base64."""
    return base64.b64encode(value).decode()
