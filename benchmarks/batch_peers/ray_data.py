"""Ray Data as its documentation has it: read_sql in shards of the key, map_batches, write_sql, on two processors.

Ray joins the three into one task a block, two at a time. write_sql knows executemany only, 128 rows at a time, and
commits each block for itself. Sources: https://docs.ray.io/en/latest/data/api/doc/ray.data.read_sql.html and
https://docs.ray.io/en/latest/data/api/doc/ray.data.Dataset.write_sql.html
"""
# ruff: noqa: S608 - all names in its SQL are ours

import os
import secrets

import joblib
import pandas as pd
import psycopg
import ray
from worker import COLUMNS, measured

BLOCKS = 8
uri, query, target = (os.environ[name] for name in ("URI", "QUERY", "TARGET"))
model = joblib.load(os.environ["MODEL"])


def connect():
    """A connection for a task."""
    return psycopg.connect(uri)


def predict(rows):
    """Score a block."""
    probabilities = model.predict_proba(rows[COLUMNS])
    scored = rows[["id"]].copy()
    scored["prediction"] = model.classes_[probabilities.argmax(axis=1)]
    scored[list(model.classes_)] = probabilities
    return scored


def work():
    """Score the table; any function of SQL that keeps integers apart will do to cut it."""
    rows = ray.data.read_sql(query, connect, shard_keys=["id"], shard_hash_fn="abs", override_num_blocks=BLOCKS)
    scored = rows.map_batches(predict, batch_format="pandas")
    scored.write_sql(f"INSERT INTO {target} VALUES (%s, %s, %s, %s)", connect)


os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # or Ray would leave one in the user's home
ray.init(num_cpus=2, include_dashboard=False, _temp_dir=os.environ["FOLDER"])
# Its workers start and import before the measurement, as the others do.
nothing = pd.DataFrame(0.0, index=range(8), columns=["id", *COLUMNS])
ray.data.from_pandas([nothing] * 4).map_batches(predict, batch_format="pandas").materialize()
measured(work)
