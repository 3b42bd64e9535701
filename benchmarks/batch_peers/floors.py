"""The parts that nothing can leave out, each alone: freeze the rows, read them, write rows with a key, predict."""
# ruff: noqa: S608 - all names in its SQL are ours

import os
import time
from pathlib import Path

import pyarrow as pa
from worker import measured

from trifold.database import Database
from trifold.model import Model

uri, query, target = (os.environ[name] for name in ("URI", "QUERY", "TARGET"))
model = Model.load(Path(os.environ["TRIFOLD_MODEL"]))


def freeze(database):
    """As the job keeps its input."""
    database.run(f"CREATE TABLE floor_frozen AS {query}")


def read(database):
    """By binary COPY, into nothing."""
    for _ in database.read(query):
        pass


def write(database):
    """Rows as a peer's, made by the server."""
    database.run(f"INSERT INTO {target} SELECT id, 'Yes', 0.25, 0.75 FROM ({query}) AS asked")


def predict(rows):
    """Label and probabilities of rows in memory, in the model's own blocks."""
    model.predict(rows)


def work():
    """Time each that is asked for."""
    seconds = {}
    with Database(uri) as database:
        for part in os.environ["PARTS"].split():
            given = database
            if part == "predict":
                pieces = pa.Table.from_batches(database.read(query))
                given = model.contract.check(pieces, extra="ignore").rows
            began = time.perf_counter()
            globals()[part](given)
            database.commit()
            seconds[part] = time.perf_counter() - began
    return {"parts": seconds}


measured(work)
