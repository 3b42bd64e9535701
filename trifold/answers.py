"""Answers: what a model says of some rows, and when two of them are equal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifold.rows import Array

TOLERANCE = 1e-5
"""Relative: the expected answers were made with all rows at once, so the last bits may differ; float32 has 24."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of some rows.

    Attributes:
        predictions: Of shape (rows,), or (rows, outputs).
        probabilities: For a classifier that has them, one array of shape (rows, classes) an output.
    """

    predictions: Array
    probabilities: tuple[Array, ...] | None = None

    def take(self, index: Array | slice) -> "Answers":
        """The answers at `index`, in its order."""
        outputs = self.probabilities
        return Answers(self.predictions[index], outputs and tuple(output[index] for output in outputs))

    def to_json(self, labels: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Predictions and, by label, probabilities, as JSON values."""
        document: dict[str, Any] = {"predictions": self.predictions.tolist()}
        if self.probabilities is not None:
            named = [
                [dict(zip(names, row, strict=True)) for row in output.tolist()]
                for names, output in zip(labels, self.probabilities, strict=True)
            ]
            document["probabilities"] = named[0] if len(named) == 1 else [list(row) for row in zip(*named, strict=True)]
        return document


def joined(blocks: Sequence[Answers]) -> Answers:
    """Answers one after another."""
    outputs = [block.probabilities for block in blocks if block.probabilities is not None]
    return Answers(
        np.concatenate([block.predictions for block in blocks]),
        tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True)) if outputs else None,
    )


def gathered(rows: Sequence[tuple[Any, Sequence[float] | None]], labels: Sequence[Sequence[str]]) -> Answers:
    """Answers of rows as a table holds them: predictions, and the probabilities of all outputs after each other.

    Args:
        rows: Prediction and probabilities of each.
        labels: Names of the classes, an entry an output; without any there are no probabilities.
    """
    predictions = np.asarray([prediction for prediction, _ in rows])
    if not labels:
        return Answers(predictions)
    flat = np.asarray([probabilities for _, probabilities in rows])
    ends = np.cumsum([len(names) for names in labels])[:-1]
    return Answers(predictions, tuple(np.split(flat, ends, axis=1)))


def same_bits(one: Answers, other: Answers) -> bool:
    """Whether two answers are equal as bits, so that NaN equals itself and 0.0 is not -0.0."""
    pairs = [(one.predictions, other.predictions)]
    if one.probabilities is not None and other.probabilities is not None:
        pairs += zip(one.probabilities, other.probabilities, strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and _bits(a) == _bits(b) for a, b in pairs)


def agrees(answers: Answers, expected: Mapping[str, Any], tolerance: float = TOLERANCE) -> bool:
    """Whether answers are equal to expected ones, numbers up to a relative difference."""
    pairs = [(answers.predictions, expected["predictions"])]
    if answers.probabilities is not None and expected.get("probabilities") is not None:
        pairs += zip(answers.probabilities, expected["probabilities"], strict=True)
    return all(_close(found, np.asarray(wanted), tolerance) for found, wanted in pairs)


def _close(found: Any, wanted: Any, tolerance: float) -> bool:
    if found.dtype.kind == "f":
        return found.shape == wanted.shape and np.allclose(
            found, wanted.astype(float), rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True
        )
    return bool(np.array_equal(found.astype(object), wanted.astype(object)))


def _bits(array: Array) -> object:
    return array.tolist() if array.dtype == object else array.tobytes()
