"""What MLflow's pyfunc answers: a program in an environment of the artifact's own packages, with MLflow among them.

Runs as `python -m trifold.ops.deep_probe`, a specification on standard input, a JSON document on standard output. The
estimator is loaded by our loader, under the same trust as everywhere; all else is MLflow's: how rows are read, and its
schema enforcement. Then the estimator's own predict() and predict_proba() are asked, for all rows at once.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from trifold.errors import first_line
from trifold.fitted import takes_text
from trifold.frames import name_marker
from trifold.model import label, load

SECONDS = 60.0
"""For finding the rows that are refused, of each part; what was not asked until then is left out."""
Gap = tuple[str | int, str]
"""A column in which a row has no value, and the marker that stood for it at training."""


@dataclass
class Part:
    """Rows, and what is said of them, by their places.

    Attributes:
        take: Gives some of them as MLflow reads them, before its schema is enforced.
        gaps: Of each row.
        answers: A list of values for each output: predictions, then probabilities.
        refused: What MLflow or the model said to a row that it refused.
        left_out: Why an answer is none to the row that was sent.
        ends: When rows are no longer asked one by one.
    """

    take: Callable[[Sequence[int]], Any]
    gaps: Sequence[Sequence[Gap]]
    answers: dict[int, list[list[Any]]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    ends: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def to_json(self) -> dict[str, Any]:
        """What is said, as JSON values."""
        return {"answers": self.answers, "refused": self.refused, "left_out": self.left_out}


@dataclass(frozen=True)
class Pyfunc:
    """An estimator behind MLflow's schema enforcement.

    Attributes:
        estimator: As our loader gave it.
        enforce: MLflow's function; takes an input and gives what the estimator is given.
        has_probabilities: Whether they are asked for.
    """

    estimator: Any
    enforce: Callable[[Any], Any]
    has_probabilities: bool

    def ask(self, part: Part, places: list[int]) -> None:
        """Ask for rows at once, and for fewer at a time where some are refused."""
        asked = places * 2 if len(places) == 1 else places  # who gives one answer to any rows is found out
        try:
            given = self.enforce(part.take(asked))
            outputs = self._predict(given)
        except Exception as error:  # noqa: BLE001 - whatever MLflow or the model raises, it refuses
            self._ask_fewer(part, places, f"{type(error).__name__}: {first_line(error)}")
            return
        counts = {len(output) for output in outputs} - {len(asked)}
        miscount = f"pyfunc gives {min(counts)} answers to {len(asked)} rows" if counts else ""
        for number, place in enumerate(places):
            lost = miscount or find_lost(given, number, part.gaps[place])
            if lost:
                part.left_out[place] = lost
            else:
                part.answers[place] = [output[number] for output in outputs]

    def _ask_fewer(self, part: Part, places: list[int], refusal: str) -> None:
        if len(places) == 1:
            part.refused[places[0]] = refusal
        elif time.monotonic() > part.ends:
            part.left_out |= dict.fromkeys(places, f"not asked one by one within {SECONDS:.0f} s")
        else:
            middle = len(places) // 2
            self.ask(part, places[:middle])
            self.ask(part, places[middle:])

    def _predict(self, given: Any) -> list[list[list[Any]]]:
        """The outputs, each a list of values a row."""
        if len(getattr(given, "columns", ())) == 1 and takes_text(self.estimator):
            given = given.iloc[:, 0]  # of a DataFrame, scikit-learn's vectorizers read the names of the columns
        outputs = [self.estimator.predict(given)]
        if self.has_probabilities:
            found = self.estimator.predict_proba(given)
            outputs += found if isinstance(found, list) else [found]
        return [list_values(output) for output in outputs]


def try_pyfunc(specification: dict[str, Any]) -> dict[str, Any]:
    """What MLflow's pyfunc says.

    Args:
        specification: artifact, file, format, code, trusted, allow_pickle; probabilities, whether they are asked for;
            example: "places" of its rows and the "gaps" of each; rows: "body" and the "gaps" of each.

    Returns:
        mlflow (its version), and for "example" and "rows" what `Part.to_json` gives.
    """
    import mlflow
    from mlflow.models import Model

    artifact, example, rows = Path(specification["artifact"]), specification["example"], specification["rows"]
    names = ("file", "format", "trusted", "allow_pickle", "code")
    estimator = load(artifact, *(specification[name] for name in names))
    model: Any = Model.load(str(artifact))
    schema, places = model.get_input_schema(), example["places"]
    pyfunc = Pyfunc(estimator, lambda data: enforce(data, schema), specification["probabilities"])
    logged = model.load_input_example(str(artifact))
    parts = {
        "example": Part(lambda chosen: take_rows(logged, [places[place] for place in chosen]), example["gaps"]),
        "rows": Part(lambda chosen: read_rows(take_body(rows["body"], chosen), schema), rows["gaps"]),
    }
    with _one_thread():
        for part in parts.values():
            pyfunc.ask(part, list(range(len(part.gaps))))
    return {"mlflow": mlflow.__version__, **{name: part.to_json() for name, part in parts.items()}}


def read_rows(body: dict[str, Any], schema: Any) -> Any:
    """Rows of JSON as MLflow's server reads them.

    Args:
        body: A request's, with "inputs" or "dataframe_split".
        schema: MLflow's, of the input.
    """
    from mlflow.utils import proto_json_utils

    parsing: Any = proto_json_utils
    if "inputs" in body:
        return parsing.parse_tf_serving_input(body, schema)
    return parsing.dataframe_from_parsed_json(body["dataframe_split"], pandas_orient="split", schema=schema)


def enforce(data: Any, schema: Any) -> Any:
    """What MLflow's pyfunc gives the estimator."""
    from mlflow.models import utils

    return utils._enforce_schema(data, schema)


