"""The types of a column: MLflow's name, JSON, Arrow and numpy, in one table.

Source of the names and of each numpy type: mlflow.types.DataType. Not MLflow's: an optional
integer or boolean has a numpy type of its own that can say "missing", whether or not a value is
missing among the rows at hand, so that a row's prediction never depends on its neighbours.
"""

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ColumnType:
    """One row of the table.

    Attributes:
        name: MLflow's name.
        expected: What a value must be, in words.
        schema: JSON schema of a value.
        arrow: Arrow's name of the type.
        numpy: Type of a required column's array.
        optional: Type of an optional column's array.
        missing: What stands for a missing value in an optional column's array.
        plain: Python types of JSON values that are taken as they are, without a look at each.
        read: Turns one JSON value into one that numpy takes.
        write: Turns one numpy value back into a JSON value.

    Raises (read):
        Invalid: The value breaks the type's rule.
    """

    name: str
    expected: str
    schema: Mapping[str, Any]
    arrow: str
    numpy: np.dtype[Any]
    optional: np.dtype[Any]
    missing: Any
    plain: frozenset[type]
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _boolean(value: Any) -> bool:
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
        if isinstance(value, float) and abs(number) > EXACT_FLOAT:  # its last digits may be lost already
            raise Invalid("out_of_range", f"a whole number without a point or exponent, as it is past {EXACT_FLOAT}")
        return int(number)

    return read


def _optional_integer(dtype: str) -> Callable[[Any], int]:
    read_any = integer_reader(dtype)

    def read(value: Any) -> int:
        number = read_any(value)
        if abs(number) > EXACT_FLOAT:
            raise Invalid("out_of_range", f"a whole number from {-EXACT_FLOAT} to {EXACT_FLOAT}")
        return number

    return read


def number_reader(dtype: str) -> Callable[[Any], float]:
    """How a JSON number is read that must fit into a floating-point type."""
    largest = float(np.finfo(dtype).max)

    def read(value: Any) -> float:
        if type(value) is not int and not isinstance(value, float):
            raise Invalid("type", "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if isinstance(value, float) and not math.isfinite(value):
            raise Invalid("not_finite", "a finite number, or null where it is missing")
        if abs(number) > largest:
            raise Invalid("out_of_range", f"a number from {-largest:.6g} to {largest:.6g}")
        return number

    return read


def is_text(values: Iterable[str]) -> bool:
    """Whether strings can be written as UTF-8: none has half a surrogate pair."""
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Invalid("type", "a string")
    if not is_text(value):
        raise Invalid("type", "a string without lone surrogates")
    return value


def _binary(value: Any) -> bytes:
    if type(value) is bytes:  # from a table; JSON has none
        return value
    if type(value) is not str:
        raise Invalid("type", "a string in base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("type", "a string in base64") from None


def _datetime(value: Any) -> np.datetime64:
    """A time by RFC 3339, of up to nanoseconds; without an offset it is UTC, without a time of day midnight."""
    parts = TIME.fullmatch(value) if type(value) is str else None
    if parts is None:
        raise Invalid("type", WORDS["datetime"])
    year, day, minute, second, fraction, offset = parts.groups(default="")
    try:
        nanoseconds = 2**63
        if len(year) == 4 and year.isdigit() and year != "0000":
            text = f"{year}{day}T{minute or '00:00'}{second}{offset.upper() or 'Z'}"
            seconds = (dt.datetime.fromisoformat(text) - EPOCH) // SECOND
            nanoseconds = seconds * 10**9 + int(fraction.ljust(9, "0"))
    except ValueError:
        raise Invalid("type", WORDS["datetime"]) from None
    # MLflow's datetime is datetime64[ns]: 64 bits of nanoseconds around 1970, the least of which says missing.
    if not abs(nanoseconds) < 2**63:
        raise Invalid("out_of_range", "a time from 1677-09-21T00:12:44Z to 2262-04-11T23:47:16Z")
    return np.datetime64(nanoseconds, "ns")


def write_time(value: Any) -> str:
    """A time in RFC 3339, with as many digits as it has."""
    text = str(np.datetime64(value, "ns"))
    return text.rstrip("0").rstrip(".") + "Z"


def _write_binary(value: Any) -> str:
    return base64.b64encode(value).decode()


def _type(
    name: str,
    schema: Mapping[str, Any],
    arrow: str,
    kinds: tuple[str, str, Any],
    plain: set[type],
    read: Callable[[Any], Any],
    write: Callable[[Any], Any],
) -> ColumnType:
    required, optional, missing = kinds
    return ColumnType(
        name, WORDS[name], schema, arrow, np.dtype(required), np.dtype(optional), missing, frozenset(plain), read, write
    )


NAN = float("nan")
FLOAT32_MAX = float(np.finfo("float32").max)
NOT_A_TIME = np.datetime64("NaT", "ns")
TIMES = ("datetime64[ns]", "datetime64[ns]", NOT_A_TIME)
WHOLE = {int}
REAL = {int, float}
INT32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
INT64 = {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
FLOAT32 = {"type": "number", "format": "float", "minimum": -FLOAT32_MAX, "maximum": FLOAT32_MAX}
FLOAT64 = {"type": "number", "format": "double"}
STRING, BOOLEAN = {"type": "string"}, {"type": "boolean"}
DATE_TIME = {**STRING, "format": "date-time"}
BASE64_TEXT = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
BASE64 = {**STRING, "contentEncoding": "base64", "pattern": BASE64_TEXT}
_TABLE: tuple[Any, ...] = (
    # MLflow, JSON and Arrow, numpy: required, optional, missing; plain; read and write a value
    ("boolean", BOOLEAN, "bool", ("bool", "object", None), {bool}, _boolean, bool),
    ("integer", INT32, "int32", ("int32", "float64", NAN), WHOLE, integer_reader("int32"), int),
    ("long", INT64, "int64", ("int64", "float64", NAN), WHOLE, integer_reader("int64"), int),
    ("float", FLOAT32, "float", ("float32", "float32", NAN), REAL, number_reader("float32"), float),
    ("double", FLOAT64, "double", ("float64", "float64", NAN), REAL, number_reader("float64"), float),
    ("string", STRING, "string", ("object", "object", NAN), {str}, _string, str),
    ("binary", BASE64, "binary", ("object", "object", None), set(), _binary, _write_binary),
    ("datetime", DATE_TIME, "timestamp[ns]", TIMES, set(), _datetime, write_time),
)
TYPES = {row[0]: _type(*row) for row in _TABLE}
OPTIONAL_READ = {"integer": _optional_integer("int32"), "long": _optional_integer("int64")}
"""How an optional integer is read: its array is of doubles, which hold integers up to EXACT_FLOAT."""
