"""The answers of plain scikit-learn to a model's input example: a script that imports nothing of Trifold's.

It reads the artifact as MLflow wrote it, builds what a data scientist would pass to predict(), and prints the answers
as JSON; or, where that fails, at which step: "load", "example" or "predict", the last being the estimator's own word.
What Trifold serves is compared with it, so it must not share Trifold's way of reading rows.

Usage: python -I expected.py ARTIFACT, and on standard input two lines of JSON: first file, format, code, trusted and
rows, the positions of the example's rows that are asked for (null: all); then what was found out of the columns at
training, by name.
"""

import base64
import copy
import datetime
import json
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import skops.io
import yaml
from scipy.stats._distn_infrastructure import rv_generic

ORIGINALS = "extra_files/answers.parquet"
MARKERS = {"None": None, "NaN": float("nan"), "NaT": pd.NaT, "NA": pd.NA}
"""What a missing value may be, by the names under which training keeps it."""


def main() -> None:
    """Print the answers."""
    artifact, specification = Path(sys.argv[1]), json.loads(sys.stdin.readline())
    step = "load"
    try:
        estimator = load(artifact, specification)
        dtypes = json.loads(sys.stdin.readline())
        step = "example"
        X = chosen(example(artifact, takes_text(estimator), dtypes), specification["rows"])
        step = "predict"
        document = answers(estimator, X)
    except Exception as error:  # noqa: BLE001 - said, with the step that raised it
        traceback.print_exc()
        words = (str(error).strip().splitlines() or [""])[0]
        document = {"failed": step, "error": f"{type(error).__name__}: {words}"[:300]}
    print(json.dumps(document, default=plain))


def load(artifact: Path, specification: dict[str, Any]) -> Any:
    """Load the estimator."""
    if specification["code"]:
        sys.path.append(str(artifact / specification["code"]))
    file = artifact / specification["file"]
    if specification["format"] == "skops":
        # A distribution that a search keeps would run program text out of the file; it is made anew instead.
        rv_generic.__setstate__ = lambda distribution, state: distribution.__init__()
        return skops.io.load(file, trusted=specification["trusted"])
    with file.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301 - only after --allow-pickle


def answers(estimator: Any, X: Any) -> dict[str, Any]:
    """What the estimator says of some rows."""
    document = {"predictions": listed(estimator.predict(copy.deepcopy(X)))}  # predict() may write into it
    if hasattr(estimator, "predict_proba"):
        outputs = estimator.predict_proba(copy.deepcopy(X))
        document["probabilities"] = [listed(output) for output in (outputs if isinstance(outputs, list) else [outputs])]
    return document


def listed(answer: Any) -> Any:
    """An answer as lists, times as RFC 3339 has them."""
    array = answer.toarray() if scipy.sparse.issparse(answer) else np.asarray(answer)
    if array.dtype.kind != "M":
        return array.tolist()
    texts = array.astype("datetime64[ns]").astype(str).tolist()
    return [f"{text.rstrip('0').rstrip('.')}Z" for text in texts]


def plain(value: Any) -> Any:
    """A value that JSON has no word for, as text."""
    return value.isoformat() if isinstance(value, (datetime.datetime, datetime.date)) else str(value)


def takes_text(estimator: Any) -> bool:
    """Whether predict() wants an iterable of strings, as a vectorizer of scikit-learn's does."""
    return hasattr(estimator.steps[0][1] if hasattr(estimator, "steps") else estimator, "analyzer")


def example(artifact: Path, text: bool, dtypes: dict[str, Any]) -> Any:
    """The input example as predict() takes it: the original rows where they were kept, else what MLflow wrote.

    Without a signature, it is as pandas and numpy read it by themselves.
    """
    file = artifact / ORIGINALS
    if file.is_file():
        rows, about = originals(file)
        return chosen(rows, list(range(min(about["example"], len(rows)))))
    mlmodel = yaml.safe_load((artifact / "MLmodel").read_text())
    info, signed = mlmodel["saved_input_example_info"], (mlmodel.get("signature") or {}).get("inputs")
    signature, saved = json.loads(signed or "[]"), saved_example(artifact, info)
    kind = info.get("type") or ("dataframe" if isinstance(saved, dict) and "data" in saved else "json_object")
    if kind in ("sparse_matrix_csr", "sparse_matrix_csc"):
        return sparse(saved, kind)
    if not signature and kind == "json_object" and isinstance(saved, list) and not isinstance(saved[0], dict):
        return saved
    if not signature:
        return np.array(saved) if kind == "ndarray" else table(saved, kind, [], None)
    if signature[0]["type"] == "tensor":
        dtype = signature[0]["tensor-spec"]["dtype"]
        return np.array(saved, dtype=object if dtype == "str" else dtype)
    names = [column.get("name", position) for position, column in enumerate(signature)]
    frame = table(saved, kind, signature, names)
    for name, column in zip(names, signature, strict=True):
        values, dtype = typed(frame[name], column), dtypes.get(str(name))
        frame[name] = trained(values, dtype, [dtype["missing"]] * len(values)) if dtype else values
    if "name" not in signature[0]:
        return frame.iloc[:, 0].tolist() if signature[0]["type"] == "string" else frame.to_numpy()
    return frame.iloc[:, 0] if text and len(names) == 1 else frame


