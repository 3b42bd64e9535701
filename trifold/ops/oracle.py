"""Compare a model's answers, in each mode, with the estimator's own to original rows, as training kept them.

The rows are said in each mode's form by code that shares nothing with the server's: JSON, CSV, a table, events.
"""

import base64
import csv
import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trifold.answers import Answers
from trifold.rows import Array

TOLERANCE = 1e-12
"""Relative: where the estimator was asked for all rows at once, or by a processor that rounds otherwise."""
ONCE = "once"
Outputs = Sequence[Sequence[Sequence[Any]]]
"""Predictions, then probabilities of each output: a list a row of its values, floats or what JSON has for a label."""


@dataclass(frozen=True, eq=False)
class Originals:
    """Rows of the training data, and what the estimator said of them.

    Attributes:
        rows: A DataFrame, or an array of shape (rows, …).
        outputs: By way of asking: ONCE, or a size of blocks.
    """

    rows: Any
    outputs: Mapping[str, Outputs]

    def take(self, places: Sequence[int]) -> "Originals":
        """The rows at some places."""
        rows = self.rows.iloc[places] if isinstance(self.rows, pd.DataFrame) else self.rows[places]
        outputs = {
            way: [[output[place] for place in places] for output in found] for way, found in self.outputs.items()
        }
        return Originals(rows, outputs)


@dataclass(frozen=True)
class Comparison:
    """How answers compare with the estimator's own.

    Attributes:
        rows: Rows that were answered.
        close: Of these, rows whose numbers differ in the last bits.
        wrong: Of these, rows whose label differs, or a number by more than TOLERANCE.
        first: The first wrong row: its place, what was expected and what came.
    """

    rows: int
    close: int = 0
    wrong: int = 0
    first: str = ""


def compare(originals: Originals, found: Outputs, block: int | None) -> Comparison:
    """Compare answers to all original rows with the estimator's, asked in the same blocks.

    Args:
        originals: As many rows as were answered.
        found: A server's predictions and probabilities.
        block: The smallest size of the server's blocks; None: it predicts rows as they come.
    """
    wanted = originals.outputs.get(str(block or ONCE)) or originals.outputs[ONCE]
    close, wrong, first = set[int](), set[int](), ""
    for ours, theirs in zip(found, wanted, strict=True):
        for place, (came, expected) in enumerate(zip(ours, theirs, strict=True)):
            if repr(came) == repr(expected):  # to the bit, and to the sign of zero
                continue
            if not _is_close(came, expected):
                first = first or f"row {place}: expected {_short(expected)}, came {_short(came)}"
                wrong.add(place)
            close.add(place)
    return Comparison(len(found[0]), len(close - wrong), len(wrong), first)


def list_answers(answers: Answers) -> Outputs:
    """Answers as outputs."""
    return [_as_lists(values) for values in (answers.predictions, *(answers.probabilities or ()))]


def say_rows(rows: Any) -> list[Any]:
    """Rows as a client writes them in JSON."""
    if not isinstance(rows, pd.DataFrame):
        return [_say(row) for row in np.asarray(rows)]
    columns = {str(label): [_say(value) for value in rows[label]] for label in rows.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def say_csv(rows: pd.DataFrame) -> bytes:
    """Rows as a spreadsheet saves them; what JSON has no text for is JSON in its cell."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(str, rows.columns))
    for row in say_rows(rows):
        writer.writerow(
            "" if value is None else value if type(value) is str else json.dumps(value) for value in row.values()
        )
    return file.getvalue().encode()


def say_table(rows: pd.DataFrame) -> pa.Table:
    """Rows as pandas writes them into Parquet."""
    named = rows.set_axis(list(map(str, rows.columns)), axis=1)
    columns = [
        pa.array(values.tolist() if values.dtype == object else values, from_pandas=True) for _, values in named.items()
    ]
    return pa.table(columns, names=list(named.columns))


def find_sayable(rows: Any) -> list[int]:
    """Places of the rows that CSV can say: an empty cell is a missing value, and no empty text."""
    if not isinstance(rows, pd.DataFrame):
        return []
    said = say_rows(rows)
    return [
        place
        for place, row in enumerate(said)
        if not any(type(value) is str and not value.strip() for value in row.values())
        and any(value is not None for value in row.values())
    ]


def _say(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        return [_say(item) for item in value]
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.item() if isinstance(value, np.generic) else value


def _as_lists(values: Array) -> list[list[Any]]:
    return [list(row) for row in values.reshape(len(values), -1).tolist()]


def _is_close(came: Sequence[Any], expected: Sequence[Any]) -> bool:
    try:
        return bool(np.allclose(np.asarray(came, float), np.asarray(expected, float), rtol=TOLERANCE, atol=TOLERANCE))
    except (TypeError, ValueError):  # labels
        return False


def _short(values: Sequence[Any]) -> str:
    return json.dumps(values[0] if len(values) == 1 else list(values), default=str)[:100]
