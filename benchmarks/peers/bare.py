"""The floor: ASGI, orjson, numpy and the model, with no check of anything."""

import os

import joblib
import numpy as np
import orjson

model = joblib.load(os.environ["MODEL"])
names = list(model.feature_names_in_)
for _, step in model.steps:
    step.__dict__.pop("feature_names_in_", None)
classes = model.classes_.tolist()


async def app(scope, receive, send):
    """Answer POST /predict."""
    if scope["type"] != "http":
        return
    message = await receive()
    rows = orjson.loads(message["body"])["rows"]
    matrix = np.array([[row[name] for name in names] for row in rows])
    probabilities = model.predict_proba(matrix)
    body = orjson.dumps(
        {
            "predictions": [classes[best] for best in probabilities.argmax(axis=1)],
            "probabilities": [dict(zip(classes, row, strict=True)) for row in probabilities.tolist()],
        }
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
