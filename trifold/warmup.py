"""Warm-up: before a model is used it predicts its own example, as plain scikit-learn did at build."""

from collections.abc import Mapping
from typing import Any

from trifold.answers import Answers, agrees
from trifold.errors import ArtifactError
from trifold.model import Model
from trifold.packed import Packed


def warm_up(model: Model, packed: Packed, expected: Mapping[str, Any]) -> Answers | None:
    """Predict the input example and compare with what plain scikit-learn answered at build; None without example.

    Raises:
        ArtifactError: The answers differ, or there are none.
    """
    if not packed.input_example:
        return None
    checked = model.contract.check_rows(packed.input_example)
    if checked.rejects:
        raise ArtifactError(f"The model's contract refuses its own input example: {checked.rejects[0]}.")
    try:
        answers = model.predict(checked.rows)
        same = agrees(answers, expected)
    except Exception as error:
        # Whatever the model raises here it would raise for each row.
        raise ArtifactError(f"The model cannot predict its own input example ({error}); build it again.") from error
    if not same:
        raise ArtifactError(
            "The model answers its own input example otherwise than at build; build it again on this kind of machine."
        )
    return answers
