"""Types of columns that people have, with what stands for a missing value in each."""

import datetime as dt
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tests.right import draws
from tests.right.draws import GAP, TICKS, WORDS, Random

BOTH = "None and NaN"
ZONES = {
    "UTC": "UTC",
    "Berlin": "Europe/Berlin",
    "New York": "America/New_York",
    "Kolkata": "Asia/Kolkata",
    "Lord Howe": "Australia/Lord_Howe",
    "+05:30": dt.timezone(dt.timedelta(hours=5, minutes=30)),
    "-03:00": dt.timezone(-dt.timedelta(hours=3)),
}


@dataclass(frozen=True)
class Kind:
    """A type of column.

    Attributes:
        name: Words for it.
        family: number, flag, text, category, time, date, list or binary; a transformer takes one family.
        draw: Usual values: random, count -> list.
        build: Values, GAP among them, -> Series.
        strange: Values at the edges of the type.
        marker: What stands for a missing value: "", "None", "NaN", "NaT", "NA" or BOTH.
        unsaid: What MLflow's plain signature does not say of it: dtype, marker, unit, zone.
    """

    name: str
    family: str
    draw: Callable[[Random, int], list[Any]]
    build: Callable[[list[Any]], pd.Series]
    strange: tuple[Any, ...] = ()
    marker: str = ""
    unsaid: frozenset[str] = frozenset()


def _filled(marker: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [marker if value is GAP else value for value in values]


def _typed(dtype: Any, marker: Any = None) -> Callable[[list[Any]], pd.Series]:
    fill = _filled(marker)
    return lambda values: pd.Series(fill(values), dtype=dtype)


def _alternating(values: list[Any]) -> pd.Series:
    markers = itertools.cycle([None, np.nan])
    return pd.Series([next(markers) if value is GAP else value for value in values], dtype=object)


def _times(unit: str, zone: Any) -> Callable[[list[Any]], pd.Series]:
    def build(values: list[Any]) -> pd.Series:
        ticks = np.array([np.iinfo("int64").min if value is GAP else value for value in values], dtype="int64")
        series = pd.Series(ticks.view(f"datetime64[{unit}]"))
        return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)

    return build


def _time_kind(unit: str, zone: str | None) -> Kind:
    edges = [0, -1, 86_399 * TICKS[unit]]
    if unit != "ns":
        edges.append(32_503_680_000 * TICKS[unit])  # the year 3000, which nanoseconds do not reach
    unsaid = frozenset({"unit"} if zone is None else {"unit", "zone"})
    name = f"datetime64[{unit}{', ' + zone if zone else ''}]"
    build = _times(unit, ZONES[zone] if zone else None)
    return Kind(name, "time", draws.instants(unit), build, tuple(edges), "NaT", unsaid)


def _category(ordered: bool) -> Callable[[list[Any]], pd.Series]:
    def build(values: list[Any]) -> pd.Series:
        known = sorted({value for value in values if value is not GAP})
        filled = [None if value is GAP else value for value in values]
        return pd.Series(filled, dtype=pd.CategoricalDtype(known, ordered=ordered))

    return build


DTYPE, MARKER, BOTH_UNSAID = frozenset({"dtype"}), frozenset({"marker"}), frozenset({"dtype", "marker"})
EDGES = (-0.0, 0.0, 1e308, -1e308, 5e-324, 1e-310, 0.1 + 0.2, 2.0**53, 1e16)
HUGE = (2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0)


def _int_kind(dtype: str, low: int, high: int) -> Kind:
    limits = np.iinfo(dtype)
    edges = HUGE if dtype == "int64" else (int(limits.min), int(limits.max), 0)
    unsaid = frozenset() if dtype in ("int64", "int32") else DTYPE
    return Kind(dtype, "number", draws.whole(low, high), _typed(dtype), edges, "", unsaid)


def _nullable(dtype: str, draw: Callable[[Random, int], list[Any]], family: str = "number") -> Kind:
    edges: Sequence[Any] = {"Int64": (2**53 + 1, 7, -1), "Float64": EDGES}.get(dtype, ())
    return Kind(dtype, family, draw, _typed(dtype, pd.NA), tuple(edges), "NA", BOTH_UNSAID)


