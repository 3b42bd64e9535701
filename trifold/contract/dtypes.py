"""How a column stood in the DataFrame that a model was fitted on: what MLflow's signature does not say.

A signature has eight types. pandas has a column's width, its unit and zone, its categories, and four markers of a
missing value, which a fitted model can tell apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trifold.contract.readers import (
    WORDS,
    Invalid,
    integer_reader,
    make_time,
    number_readers,
    time_reader,
    time_words,
)
from trifold.contract.types import ColumnType, integer_schema

NONE, NAN, NAT, NA = MARKERS = ("None", "NaN", "NaT", "NA")
"""What stands for a missing value: Python's None, a float's NaN, a time's NaT, pandas' NA."""
MOST_WORDS = 500
UNTOLD = "untold"
"""Several markers stood in the column, or nobody knows which: a missing value is refused."""
OBJECT, CATEGORY = "object", "category"
TIME = re.compile(r"datetime64\[(s|ms|us|ns)(?:, (.+))?\]")
NUMPY = re.compile(r"u?int(8|16|32|64)|float(16|32|64)|bool")
NULLABLE = re.compile(r"U?Int(8|16|32|64)|Float(32|64)|boolean")
NUMBERS = frozenset({"integer", "long", "float", "double"})
ITEMS = {"bool": "boolean", "str": "string", "bytes": "binary"} | dict.fromkeys(
    ("date", "datetime", "Timestamp"), "datetime"
)
"""Python's types of an object column's values, and MLflow's of the column; beside these, int and float are known."""
ITEM_UNITS = {"date": "s", "datetime": "us", "Timestamp": "ns"}


@dataclass(frozen=True)
class Dtype:
    """What pandas says of a column.

    Attributes:
        name: pandas' name of the dtype, such as "int8", "Int64", "object" or "datetime64[us, Europe/Berlin]".
        missing: The marker of a missing value: one of MARKERS, or UNTOLD; None: none was seen.
        items: Of an object column, the one Python type that its values have, such as "date"; None: no one type.
        categories: Of a category column, its categories in their order, as JSON values.
        of: Of a category column, the dtype of the categories.
        ordered: Whether the categories are ordered.
        closed: Whether a value beyond the categories is refused, as code of the model's own sees their numbers.
    """

    name: str
    missing: str | None = None
    items: str | None = None
    categories: tuple[Any, ...] | None = None
    of: str | None = None
    ordered: bool = False
    closed: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Dtype":
        """Read what `dataclasses.asdict` gave."""
        categories = document.get("categories")
        return cls(**{**document, "categories": None if categories is None else tuple(categories)})

    @property
    def is_array(self) -> bool:
        """Whether it is one of numpy's own numbers, so that a matrix may stand for the DataFrame."""
        return bool(NUMPY.fullmatch(self.name))

    @property
    def unit(self) -> str | None:
        """The unit of a column of times; None for any other."""
        times = TIME.fullmatch(self.name)
        return times[1] if times else ITEM_UNITS.get(self.items or "")

    @property
    def zone(self) -> str | None:
        """The zone of a column of times that has one."""
        times = TIME.fullmatch(self.name)
        return times[2] if times else None


def settle_kind(kind: ColumnType, dtype: Dtype) -> ColumnType | None:
    """MLflow's type narrowed to what the dtype holds; None where they do not fit together."""
    if dtype.unit:
        return _settle_time(kind, dtype) if kind.name == "datetime" else None
    if dtype.name == OBJECT:
        return _settle_items(kind, dtype)
    if dtype.name == CATEGORY:
        return _settle_category(kind, dtype) if dtype.closed else kind
    if dtype.name in ("str", "string"):
        return kind if kind.name == "string" else None
    if NUMPY.fullmatch(dtype.name):
        return _settle_numpy(kind, np.dtype(dtype.name))
    if NULLABLE.fullmatch(dtype.name):
        return _settle_nullable(kind, np.dtype({"boolean": "bool"}.get(dtype.name, dtype.name.lower())))
    return None


def _settle_time(kind: ColumnType, dtype: Dtype) -> ColumnType:
    unit, says = str(dtype.unit), {"zoned": dtype.zone is not None, "whole_days": dtype.items == "date"}
    read = time_reader(unit, **says)
    array = np.dtype(f"datetime64[{unit}]")
    return replace(
        kind, expected=time_words(**says), arrow=f"timestamp[{unit}]", numpy=array, optional=array,
        missing=make_time(None, unit), read=read, read_optional=read,
    )  # fmt: skip


def _settle_items(kind: ColumnType, dtype: Dtype) -> ColumnType | None:
    """Objects: whole numbers stay so though a gap among them makes MLflow call them doubles."""
    if dtype.items == "int" and kind.name in NUMBERS:
        return _as_objects(kind, "int64")
    if dtype.items == "float":
        return kind if kind.name in ("float", "double") else None
    return kind if dtype.items is None or ITEMS.get(dtype.items) == kind.name else None


def _settle_category(kind: ColumnType, dtype: Dtype) -> ColumnType:
    """A closed category; its model counts on the categories' numbers."""
    known = frozenset(dtype.categories or ())
    words = f"one of the categories of training, {', '.join(map(str, dtype.categories or ()))}"[:MOST_WORDS]

    def read(value: Any) -> Any:
        found = kind.read(value)
        if found not in known:
            raise Invalid("unknown_category", words)
        return found

    return replace(kind, expected=words, plain=frozenset(), read=read, read_optional=read, single=True)


def _settle_numpy(kind: ColumnType, dtype: np.dtype[Any]) -> ColumnType | None:
    if dtype.kind == "b":
        return kind if kind.name == "boolean" else None
    if dtype.kind == "f":
        if kind.name not in ("float", "double"):
            return None
        readers = number_readers(dtype.name)
        largest = float(np.finfo(dtype).max)
        schema = kind.schema if dtype.itemsize == 8 else {**kind.schema, "minimum": -largest, "maximum": largest}
        return replace(kind, schema=schema, numpy=dtype, optional=dtype, read=readers[0], read_optional=readers[1])
    if kind.name not in ("integer", "long"):
        return None
    return replace(kind, schema=integer_schema(dtype), numpy=dtype, read=integer_reader(dtype.name))


def _settle_nullable(kind: ColumnType, dtype: np.dtype[Any]) -> ColumnType | None:
    """Pandas' nullable types hold a missing value beside numbers to their last digit."""
    if dtype.kind in "iu" and kind.name in ("integer", "long"):
        return _as_objects(kind, dtype.name, required=dtype)
    return _settle_numpy(kind, dtype)


def _as_objects(kind: ColumnType, dtype: str, required: np.dtype[Any] | None = None) -> ColumnType:
    objects, read = np.dtype(object), integer_reader(dtype)
    return replace(
        kind, expected=WORDS["long"], schema=integer_schema(np.dtype(dtype)), numpy=required or objects,
        optional=objects, missing=None, plain=frozenset(), read=read,
        read_optional=read, write=int, single=True,
    )  # fmt: skip
