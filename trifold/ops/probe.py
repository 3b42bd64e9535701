"""Try a model in its own environment: load it, predict its example, find its parity, time a row.

Runs as `python -m trifold.ops.probe`, a specification on standard input, a JSON document on standard output; it imports
no MLflow, since the environment has none.
"""

import copy
import json
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from trifold.answers import Answers, same_bits
from trifold.contract import profile
from trifold.contract.contract import Contract
from trifold.contract.dtypes import UNTOLD
from trifold.errors import ArtifactError, TrifoldError, first_line
from trifold.model import FRAME, MATRIX, Model, load
from trifold.ops.deep_answers import answer_generated, list_answers
from trifold.ops.settle import settle
from trifold.packed import NOT_PROVEN
from trifold.parity import BLOCK_SAMPLE, measure, probe, sample_like
from trifold.rows import Rows

TIMINGS = 15
MISSING_SECONDS = 2.0
"""For asking what the model makes of a missing value in each column; there may be hundreds."""
UNWRITTEN = {
    "m": "spans of time", "c": "complex numbers", "S": "bytes", "V": "values of no plain type",
}  # fmt: skip
"""What predictions may not be, by numpy's kind."""
REFERENCE = "reference"
LOAD, PREDICT, COMPARE = "load", "predict", "compare"
"""The steps, of which the one that failed is said."""


@dataclass
class Attempt:
    """How far it got, for what is said when it fails.

    Attributes:
        step: The step that began last.
        fitted_by: Versions of scikit-learn that made parts of the model, others than the one here.
    """

    step: str = LOAD
    fitted_by: list[str] = field(default_factory=list)