NUMBERS = (
    Kind("float64", "number", draws.floats, _typed("float64", np.nan), EDGES, "NaN"),
    Kind("float32", "number", draws.singles, _typed("float32", np.nan), (3.4e38, -0.0, 1e-45, 0.1), "NaN"),
    Kind("float16", "number", draws.halves, _typed("float16", np.nan), (65504.0, 6e-8, -0.0), "NaN", DTYPE),
    *(_int_kind(f"int{bits}", -50, 50) for bits in (8, 16, 32, 64)),
    *(_int_kind(f"uint{bits}", 0, 100) for bits in (8, 16, 32)),
    _nullable("Int64", draws.whole(-50, 50)),
    _nullable("Int32", draws.whole(-50, 50)),
    _nullable("Float64", draws.floats),
    Kind("ints and None as object", "number", draws.whole(-5, 50), _typed(object), (2**53 + 1,), "None", BOTH_UNSAID),
    Kind("floats and None as object", "number", draws.floats, _typed(object, None), (), "None", BOTH_UNSAID),
    Kind("float64, constant", "number", draws.constant(1.5), _typed("float64", np.nan), (2.5,), "NaN"),
    Kind("float64, nothing but NaN", "number", draws.nothing, _typed("float64", np.nan), (), "NaN"),
    Kind("int64[pyarrow]", "number", draws.whole(-50, 50), _typed("int64[pyarrow]", pd.NA), (), "NA", BOTH_UNSAID),
)  # fmt: skip
FLAGS = (
    Kind("bool", "flag", draws.flags, _typed("bool")),
    _nullable("boolean", draws.flags, "flag"),
    Kind("booleans and None as object", "flag", draws.flags, _typed(object, None), (), "None", BOTH_UNSAID),
)
TEXTS = (
    Kind("text and None as object", "text", draws.words, _typed(object, None), WORDS, "None", BOTH_UNSAID),
    Kind("text and NaN as object", "text", draws.words, _typed(object, np.nan), WORDS, "NaN", BOTH_UNSAID),
    Kind("text, None and NaN as object", "text", draws.words, _alternating, WORDS, BOTH, BOTH_UNSAID),
    Kind("text and NA as object", "text", draws.words, _typed(object, pd.NA), WORDS, "NA", BOTH_UNSAID),
    Kind("str", "text", draws.words, _typed("str", None), WORDS, "NaN", BOTH_UNSAID),
    Kind("string", "text", draws.words, _typed("string", pd.NA), WORDS, "NA", BOTH_UNSAID),
    Kind("text, constant", "text", draws.constant("Ulm"), _typed(object, None), ("Bonn",), "None", BOTH_UNSAID),
    Kind("text, nothing but None", "text", draws.nothing, _typed(object, None), (), "None", BOTH_UNSAID),
)
CATEGORIES = (
    Kind("category of texts", "category", draws.words, _category(False), WORDS, "NaN", BOTH_UNSAID),
    Kind("category of texts, ordered", "category", draws.words, _category(True), WORDS, "NaN", BOTH_UNSAID),
    Kind("category of whole numbers", "category", draws.levels, _category(False), (5, 11), "NaN", BOTH_UNSAID),
)
TIMES = (
    *(_time_kind(unit, None) for unit in TICKS),
    *(_time_kind(unit, zone) for unit, zone in zip(("us", "ns", "us", "s", "ms", "us", "ns"), ZONES, strict=True)),
)
DATES = (
    Kind("dates as object", "date", draws.dates, _typed(object, None), (dt.date(1969, 7, 20),), "None", BOTH_UNSAID),
    Kind("datetimes as object", "date", draws.moments, _typed(object, None), (), "None", BOTH_UNSAID),
)
LISTS = (
    Kind("lists of three floats", "list", draws.triples, _typed(object)),
    Kind("lists of texts", "list", draws.sets, _typed(object)),
    Kind("bytes", "binary", draws.bytes, _typed(object), (b"", b"\x00\xff")),
)
KINDS = (*NUMBERS, *FLAGS, *TEXTS, *CATEGORIES, *TIMES, *DATES, *LISTS)
UNTYPED = Kind("uint64", "number", draws.whole(0, 100), _typed("uint64"))
