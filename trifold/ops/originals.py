"""Original rows and the estimator's own answers to them, kept at training: the oracle that servers are compared with.

The file is answers.parquet among the artifact's extra files: a column x0, x1, … for each of the input's (x for an
array's rows), and one for each output in each way of asking; what Parquet loses of the rows, objects and markers of
missing values, is in its metadata. trifold/ops/expected.py reads it without a line of ours.
"""

import copy
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
import threadpoolctl

from trifold.contract.dtypes import OBJECT
from trifold.contract.readers import write_time
from trifold.frames import name_marker, read_dtype
from trifold.ops.oracle import ONCE

FILE = "answers.parquet"
METADATA = b"trifold"
ROWS = 200
NUMBERS = 200_000
"""Most numbers of an array's rows."""
BLOCKS = (8, 16, 64, 256)
"""Sizes of padded blocks in which the estimator is asked, beside all rows at once: those that servers use."""


def write_originals(file: Path, model: Any, X: Any, first: int) -> None:
    """Write rows of the training data and what the estimator says of them; warn where they cannot be kept.

    Args:
        file: Where to.
        model: The fitted estimator.
        X: What it was fitted on: a DataFrame, an array or a list.
        first: So many rows from the start are among them: the input example.
    """
    rows = _take(X, _choose(X, first))
    try:
        asked = dict(_ask_all(model, rows))
        table = _tabulate(rows, asked, first)
    except (TypeError, ValueError, pa.ArrowException) as error:
        warnings.warn(
            f"The model's own answers are not kept, so that servers cannot be compared with them: {error}", stacklevel=3
        )
        return
    pq.write_table(table, file, compression="zstd")


def _choose(X: Any, first: int) -> list[int]:
    """Positions: the first rows, of each column the first that lacks a value, and others by chance."""
    width = int(np.prod(np.shape(X)[1:])) or 1
    most = max(first, min(ROWS, NUMBERS // width))
    chosen = dict.fromkeys(range(min(first, len(X))))
    if isinstance(X, pd.DataFrame):
        for place in range(X.shape[1]):
            missing = np.flatnonzero(X.iloc[:, place].isna())
            chosen |= dict.fromkeys(missing[:2].tolist())
    chosen |= dict.fromkeys(np.random.default_rng(0).permutation(len(X)).tolist())
    return list(chosen)[:most]


def _take(X: Any, places: list[int]) -> Any:
    return X.iloc[places] if hasattr(X, "iloc") else np.asarray(X)[places]


def _ask_all(model: Any, rows: Any) -> Iterator[tuple[str, list[np.ndarray[Any, Any]]]]:
    """The outputs in each way of asking: predictions, then probabilities, each of shape (rows, …)."""
    with joblib.parallel_config(backend="sequential"), threadpoolctl.threadpool_limits(1):
        yield ONCE, _ask(model, rows)
        for size in BLOCKS:
            parts = []
            for start in range(0, len(rows), size):
                places = [start + step if start + step < len(rows) else start for step in range(size)]
                parts.append([output[: len(rows) - start] for output in _ask(model, _take(rows, places))])
            yield str(size), [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _ask(model: Any, rows: Any) -> list[np.ndarray[Any, Any]]:
    outputs = [model.predict(copy.deepcopy(rows))]  # it may write into them
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        found = model.predict_proba(copy.deepcopy(rows))
        outputs += found if isinstance(found, list) else [found]
    return [output.toarray() if scipy.sparse.issparse(output) else np.asarray(output) for output in outputs]


def _tabulate(rows: Any, asked: dict[str, list[np.ndarray[Any, Any]]], first: int) -> pa.Table:
    if isinstance(rows, pd.DataFrame):
        columns, about = _tabulate_frame(rows)
    else:
        array = np.asarray(rows)
        flat = array.reshape(len(array), -1)
        columns = {"x": pa.array([row.tolist() for row in flat])}
        dtype = "object" if array.dtype.kind in "OU" else array.dtype.name
        about = {"kind": "array", "dtype": dtype, "shape": array.shape[1:]}
    for way, outputs in asked.items():
        for place, output in enumerate(outputs):
            columns[f"{way}/{place}"] = _tabulate_output(output)
    return pa.table(columns).replace_schema_metadata(
        {METADATA: json.dumps({"format": 1, "example": first, **about}).encode()}
    )


def _tabulate_frame(rows: pd.DataFrame) -> tuple[dict[str, pa.Array], dict[str, Any]]:
    columns, labels, dtypes, markers = {}, [], [], []
    for place, label in enumerate(rows.columns):
        values = rows.iloc[:, place]
        dtype = read_dtype(values)
        columns[f"x{place}"] = pa.array(values.tolist() if values.dtype == OBJECT else values, from_pandas=True)
        labels.append(label if isinstance(label, int) else str(label))
        dtypes.append(asdict(dtype) if dtype else {"name": str(values.dtype)})
        markers.append([name_marker(value) for value in values[values.isna()]])
    return columns, {"kind": "frame", "labels": labels, "dtypes": dtypes, "markers": markers}


def _tabulate_output(output: np.ndarray[Any, Any]) -> pa.Array:
    """Numbers as lists of doubles, which hold narrower floats exactly; anything else as it is written in JSON."""
    flat = output.reshape(len(output), -1)
    if flat.dtype.kind == "f":
        return pa.array([row.tolist() for row in flat.astype("float64")], pa.list_(pa.float64()))
    if flat.dtype.kind == "M":  # labels that are times
        flat = np.array([[write_time(value) for value in row] for row in flat], dtype=object)
    return pa.array([json.dumps(row.tolist()) for row in flat], pa.string())
