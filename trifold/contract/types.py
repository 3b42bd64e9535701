"""The types of a column: MLflow's name, JSON, Arrow and numpy, in one table.

Source of the names and of each numpy type: mlflow.types.DataType. Not MLflow's: an optional
integer or boolean has a numpy type of its own that can say "missing", whether or not a value is
missing among the rows at hand, so that a row's prediction never depends on its neighbours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifold.contract.readers import (
    WORDS,
    integer_reader,
    number_readers,
    read_binary,
    read_boolean,
    read_string,
    read_within_doubles,
    time_reader,
    write_binary,
    write_time,
)


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
        read_optional: The same for an optional column, whose array may hold less.
        write: Turns one numpy value back into a JSON value.
        single: Whether each value has to be read by itself, from tables too.

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
    read_optional: Callable[[Any], Any]
    write: Callable[[Any], Any]
    single: bool = False


def _type(
    name: str,
    schema: Mapping[str, Any],
    arrow: str,
    kinds: tuple[str, str, Any],
    plain: set[type],
    readers: tuple[Callable[[Any], Any], Callable[[Any], Any]],
    write: Callable[[Any], Any],
) -> ColumnType:
    required, optional, missing = kinds
    arrays = np.dtype(required), np.dtype(optional), missing
    return ColumnType(name, WORDS[name], schema, arrow, *arrays, frozenset(plain), *readers, write)


NAN = float("nan")
FLOAT32_MAX = float(np.finfo("float32").max)
NOT_A_TIME = np.datetime64("NaT", "ns")
TIMES = ("datetime64[ns]", "datetime64[ns]", NOT_A_TIME)
WHOLE = {int}
REAL = {int, float}
FLOAT32 = {"type": "number", "format": "float", "minimum": -FLOAT32_MAX, "maximum": FLOAT32_MAX}
FLOAT64 = {"type": "number", "format": "double"}
STRING, BOOLEAN = {"type": "string"}, {"type": "boolean"}
DATE_TIME = {**STRING, "format": "date-time"}
BASE64_TEXT = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
BASE64 = {**STRING, "contentEncoding": "base64", "pattern": BASE64_TEXT}


def integer_schema(dtype: np.dtype[Any]) -> dict[str, Any]:
    """JSON schema of a whole number that an integer type holds."""
    limits = np.iinfo(dtype)
    bounds = {"minimum": int(limits.min), "maximum": int(limits.max)}
    return {"type": "integer", **({"format": dtype.name} if dtype.name in ("int32", "int64") else {}), **bounds}


INT32, INT64 = integer_schema(np.dtype("int32")), integer_schema(np.dtype("int64"))
READ_TIME = time_reader()
_TABLE: tuple[Any, ...] = (
    # MLflow, JSON and Arrow, numpy: required, optional, missing; plain; read a value, required and optional; write one
    ("boolean", BOOLEAN, "bool", ("bool", "object", None), {bool}, (read_boolean, read_boolean), bool),
    ("integer", INT32, "int32", ("int32", "float64", NAN), WHOLE, (integer_reader("int32"),) * 2, int),
    ("long", INT64, "int64", ("int64", "float64", NAN), WHOLE, (integer_reader("int64"), read_within_doubles), int),
    ("float", FLOAT32, "float", ("float32", "float32", NAN), REAL, number_readers("float32"), float),
    ("double", FLOAT64, "double", ("float64", "float64", NAN), REAL, number_readers("float64"), float),
    ("string", STRING, "string", ("object", "object", NAN), {str}, (read_string, read_string), str),
    ("binary", BASE64, "binary", ("object", "object", None), set(), (read_binary, read_binary), write_binary),
    ("datetime", DATE_TIME, "timestamp[ns]", TIMES, set(), (READ_TIME, READ_TIME), write_time),
)
TYPES = {row[0]: _type(*row) for row in _TABLE}
