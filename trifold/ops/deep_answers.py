"""The server's answers to generated rows, in the model's environment: what `trifold check --deep` compares."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trifold.answers import Answers
from trifold.errors import RowsRefused
from trifold.model import Model
from trifold.parity import generate
from trifold.rows import Rows

SEED = 1
"""Other rows than those of the parity probe."""


def answer_generated(model: Model, base: Rows, count: int) -> dict[str, Any]:
    """Generate rows and let the model answer them as it does those of a request.

    Args:
        model: With the blocks that it will have.
        base: Rows like which others are made.
        count: How many.

    Returns:
        rows (JSON), refused (what was said, by the row's place), answers (to the others, in order) and is_single
        (whether their numbers are of single precision).
    """
    rows = model.contract.to_rows(generate(model.contract, base, count, seed=SEED))
    checked = model.contract.check_rows(rows)
    refused = {str(reject.row): f"expected {reject.expected}, got {reject.got}" for reject in reversed(checked.rejects)}
    try:
        answers = model.predict(checked.rows)
    except RowsRefused as error:
        said = {reject.row or 0: reject.got for reject in error.rejects}
        refused |= {str(checked.accepted[place]): words for place, words in said.items()}
        answers = model.predict(checked.rows.take(np.delete(np.arange(len(checked.rows)), list(said))))
    outputs = (answers.predictions, *(answers.probabilities or ()))
    is_single = any(output.dtype.kind == "f" and output.dtype.itemsize < 8 for output in outputs)
    return {"rows": rows, "refused": refused, "answers": list_answers(answers), "is_single": is_single}


def list_answers(answers: Answers) -> Mapping[str, Any]:
    """Answers as JSON values."""
    outputs = answers.probabilities
    return {
        "predictions": answers.predictions.tolist(),
        "probabilities": outputs and [output.tolist() for output in outputs],
    }
