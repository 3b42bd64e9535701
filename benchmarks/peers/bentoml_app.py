"""BentoML as its documentation has it: a service with typed rows."""

import os

import bentoml
import joblib
import numpy as np
from pydantic import BaseModel, create_model

names = [f"x{number}" for number in range(20)]
Row = create_model("Row", **dict.fromkeys(names, (float, ...)))


class Answer(BaseModel):
    """A prediction and its probabilities for each row."""

    predictions: list[str]
    probabilities: list[dict[str, float]]


@bentoml.service
class Peer:
    """Predicts rows."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])
        for _, step in self.model.steps:
            step.__dict__.pop("feature_names_in_", None)

    @bentoml.api
    def predict(self, rows: list[Row]) -> Answer:
        """Predict rows."""
        matrix = np.array([[getattr(row, name) for name in names] for row in rows])
        probabilities = self.model.predict_proba(matrix)
        classes = self.model.classes_.tolist()
        return Answer(
            predictions=self.model.predict(matrix).tolist(),
            probabilities=[dict(zip(classes, row, strict=True)) for row in probabilities.tolist()],
        )
