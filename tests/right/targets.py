"""What generated models learn: classes of every type, numbers, several outputs, or nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

from tests.right import estimators
from tests.right.columns import Column
from tests.right.draws import Random
from tests.right.estimators import pick

PAIRS: Sequence[Any] = (
    [False, True], [False, True], *[[0, 1]] * 5, [-1, 1], [-1, 1], [3, 7], [3, 7], [0.0, 1.0], *[["no", "yes"]] * 5,
    [" <=50K", " >50K"], [" <=50K", " >50K"], ["a,b", "two\nlines"],
    np.array(["2024-01-01", "2024-07-01T12:30"], "datetime64[us]"),
    np.array(["2024-01-01", "2025-01-01"], "datetime64[ns]"),
)  # fmt: skip
TRIPLES: Sequence[Any] = ([0, 1, 2], [1, 5, 10], ["x", "y, z", "Ω"], [2.5, 3.5, 4.0])
KINDS = ("pair", "triple", "number", "numbers", "labels", "multi-label", "nothing")
SHARES = (0.48, 0.09, 0.22, 0.04, 0.04, 0.06, 0.07)


@dataclass(frozen=True, eq=False)
class Target:
    """What is learnt.

    Attributes:
        kind: One of KINDS.
        words: What its values are.
        y: The values; None for nothing.
        makers: What learns it.
        wrappers: What may stand around that.
    """

    kind: str
    words: str
    y: Any
    makers: Sequence[Callable[[], Any]]
    wrappers: Sequence[Callable[[Any], Any]] = ()

    def draw_estimator(self, random: Random) -> Any:
        """An estimator that learns it."""
        return pick(random, self.makers)()


def draw_target(random: Random, signal: np.ndarray) -> Target:
    """A target that depends on a signal."""
    kind = str(random.choice(KINDS, p=SHARES))
    if kind == "pair":
        return _pair(random, signal)
    if kind == "triple":
        labels = pick(random, TRIPLES)
        y = np.array(labels)[np.digitize(signal, np.quantile(signal, [0.35, 0.7]))]
        return Target(
            kind, f"classes {labels}", y, (*estimators.ANY_NUMBERS, *estimators.CLASSIFIERS), estimators.WRAPPERS
        )
    if kind == "number":
        y, makers = signal * 10 ** random.integers(-1, 4), (*estimators.REGRESSORS_OF_ANY, *estimators.REGRESSORS)
        return Target(kind, "a number", y, makers, estimators.REGRESSOR_WRAPPERS)
    if kind == "numbers":
        return Target(kind, "two numbers", np.column_stack([signal, -(signal**2)]), estimators.SEVERAL_NUMBERS)
    if kind == "labels":
        y = np.column_stack([np.where(signal > 0, "up", "down"), np.where(np.abs(signal) > 1, "far", "near")])
        return Target(kind, "two labels", y, estimators.SEVERAL_LABELS)
    if kind == "multi-label":
        return _multi_label(random, signal)
    return Target(kind, "nothing", None, estimators.WITHOUT_TARGET)


def _pair(random: Random, signal: np.ndarray) -> Target:
    labels = pick(random, PAIRS)
    y = np.asarray(labels)[(signal > np.quantile(signal, random.choice([0.4, 0.6, 0.75]))).astype(int)]
    wrappers = (*estimators.WRAPPERS, *estimators.TWO_CLASSES)
    makers = (*estimators.ANY_NUMBERS, *estimators.CLASSIFIERS)
    return Target("pair", f"classes {np.asarray(labels).dtype} {list(map(str, labels))}", y, makers, wrappers)


def _multi_label(random: Random, signal: np.ndarray) -> Target:
    Y = np.column_stack([signal > 0, signal > np.quantile(signal, 0.7), np.abs(signal) < 1]).astype(int)
    if random.random() < 0.4:
        return Target(
            "multi-label", "labels in a sparse matrix", scipy.sparse.csr_matrix(Y), estimators.MULTI_LABEL[:1]
        )
    return Target("multi-label", "labels in a matrix", Y, estimators.MULTI_LABEL)


def draw_signal(random: Random, columns: Sequence[Column], X: Any) -> np.ndarray:
    """A number a row, to which each column adds."""
    if columns:
        parts = [_weights(random, column.train.tolist()) for column in columns]
    elif isinstance(X, np.ndarray):
        parts = [_weights(random, values.tolist()) for values in X.reshape(len(X), -1).T]
    else:
        parts = [np.array([len(line) + 5.0 * ("Ulm" in line) for line in X]) / 10]
    return np.sum(parts, axis=0) + 0.3 * random.normal(size=len(X))


def _weights(random: Random, values: list[Any]) -> np.ndarray:
    """What a column adds: a random number for each of few values, else their rank; for missing ones another number."""
    known = [None if pd.api.types.is_scalar(value) and pd.isna(value) else str(value) for value in values]
    order = sorted({text for text in known if text is not None}, key=_as_number)
    if len(order) <= 12:
        weight: Callable[[int], float] = list(random.normal(size=len(order) + 1)).__getitem__
    else:
        weight = lambda place: 3 * place / len(order) - 1.5  # noqa: E731
    table = {text: weight(place) for place, text in enumerate(order)}
    gap = float(random.normal() * 2)
    return np.array([gap if text is None else table[text] for text in known])


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return 0.0, text
