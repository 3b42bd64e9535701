"""Try a model in its own environment: load it, predict its example, find its parity, time a row.

Runs as `python -m trifold.ops.probe`, a specification on standard input, a JSON document on standard output; it imports
no MLflow, since the environment has none.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from trifold.answers import same_bits
from trifold.contract import profile
from trifold.contract.contract import Contract
from trifold.errors import RowsRefused, TrifoldError
from trifold.model import FRAME, MATRIX, Model, load
from trifold.parity import BLOCK_SAMPLE, probe, sample_like
from trifold.rows import Rows

TIMINGS = 15


def try_model(specification: dict[str, Any]) -> dict[str, Any]:
    """What a model does.

    Args:
        specification: artifact, file, format, code, trusted, allow_pickle, contract (JSON) and rows (the example).

    Returns:
        form, parity, blocks, sample ("reference" or "generated", and its rows), row_ms, refuses_missing (optional
        columns whose missing value the model refuses), answers (to the example).

    Raises:
        TrifoldError: The model cannot be loaded.
    """
    contract = Contract.from_json(specification["contract"])
    artifact = Path(specification["artifact"])
    names = ("file", "format", "trusted", "allow_pickle", "code")
    example = contract.check_rows(specification["rows"]).rows

    def estimator() -> Any:
        return load(artifact, *(specification[name] for name in names))

    model = Model(estimator(), contract)
    threadpoolctl.threadpool_limits(1)
    model.predict(example)  # if it is refused, nothing else is worth trying
    sample, origin = _sample(model, artifact, example)
    if model.form == MATRIX and contract.signature.named:
        model = _settle_form(estimator(), model, sample)
    parity = probe(model, sample)
    return {
        "form": model.form,
        "parity": parity,
        "blocks": model.blocks,
        "sample": [origin, min(len(sample), BLOCK_SAMPLE) if model.blocks else len(sample)],
        "row_ms": _row_ms(model, example),
        "refuses_missing": _refuses_missing(model, example),
        "answers": _answers(model, example),
    }


def _sample(model: Model, artifact: Path, example: Rows) -> tuple[Rows, str]:
    reference = profile.find(artifact, profile.REFERENCE_FILE)
    if reference is None:
        return sample_like(model, example), "generated"
    return sample_like(model, _read_reference(model.contract, reference)), "reference"


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


def _refuses_missing(model: Model, example: Rows) -> list[str]:
    refused = []
    for column in model.contract.signature.columns:
        if column.required:
            continue
        rows = model.contract.to_rows(example.take(slice(0, 1)))
        rows[0] = {**rows[0], column.name: None} if isinstance(rows[0], dict) else [None]
        try:
            model.predict(model.contract.check_rows(rows).rows)
        except RowsRefused:
            refused.append(column.name)
    return refused


def _answers(model: Model, example: Rows) -> dict[str, Any]:
    answers = model.predict(example)
    outputs = answers.probabilities
    return {
        "predictions": answers.predictions.tolist(),
        "probabilities": outputs and [output.tolist() for output in outputs],
    }


def main() -> int:
    """0 with the document, 1 with {"error": sentence, "types": untrusted types}."""
    try:
        document = try_model(json.load(sys.stdin))
    except TrifoldError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__, "types": getattr(error, "types", ())}))
        return 1
    print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
