"""The types of a column: MLflow's name, JSON, Arrow and numpy, in one table.

Source of the names and of each numpy type: mlflow.types.DataType. Not MLflow's: an optional
integer or boolean has a numpy type of its own that can say "missing", whether or not a value is
missing among the rows at hand, so that a row's prediction never depends on its neighbours.
"""

import base64
import binascii
import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

EXACT_FLOAT = 2**53
"""Integers up to this have an exact double (IEEE 754)."""


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


def _integer(bits: int) -> Callable[[Any], int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def read(value: Any) -> int:
        if type(value) is float:
            if not math.isfinite(value):
                raise Invalid("not_finite", "a whole number")
            # JSON has one kind of number: 3.0 is a whole number, as JSON Schema says.
            if value.is_integer() and abs(value) <= EXACT_FLOAT:
                value = int(value)
            elif abs(value) >= 2.0 ** (bits - 1):
                raise Invalid("out_of_range", f"a whole number from {low} to {high}")
        if type(value) is not int:
            raise Invalid("type", "a whole number")
        if not low <= value <= high:
            raise Invalid("out_of_range", f"a whole number from {low} to {high}")
        return value

    return read


def _optional_integer(bits: int) -> Callable[[Any], int]:
    read_any = _integer(bits)

    def read(value: Any) -> int:
        number = read_any(value)
        if abs(number) > EXACT_FLOAT:
            raise Invalid("out_of_range", f"a whole number from {-EXACT_FLOAT} to {EXACT_FLOAT}")
        return number

    return read


def _number(dtype: str) -> Callable[[Any], float]:
    largest = float(np.finfo(dtype).max)

    def read(value: Any) -> float:
        if type(value) is int:
            if abs(value) > largest:
                raise Invalid("out_of_range", f"a number from {-largest:.6g} to {largest:.6g}")
            return float(value)
        if type(value) is not float:
            raise Invalid("type", "a number")
        if not math.isfinite(value):
            raise Invalid("not_finite", "a finite number, or null where it is missing")
        if abs(value) > largest:
            raise Invalid("out_of_range", f"a number from {-largest:.6g} to {largest:.6g}")
        return value

    return read


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Invalid("type", "a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid("type", "a string without lone surrogates") from None
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
    words = "a time such as 2026-11-23T08:00:00"
    if type(value) is not str:
        raise Invalid("type", words)
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise Invalid("type", words) from None
    try:
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        raise Invalid("out_of_range", "a time from 1677-09-22 to 2262-04-11") from None
    # MLflow's datetime is datetime64[ns]: 64 bits of nanoseconds around 1970.
    if not dt.datetime(1677, 9, 22) <= moment < dt.datetime(2262, 4, 11):
        raise Invalid("out_of_range", "a time from 1677-09-22 to 2262-04-11")
    return np.datetime64(moment, "ns")


def _write_datetime(value: Any) -> str:
    text = str(np.datetime64(value, "us"))
    return text.removesuffix(".000000")


def _schema(kind: str, **more: str) -> dict[str, str]:
    return {"type": kind, **more}


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
NOT_A_TIME = np.datetime64("NaT", "ns")
TIMES = ("datetime64[ns]", "datetime64[ns]", NOT_A_TIME)
WHOLE = {int}
REAL = {int, float}
WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "string": "a string",
    "binary": "a string in base64",
    "datetime": "a time such as 2026-11-23T08:00:00",
}
INT32, INT64 = _schema("integer", format="int32"), _schema("integer", format="int64")
FLOAT32, FLOAT64 = _schema("number", format="float"), _schema("number", format="double")
TIME, BASE64 = _schema("string", format="date-time"), _schema("string", contentEncoding="base64")
_TABLE: tuple[Any, ...] = (
    # MLflow, JSON and Arrow, numpy: required, optional, missing; plain; read and write a value
    ("boolean", _schema("boolean"), "bool", ("bool", "object", None), {bool}, _boolean, bool),
    ("integer", INT32, "int32", ("int32", "float64", NAN), WHOLE, _integer(32), int),
    ("long", INT64, "int64", ("int64", "float64", NAN), WHOLE, _integer(64), int),
    ("float", FLOAT32, "float", ("float32", "float32", NAN), REAL, _number("f4"), float),
    ("double", FLOAT64, "double", ("float64", "float64", NAN), REAL, _number("f8"), float),
    ("string", _schema("string"), "string", ("object", "object", NAN), {str}, _string, str),
    ("binary", BASE64, "binary", ("object", "object", None), set(), _binary, _write_binary),
    ("datetime", TIME, "timestamp[ns]", TIMES, set(), _datetime, _write_datetime),
)
TYPES = {row[0]: _type(*row) for row in _TABLE}
OPTIONAL_READ = {"integer": _optional_integer(32), "long": _optional_integer(64)}
"""How an optional integer is read: its array is of doubles, which hold integers up to EXACT_FLOAT."""