def saved_example(artifact: Path, info: dict[str, Any]) -> Any:
    """The example's JSON, out of what MLflow puts around it for parameters, for a request or in older versions."""
    file = artifact / info["artifact_path"]
    is_request = not file.is_file()
    saved = json.loads((artifact / info["serving_input_path"] if is_request else file).read_text())
    if not isinstance(saved, dict):
        return saved
    old = info.get("type") in ("ndarray", "dataframe") and not set(saved) - {"inputs", "instances"}
    if info.get("params") or is_request or old:
        found = [
            saved[name] for name in ("inputs", "instances", "dataframe_split", "dataframe_records") if name in saved
        ]
        return found[0] if found else saved
    return saved


def sparse(saved: dict[str, Any], kind: str) -> Any:
    """A matrix that was logged as one."""
    build = scipy.sparse.csr_matrix if kind.endswith("csr") else scipy.sparse.csc_matrix
    return build((np.asarray(saved["data"]), saved["indices"], saved["indptr"]), shape=tuple(saved["shape"]))


def table(saved: Any, kind: str, signature: list[dict[str, Any]], names: list[Any] | None) -> pd.DataFrame:
    """A DataFrame, an object of columns, a list of objects, or rows without names."""
    if kind == "dataframe" and isinstance(saved, dict):
        frame = pd.DataFrame(saved["data"], columns=saved.get("columns", names))
    elif isinstance(saved, dict):
        types = {column.get("name"): column["type"] for column in signature}
        many = [isinstance(value, list) and types.get(name) != "array" for name, value in saved.items()]
        frame = pd.DataFrame(saved if all(many) else [saved])
    elif names is None or (isinstance(saved, list) and saved and isinstance(saved[0], dict)):
        frame = pd.DataFrame(saved if isinstance(saved, list) else [saved])
    elif len(names) > 1:
        frame = pd.DataFrame(saved, columns=names)
    else:
        frame = pd.DataFrame({names[0]: saved if isinstance(saved, list) else [saved]})
    return frame if names is None else frame.reindex(columns=names)


def typed(values: pd.Series, column: dict[str, Any]) -> pd.Series:
    """A column in its signature's type."""
    kinds = {
        "float": "float32",
        "double": "float64",
        "integer": "int32",
        "long": "int64",
    }
    kind = column["type"]
    if kind == "binary":
        return values.map(base64.b64decode, na_action="ignore")
    if kind in ("integer", "long") and not column.get("required", True):
        return values.astype("float64")
    return values.astype(kinds[kind]) if kind in kinds else values


def originals(file: Path) -> tuple[Any, dict[str, Any]]:
    """The original rows that training kept, as they were, and what is said of them."""
    import pyarrow.parquet as pq  # only where rows were kept: a server does without Arrow

    table = pq.read_table(file)
    about = json.loads(table.schema.metadata[b"trifold"])
    if about["kind"] == "array":
        return np.array(table["x"].to_pylist(), dtype=about["dtype"]).reshape(-1, *about["shape"]), about
    columns = {}
    for place, (label, dtype) in enumerate(zip(about["labels"], about["dtypes"], strict=True)):
        values = pd.Series(table[f"x{place}"].to_pylist(), dtype=object)
        columns[label] = trained(values, dtype, about["markers"][place])
    return pd.DataFrame(columns), about


def trained(values: pd.Series, dtype: dict[str, Any], markers: list[str | None]) -> pd.Series:
    """A column as it stood in the training data; `markers` are what each missing value was, in order."""
    name, items, given = dtype["name"], dtype.get("items"), list(values)
    missing = [is_missing(value) for value in given]
    if name.startswith("datetime64"):
        times = [pd.NaT if gap else pd.Timestamp(value) for value, gap in zip(given, missing, strict=True)]
        zone = pd.api.types.pandas_dtype(name).tz if "," in name else None
        return pd.Series([time.tz_convert(zone) if zone and time is not pd.NaT else time for time in times], dtype=name)
    if name == "object":
        left = iter(markers)
        pairs = zip(given, missing, strict=True)
        objects = [MARKERS.get(next(left) or "None") if gap else item(value, items) for value, gap in pairs]
        return pd.Series(objects, dtype=object)
    known = [None if gap else value for value, gap in zip(given, missing, strict=True)]
    if name == "category":
        categories = pd.Index(dtype["categories"], dtype=dtype["of"])
        return pd.Series(pd.Categorical(known, categories=categories, ordered=dtype["ordered"]))
    if name == "str":
        return pd.Series([float("nan") if value is None else value for value in known])
    return pd.Series(known, dtype=name)


def item(value: Any, kind: str | None) -> Any:
    """A value among objects in its Python type."""
    if kind == "date" and isinstance(value, str):
        return datetime.date.fromisoformat(value)
    if kind in ("Timestamp", "datetime"):
        time = pd.Timestamp(value)
        return time if kind == "Timestamp" else time.to_pydatetime()
    return np.array(value) if kind == "ndarray" else int(value) if kind == "int" else value


def is_missing(value: Any) -> bool:
    """Whether a value of a column stands for none."""
    return value is None or value == "NaT" or (not isinstance(value, list) and bool(pd.isna(value)))


def chosen(X: Any, rows: list[int] | None) -> Any:
    """Some of the rows."""
    if rows is None:
        return X
    if isinstance(X, list):
        return [X[row] for row in rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


if __name__ == "__main__":
    main()