def take_rows(data: Any, places: Sequence[int]) -> Any:
    """Some rows of an example, whatever holds them."""
    if hasattr(data, "iloc"):
        return data.iloc[list(places)].reset_index(drop=True)
    if isinstance(data, dict):
        if not all(isinstance(values, list | np.ndarray) for values in data.values()):
            return [data] * len(places)  # it is one row
        return {name: take_rows(values, places) for name, values in data.items()}
    return [data[place] for place in places] if isinstance(data, list) else data[list(places)]


def take_body(body: dict[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """A request with some of the rows of another."""
    if "inputs" in body:
        return {"inputs": [body["inputs"][place] for place in places]}
    split = body["dataframe_split"]
    return {"dataframe_split": {**split, "data": [split["data"][place] for place in places]}}


def find_lost(given: Any, number: int, gaps: Sequence[Gap]) -> str:
    """Where the estimator was given another marker of a missing value than at training; empty: nowhere."""
    for name, marker in gaps:
        came = _name_missing(given[name].iloc[number]) if name in getattr(given, "columns", ()) else "no column"
        if came != marker:
            return f"no value in {name}: {marker} at training, {came} by MLflow"
    return ""


def list_values(output: Any) -> list[list[Any]]:
    """What an estimator answers, a list of values a row; times as we write them."""
    array = output.toarray() if scipy.sparse.issparse(output) else np.asarray(output)
    flat = array.reshape(len(array), -1)
    if flat.dtype.kind == "M" or (flat.dtype == object and flat.size and hasattr(flat.flat[0], "isoformat")):
        return [[label(value) for value in row] for row in flat]
    return list(flat.tolist())


@contextmanager
def _one_thread() -> Iterator[None]:
    """In several, a forest adds its trees in the order in which they end."""
    import joblib
    import threadpoolctl

    with joblib.parallel_config(backend="sequential"), threadpoolctl.threadpool_limits(1):
        yield


def _name_missing(value: Any) -> str:
    import pandas as pd

    if value is None or value is pd.NA or (not hasattr(value, "__len__") and value != value):
        return name_marker(value)
    return str(value)


def main() -> int:
    """0 with the document; 1 with {"error": sentence}."""
    try:
        document = try_pyfunc(json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001 - said, whatever it is
        traceback.print_exc()
        document = {"error": f"{type(error).__name__}: {first_line(error)}"}
    print(json.dumps(document, default=str))
    return 1 if "error" in document else 0


if __name__ == "__main__":
    sys.exit(main())
