"""The oracle: the estimator itself, asked on the original rows. Nothing of Trifold's is imported here."""

import math
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

TOLERANCE = 1e-12
SINGLE = 1e-5
"""Of answers that are float32 themselves."""


@dataclass(frozen=True)
class Said:
    """What is said of a row.

    Attributes:
        prediction: Its values, one an output.
        scores: Probabilities of all outputs after each other; None without any.
        single: Whether a value has no more digits than float32.
    """

    prediction: tuple[Any, ...]
    scores: tuple[float, ...] | None = None
    single: bool = False

    @property
    def infinite(self) -> bool:
        """Whether a value is infinite, or no number at all: JSON has neither."""
        values = (*self.prediction, *(self.scores or ()))
        return any(isinstance(value, float) and not math.isfinite(value) for value in values)


@dataclass(frozen=True)
class Raised:
    """What an estimator raised for a row that was alone."""

    words: str


def ask(estimator: Any, X: Any) -> list[Said]:
    """An estimator's predictions and probabilities, all rows at once."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        predictions = _dense(estimator.predict(X))
        outputs = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else None
    columns = [_dense(output) for output in (outputs if isinstance(outputs, list) else [outputs]) if output is not None]
    single = any(np.asarray(array).dtype.itemsize < 8 for array in (predictions, *columns) if array.dtype.kind == "f")
    said = []
    for row in range(len(predictions)):
        values = tuple(_plain(value) for value in np.atleast_1d(predictions[row]))
        scores = tuple(float(value) for column in columns for value in np.atleast_1d(column[row])) if columns else None
        said.append(Said(values, scores, single))
    return said


def ask_each(estimator: Any, X: Any) -> list[Said | Raised]:
    """The same, but a row for which the estimator raises an error is told apart from the others."""
    try:
        return list(ask(estimator, X))
    except Exception:  # noqa: BLE001 - whatever an estimator raises is its answer
        alone = [_ask_alone(estimator, X, row) for row in range(rows_in(X))]
    fine = [row for row, said in enumerate(alone) if isinstance(said, Said)]
    if fine:
        for row, said in zip(fine, ask(estimator, take(X, fine)), strict=True):
            alone[row] = said
    return alone


def ask_in_blocks(estimator: Any, X: Any, blocks: Sequence[int]) -> list[Said]:
    """The same in blocks of a size; the last is filled up with its first row."""
    if not blocks:
        return ask(estimator, X)
    size, count, said = blocks[0], rows_in(X), list[Said]()
    for start in range(0, count, size):
        here = min(size, count - start)
        places = [start + number if number < here else start for number in range(size)]
        said += ask(estimator, take(X, places))[:here]
    return said


def take(X: Any, places: Sequence[int]) -> Any:
    """Some rows."""
    if isinstance(X, list):
        return [X[place] for place in places]
    return X.iloc[list(places)] if isinstance(X, pd.DataFrame | pd.Series) else X[list(places)]


def rows_in(X: Any) -> int:
    """How many rows there are."""
    return len(X)


def same_bits(one: Said, other: Said) -> bool:
    """Whether two answers are equal to the bit."""
    return _bits(one.prediction) == _bits(other.prediction) and _bits(one.scores) == _bits(other.scores)


def close(one: Said, other: Said) -> bool:
    """Whether two answers have equal labels, and numbers that are equal but for the last bits."""
    tolerance = SINGLE if one.single or other.single else TOLERANCE
    pairs = [(one.prediction, other.prediction), (one.scores or (), other.scores or ())]
    if (one.scores is None) != (other.scores is None):
        return False
    return all(len(a) == len(b) and all(_close(x, y, tolerance) for x, y in zip(a, b, strict=True)) for a, b in pairs)


def _ask_alone(estimator: Any, X: Any, row: int) -> Said | Raised:
    try:
        return ask(estimator, take(X, [row]))[0]
    except Exception as error:  # noqa: BLE001 - see above
        return Raised(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


def _dense(array: Any) -> Any:
    return array.toarray() if scipy.sparse.issparse(array) else np.asarray(array)


def _plain(value: Any) -> Any:
    """A value as Python has it; a time as text, since nanoseconds have no other."""
    if isinstance(value, np.datetime64 | pd.Timestamp):
        return pd.Timestamp(value).isoformat()
    return value.item() if isinstance(value, np.generic) else value


def _bits(values: Sequence[Any] | None) -> Any:
    if values is None:
        return None
    return [
        struct.pack("<d", value) if isinstance(value, float) and value == value else repr(value) for value in values
    ]


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    if one != one or other != other:
        return one != one and other != other
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
