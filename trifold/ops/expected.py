"""The answers of plain scikit-learn to a model's input example: a script that imports nothing of Trifold's.

It reads the artifact as MLflow wrote it, builds what a data scientist would pass to predict(), and prints the answers
as JSON. What Trifold serves is compared with it, so it must not share Trifold's way of reading rows.

Usage: python -I expected.py ARTIFACT SPECIFICATION, the latter JSON with file, format, code and trusted.
"""

import base64
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
import yaml


def main() -> None:
    """Print the answers."""
    artifact, specification = Path(sys.argv[1]), json.loads(sys.argv[2])
    estimator = load(artifact, specification)
    X = example(artifact, takes_text(estimator))
    document = {"predictions": np.asarray(estimator.predict(X)).tolist()}
    if hasattr(estimator, "predict_proba"):
        outputs = estimator.predict_proba(X)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        document["probabilities"] = [output.tolist() for output in outputs]
    print(json.dumps(document))


def load(artifact: Path, specification: dict[str, Any]) -> Any:
    """Load the estimator."""
    if specification["code"]:
        sys.path.append(str(artifact / specification["code"]))
    file = artifact / specification["file"]
    if specification["format"] == "skops":
        return skops.io.load(file, trusted=specification["trusted"])
    with file.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301 - only after --allow-pickle


def takes_text(estimator: Any) -> bool:
    """Whether predict() wants an iterable of strings, as a vectorizer of scikit-learn's does."""
    return hasattr(estimator.steps[0][1] if hasattr(estimator, "steps") else estimator, "analyzer")


def example(artifact: Path, text: bool) -> Any:
    """The input example as predict() takes it."""
    mlmodel = yaml.safe_load((artifact / "MLmodel").read_text())
    info, signature = mlmodel["saved_input_example_info"], json.loads(mlmodel["signature"]["inputs"])
    saved = json.loads((artifact / info["artifact_path"]).read_text())
    if signature[0]["type"] == "tensor":
        dtype = signature[0]["tensor-spec"]["dtype"]
        return np.array(saved, dtype=object if dtype == "str" else dtype)
    if not isinstance(saved, dict):
        return saved
    names = [column["name"] for column in signature]
    frame = pd.DataFrame(saved["data"], columns=saved.get("columns", names))[names]
    for column in signature:
        frame[column["name"]] = typed(frame[column["name"]], column)
    return frame.iloc[:, 0] if text else frame


def typed(values: pd.Series, column: dict[str, Any]) -> pd.Series:
    """A column in its signature's type."""
    kinds = {
        "float": "float32",
        "double": "float64",
        "integer": "int32",
        "long": "int64",
        "datetime": "datetime64[ns]",
    }
    kind = column["type"]
    if kind == "binary":
        return values.map(base64.b64decode, na_action="ignore")
    if kind in ("integer", "long") and not column["required"]:
        return values.astype("float64")
    return values.astype(kinds[kind]) if kind in kinds else values


if __name__ == "__main__":
    main()