def try_model(specification: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """What a model does.

    Args:
        specification: artifact, file, format, code, trusted, allow_pickle, contract (JSON), rows (the example), hints
            (of the example, by column) and deep (how many rows to answer beside it); without a contract it is only
            loaded.
        attempt: Is kept up to date.

    Returns:
        dtypes (of the columns at training, by name), doubts (what could not be found out of them), form, parity,
        blocks, apart (how far a row alone is from the same among others, where parity is not proven), sample
        ("reference" or "generated", and its rows), row_ms, refuses_missing (optional columns whose missing value the
        model refuses), takes_missing (required ones whose missing value it takes), answers (to the example) and, if
        asked for, deep (rows like it, and the answers to them: see `answer_generated`).

    Raises:
        TrifoldError: The model cannot be loaded.
    """
    artifact = Path(specification["artifact"])
    names = ("file", "format", "trusted", "allow_pickle", "code")

    def estimator() -> Any:
        return load(artifact, *(specification[name] for name in names))

    with _other_versions(attempt):
        loaded = estimator()
    if specification["contract"] is None:
        return {}
    threadpoolctl.threadpool_limits(1)
    contract = Contract.from_json(specification["contract"])
    contract, doubts = settle(loaded, contract, specification["rows"], specification["hints"])
    example = contract.check_rows(specification["rows"]).rows
    model = Model(loaded, contract)
    attempt.step = PREDICT
    _require_plain(model.predict(example))  # if it is refused, nothing else is worth trying
    attempt.step = COMPARE
    sample, origin = _sample(model, artifact, example)
    if model.form == MATRIX and contract.signature.named:
        model = _settle_form(estimator(), model, sample)
    parity = probe(model, sample)
    refuses, takes = _try_missing(model, example)
    count = specification["deep"]
    return {
        "dtypes": contract.to_json()["dtypes"],
        "doubts": [asdict(doubt) for doubt in doubts],
        "form": model.form,
        "parity": parity,
        "blocks": model.blocks,
        "apart": measure(model, sample) if parity == NOT_PROVEN else 0.0,
        "sample": [origin, min(len(sample), BLOCK_SAMPLE) if model.blocks else len(sample)],
        "row_ms": _row_ms(model, example),
        "refuses_missing": refuses,
        "takes_missing": takes,
        "answers": list_answers(model.predict(example)),
        "deep": answer_generated(model, sample if origin == REFERENCE else example, count) if count else None,
    }


@contextmanager
def _other_versions(attempt: Attempt) -> Iterator[None]:
    """Note the versions of scikit-learn that made what is loaded meanwhile."""
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        yield
    found = (warning.message for warning in caught if isinstance(warning.message, InconsistentVersionWarning))
    attempt.fitted_by = sorted({str(message.original_sklearn_version) for message in found})


def _require_plain(answers: Answers) -> None:
    """Make sure that predictions are numbers, text or booleans, which JSON and tables have.

    Raises:
        ArtifactError: They are something else.
    """
    values = answers.predictions
    kinds = {values.dtype.kind} if values.dtype != object else {np.asarray(value).dtype.kind for value in values.flat}
    for kind, words in UNWRITTEN.items():
        if kind in kinds:
            raise ArtifactError(
                f"The model's answers are {words}, which JSON and tables have no one way to write; "
                "fit it on text or numbers, for instance model.fit(X, y.astype(str))."
            )


def _sample(model: Model, artifact: Path, example: Rows) -> tuple[Rows, str]:
    reference = profile.find(artifact, profile.REFERENCE_FILE)
    if reference is None:
        return sample_like(model, example), "generated"
    return sample_like(model, _read_reference(model.contract, reference)), REFERENCE


def _read_reference(contract: Contract, file: Path) -> Rows:
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    tensor = contract.signature.tensor
    if tensor is None:
        return contract.check(table, extra="ignore").rows
    matrix = np.column_stack([column.to_numpy() for column in table.columns])
    return Rows(matrix=matrix.astype(tensor.dtype).reshape(len(matrix), *tensor.shape))


def _settle_form(estimator: Any, matrix: Model, sample: Rows) -> Model:
    """A matrix only if a DataFrame gives the same bits."""
    frame = Model(estimator, matrix.contract, form=FRAME)
    return matrix if same_bits(matrix.predict(sample), frame.predict(sample)) else frame


def _row_ms(model: Model, rows: Rows) -> float:
    one, times = rows.take(slice(0, 1)), []
    for _ in range(TIMINGS):
        start = time.perf_counter()
        model.predict(one)
        times.append(time.perf_counter() - start)
    return round(1000 * sorted(times)[TIMINGS // 2], 3)


def _try_missing(model: Model, example: Rows) -> tuple[list[str], list[str]]:
    """Columns where a missing value is answered otherwise than the signature says.

    Returns:
        Optional columns in which the model refuses a missing value, and required ones in which it takes one.
    """
    signature = model.contract.signature
    columns = tuple(replace(column, required=False) for column in signature.columns)
    lenient = copy.copy(model)
    lenient.contract = replace(model.contract, signature=replace(signature, columns=columns))
    rows, ends = model.contract.to_rows(example.take(slice(0, 1))), time.monotonic() + MISSING_SECONDS
    refuses, takes = list[str](), list[str]()
    for place, column in enumerate(signature.columns):
        if column.dtype is not None and column.dtype.missing == UNTOLD:
            continue  # of which the doubts tell
        taken = _takes(lenient if column.required else model, _without(rows[0], place, column.name))
        if taken == column.required:
            (takes if taken else refuses).append(column.name)
        if time.monotonic() > ends:
            break
    return refuses, takes


def _without(row: Any, place: int, name: str) -> Any:
    """A row whose value in one column is missing."""
    if isinstance(row, dict):
        return {**row, name: None}
    return [*row[:place], None, *row[place + 1 :]] if isinstance(row, list) else None


def _takes(model: Model, row: Any) -> bool:
    checked = model.contract.check_rows([row])
    if checked.rejects:
        return False
    try:
        model.predict(checked.rows)
    except Exception:  # noqa: BLE001 - whatever it raises, it takes no such row
        return False
    return True


def main() -> int:
    """0 with the document; 1 with {"error": sentence, "kind": its class, "types": untrusted types}."""
    attempt = Attempt()
    try:
        document = try_model(json.load(sys.stdin), attempt)
    except TrifoldError as error:
        document = {"error": str(error), "kind": type(error).__name__, "types": getattr(error, "types", ())}
    except Exception as error:  # noqa: BLE001 - said, with the step that raised it
        traceback.print_exc()
        kind = type(error).__name__
        document = {"error": f"{kind}: {first_line(error)}", "kind": kind, "types": ()}
    print(json.dumps({**document, **asdict(attempt)}))
    return 1 if "error" in document else 0


if __name__ == "__main__":
    sys.exit(main())
