"""Functions of data scientists that look at what a server easily loses: markers, dtypes, units, zones."""

import datetime as dt
import zlib
from typing import Any

import numpy as np
import pandas as pd

MARKERS = (
    (lambda value: value is None, 1.0),
    (lambda value: value is pd.NA, -2.0),
    (lambda value: value is pd.NaT, 3.0),
)


def _each(X, function):
    """A function of each cell, whatever holds it."""
    if isinstance(X, pd.DataFrame):
        return np.array([[function(value) for value in X.iloc[:, place].tolist()] for place in range(X.shape[1])]).T
    return np.array([[function(value) for value in row] for row in np.asarray(X, dtype=object)])


def _marker(value: Any) -> float:
    for is_it, code in MARKERS:
        if is_it(value):
            return code
    return -1.0 if isinstance(value, float) and value != value else 0.0


def _number(value: Any) -> float:
    if _marker(value):
        return -3.0
    if isinstance(value, pd.Timestamp):
        return value.hour + value.minute / 60
    if isinstance(value, str | bytes | list | np.ndarray):
        return float(len(value))
    if isinstance(value, dt.date):
        return float(value.day)
    return float(np.clip(float(value), -1e6, 1e6))


def markers(X):
    """Which marker stands in each cell."""
    return _each(X, _marker)


def is_none(X):
    """Where None stands, and nothing else that is missing."""
    return _each(X, lambda value: float(value is None))


def missing(X):
    """Where anything is missing, as pandas says."""
    return X.isna().astype(float)


def by_dtype(X):
    """Numbers that depend on each column's dtype."""
    factors = [1 + zlib.crc32(str(dtype).encode()) % 11 for dtype in X.dtypes]
    return _each(X, _number) * factors


def by_python_type(X):
    """Which Python type each cell has."""
    return _each(X, lambda value: float(zlib.crc32(type(value).__name__.encode()) % 13) + _number(value) / 100)


def hours(X):
    """Hour of each time, on the clock of its zone."""
    return pd.DataFrame({name: X[name].dt.hour + X[name].dt.minute / 60 for name in X.columns}).fillna(-1)


def weekdays(X):
    """Day of the week, which a zone may change."""
    return np.column_stack([X[name].dt.dayofweek.fillna(-1) for name in X.columns])


def ticks(X):
    """Times as whole numbers, in the unit that they have."""
    return np.column_stack([X[name].astype("int64").to_numpy() % 1_000_003 for name in X.columns]) / 1000.0


def days(X):
    """Days since 2024, of times with a zone or without."""
    columns = []
    for name in X.columns:
        start = pd.Timestamp("2024-01-01", tz=X[name].dt.tz)
        columns.append((X[name] - start).dt.total_seconds().fillna(0) / 86_400)
    return np.column_stack(columns)


def offsets(X):
    """Hours that each time's zone is away from UTC."""
    return _each(
        X, lambda value: 0.0 if value is pd.NaT or value.tz is None else value.utcoffset().total_seconds() / 3600
    )


def ordinals(X):
    """Python dates as days; a time of pandas has another toordinal than a date has a type."""
    return _each(X, lambda value: -1.0 if _marker(value) else value.toordinal() % 1000 + (type(value) is dt.date) * 7)


def lengths(X):
    """Length of each text, list or bytes."""
    return _each(X, lambda value: -1.0 if not isinstance(value, str | bytes | list | np.ndarray) else float(len(value)))


def sums(X):
    """Sum of each list of numbers."""
    return _each(X, lambda value: float(sum(value)))


def spaces(X):
    """How many spaces each text begins with."""
    return _each(X, lambda value: float(len(value) - len(value.lstrip())) if isinstance(value, str) else -1.0)


def codes(X):
    """Codes of categories, in the order that training gave them."""
    return np.column_stack([X[name].cat.codes for name in X.columns])


def first_column(X):
    """A frame's only column as a list of texts."""
    return X.iloc[:, 0].fillna("").astype(str)


def dense(X):
    """A sparse matrix as an array."""
    return X.toarray()


def flat(X):
    """Rows of several dimensions as rows of numbers."""
    return X.reshape(len(X), -1)


def squared(X):
    """Squares, which overflow soon."""
    with np.errstate(over="ignore"):
        return np.asarray(X, dtype=float) ** 2


def to_exp(y):
    """The inverse of a logarithm, infinite past 709."""
    with np.errstate(over="ignore"):
        return np.exp(np.asarray(y) * 20)


def to_log(y):
    """See `to_exp`."""
    return np.log(np.maximum(y, 1e-9)) / 20
