"""One score an answer: what a histogram is drawn of, and by which rows are ranked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifold.answers import Answers
from trifold.model import label
from trifold.rows import Array

MOST_CLASSES = 1_000
"""A model that gives more different labels is not counted by label."""


@dataclass(frozen=True, eq=False)
class Output:
    """The first output of some answers, each array of shape (rows,).

    Attributes:
        predictions: As the model gives them.
        classes: The place of each predicted class in `Reader.classes`; None of a regressor, and of too many classes.
        scores: Of a classifier of two classes, the probability of the last; of more, that of the predicted class; of a
            regressor, the prediction. None of a classifier without probabilities.
        certainty: The probability of the predicted class.
    """

    predictions: Array
    classes: Array | None = None
    scores: Array | None = None
    certainty: Array | None = None


class Reader:
    """Reads answers; remembers the classes it has seen.

    Attributes:
        classes: In the order in which they came, as the model gives them; None once they are too many.
    """

    def __init__(self, labels: Sequence[str], *, has_classes: bool) -> None:
        self._labels, self._has_classes = {name: place for place, name in enumerate(labels)}, has_classes
        self.classes: list[Any] | None = []

    def read(self, answers: Answers) -> Output:
        """The first output of some answers."""
        predictions, probabilities = _first_output(answers)
        if not self._has_classes and predictions.dtype.kind == "f":
            return Output(predictions, scores=predictions.astype("float64", copy=False))
        codes = self._codes(predictions)
        if probabilities is None or codes is None or self.classes is None:
            return Output(predictions, codes)
        width = probabilities.shape[1]
        places = np.array([self._labels.get(label(value), width - 1) for value in self.classes])
        starts = np.arange(0, probabilities.size, width)
        certainty = probabilities.ravel().take(starts + places.take(codes))  # five times faster than [rows, places]
        scores = probabilities[:, 1] if width == 2 else certainty
        return Output(predictions, codes, scores.astype("float64", copy=False), certainty)

    def name(self, prediction: Any) -> str | float:
        """One prediction as JSON has it: a number of a regressor, else a class's label."""
        number = not self._has_classes and isinstance(prediction, float | np.floating)
        return float(prediction) if number else label(prediction)

    def _codes(self, predictions: Array) -> Array | None:
        """The place of each prediction's class; None once they are too many.

        A comparison a class: classes are few, and Python takes ten times as long to hash each text.
        """
        codes = np.full(len(predictions), -1)
        place, left = 0, len(predictions)
        while left and self.classes is not None:
            if place == len(self.classes):
                self.classes.append(predictions[np.argmin(codes)])
            value = self.classes[place]
            same = predictions == value if value == value else predictions != predictions
            codes[same] = place
            place, left = place + 1, left - int(np.count_nonzero(same))
            if len(self.classes) > MOST_CLASSES:
                self.classes = None
        return None if self.classes is None else codes


def _first_output(answers: Answers) -> tuple[Array, Array | None]:
    """Predictions, and probabilities unless one array holds a column an output, as some classifiers give it."""
    predictions, outputs = answers.predictions, answers.probabilities or ()
    if predictions.ndim == 1:
        return predictions, outputs[0] if outputs else None
    return predictions[:, 0], outputs[0] if len(outputs) > 1 else None
