"""What an artifact's input example shows of its columns beside their types.

MLflow writes a DataFrame's values as JSON: NaN of a column of text or numbers as NaN, but None, pandas' NA and a NaN
among objects as null; a time with the offset of its zone, and a date without a time of day.
"""

import re
from collections.abc import Mapping
from typing import Any

from trifold.ops.settle import DATE, IS_NAN, IS_NULL, ZONED

OFFSET = re.compile(r"T.*(?:Z|[+-]\d\d:\d\d)", re.ASCII)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def read_hints(example: Any, times: set[str]) -> dict[str, str]:
    """By column, what its values in the example show.

    Args:
        example: As MLflow wrote it; one without columns shows nothing.
        times: Names of the columns of times.
    """
    if not isinstance(example, Mapping) or "data" not in example or "columns" not in example:
        return {}
    hints = {}
    for place, name in enumerate(map(str, example["columns"])):
        values = [row[place] for row in example["data"]]
        hint = _hint_time(values) if name in times else _hint_missing(values)
        if hint:
            hints[name] = hint
    return hints


def _hint_time(values: list[Any]) -> str | None:
    texts = [value for value in values if isinstance(value, str) and value != "NaT"]
    if texts and all(OFFSET.search(text) for text in texts):
        return ZONED
    return DATE if texts and all(DAY.fullmatch(text) for text in texts) else None


def _hint_missing(values: list[Any]) -> str | None:
    if any(value is None for value in values):
        return IS_NULL
    return IS_NAN if any(isinstance(value, float) and value != value for value in values) else None
