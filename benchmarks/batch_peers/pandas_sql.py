"""What most people write: pandas reads the table, the model predicts, pandas writes."""

import os

import joblib
import pandas as pd
from sqlalchemy import create_engine
from worker import COLUMNS, measured

model = joblib.load(os.environ["MODEL"])
engine = create_engine(os.environ["URI"].replace("postgresql://", "postgresql+psycopg://"))


def work():
    """Score the table."""
    rows = pd.read_sql(os.environ["QUERY"], engine)
    probabilities = model.predict_proba(rows[COLUMNS])
    scored = pd.DataFrame(probabilities, columns=model.classes_)
    scored.insert(0, "prediction", model.classes_[probabilities.argmax(axis=1)])
    scored.insert(0, "id", rows["id"])
    scored.to_sql(os.environ["TARGET"], engine, if_exists="append", index=False)


measured(work)
