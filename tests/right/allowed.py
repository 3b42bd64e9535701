"""The reasons for which a row may have no answer; whatever is refused for another is wrong."""

import math
from typing import Any

import pandas as pd

from tests import doors
from tests.doors import Refusal
from tests.right.columns import Column
from tests.right.direct import Raised
from tests.right.kinds import BOTH, UNTYPED
from tests.right.pipelines import Case
from trifold.fitted import has_own_code

MODEL = "the estimator itself raises an error for the row"
INFINITE = "the estimator answers with infinity or NaN"
GAP = "a value is missing of a column that had no gap in what was logged"
RANGE = "a whole number past 2**53 beside missing ones, or a time that the column's unit does not hold"
EMPTY = "CSV writes no difference between an empty text and a missing one"
MARKERS = "None and NaN were both learnt, and a null does not say which is meant"
TYPE = "MLflow's signature has no type for the column"
UNSAID = "MLflow's plain signature does not say enough of the column, and check warns"
BACKED = "a dtype that a server without Arrow cannot make"
CLOSED = "a category that training never saw, whose number the model's own code could see"
EITHER = "None and NaN were both learnt; answered for one of them"

EXAMPLE_ROWS = 5
LARGEST_EXACT = 2**53
NANOSECONDS = 2**63


def at_logging(case: Case, words: str) -> str | None:
    """Why a model may be refused when it is logged or loaded."""
    if case.plain and words.startswith(doors.UNSAID):
        return UNSAID
    if case.plain and "No row of the input example fits" in words:
        return TYPE
    if "which a server cannot make" in words:
        return BACKED
    return TYPE if any(_has_no_type(case, column) for column in case.columns) else None


def not_sent(case: Case, door: str, row: int) -> str | None:
    """Why a row is not sent through a door: it cannot be said there."""
    if "CSV" in door and any(value in ("", b"") for value in _values(case, row) if isinstance(value, str | bytes)):
        return EMPTY
    return None


def refusal(case: Case, row: int, got: Refusal) -> str | None:
    """Why a row may be refused."""
    if isinstance(case.said[row], Raised) and got.rule not in ("failed", "crashed"):
        return MODEL
    if got.rule in ("refused_by_model", "csv") and case.said[row].infinite:
        return INFINITE
    missing = [column for column in case.columns if _is_missing(column.ask.iloc[row])]
    if "one of the categories of training" in got.words and _sees_categories(case):
        return CLOSED
    if got.rule in ("missing", "missing_column", "csv") and any(not _logged_gaps(case, column) for column in missing):
        return GAP
    if got.rule in ("out_of_range", "csv") and any(
        _is_far(case, column, column.ask.iloc[row]) for column in case.columns
    ):
        return RANGE
    if "is not known" in got.words and any(column.kind.marker == BOTH for column in missing):
        return MARKERS
    if "is not known" in got.words and case.plain:
        return UNSAID
    return None


def _sees_categories(case: Case) -> bool:
    return has_own_code(case.estimator) and any(column.kind.family == "category" for column in case.columns)


def warned(case: Case, names: frozenset[str]) -> str | None:
    """Why an answer may differ: check has said that the signature does not tell enough."""
    unsaid = {str(column.name) for column in case.columns if column.kind.unsaid or column.kind.family == "list"}
    return UNSAID if case.plain and unsaid & names else None


def _values(case: Case, row: int) -> list[Any]:
    if case.columns:
        return [column.ask.iloc[row] for column in case.columns]
    return [case.asked[row]] if isinstance(case.asked, list) else []


def _has_no_type(case: Case, column: Column) -> bool:
    """uint64, and a column of nothing but None or empty lists in what was logged."""
    logged = column.train[:EXAMPLE_ROWS] if case.plain else column.train
    if column.kind.family == "list":
        return not any(logged)
    return column.kind == UNTYPED or bool(logged.isna().all() and column.kind.family != "number")


def _logged_gaps(case: Case, column: Column) -> bool:
    return bool((column.train[:EXAMPLE_ROWS] if case.plain else column.train).isna().any())


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _is_far(case: Case, column: Column, value: Any) -> bool:
    """Whether what was logged may not hold a value; of a plain model nobody knows a time's unit."""
    if isinstance(value, pd.Timestamp):
        if not case.plain:
            return False
        return abs(value.timestamp()) * 1e9 >= NANOSECONDS or value.nanosecond > 0
    known = column.kind.family == "number" and not _is_missing(value) and math.isfinite(value)
    return bool(known and abs(value) >= LARGEST_EXACT and column.kind.marker)
