"""What a good engineer writes in an hour: FastAPI, pydantic, numpy."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, create_model

model = joblib.load(os.environ["MODEL"])
names = list(model.feature_names_in_)
for _, step in model.steps:
    step.__dict__.pop("feature_names_in_", None)
Row = create_model("Row", **dict.fromkeys(names, (float, ...)))
app = FastAPI()


class Request(BaseModel):
    """Rows to predict."""

    rows: list[Row]


class Answer(BaseModel):
    """A prediction and its probabilities for each row."""

    predictions: list[str]
    probabilities: list[dict[str, float]]


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Predict rows."""
    matrix = np.array([[getattr(row, name) for name in names] for row in request.rows])
    probabilities = model.predict_proba(matrix)
    classes = model.classes_.tolist()
    return Answer(
        predictions=model.predict(matrix).tolist(),
        probabilities=[dict(zip(classes, row, strict=True)) for row in probabilities.tolist()],
    )
