"""The floor of one process: ADBC by binary COPY both ways, and the model asked once for each piece; checks nothing."""

import os

import joblib
import numpy as np
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from worker import COLUMNS, measured

model = joblib.load(os.environ["MODEL"])
schema = pa.schema(
    [("id", pa.int64()), ("prediction", pa.string()), *((name, pa.float64()) for name in model.classes_)]
)
for _, step in model.steps:
    step.__dict__.pop("feature_names_in_", None)


def scored(pieces):
    """Each piece, scored."""
    for piece in pieces:
        probabilities = model.predict_proba(np.column_stack([piece[name] for name in COLUMNS]))
        predictions = model.classes_[probabilities.argmax(axis=1)]
        yield pa.record_batch([piece["id"], pa.array(predictions, pa.string()), *probabilities.T.copy()], schema=schema)


def work():
    """Score the table, a connection to read and one to write."""
    uri, query, target = (os.environ[name] for name in ("URI", "QUERY", "TARGET"))
    with dbapi.connect(uri) as source, dbapi.connect(uri) as sink, source.cursor() as read, sink.cursor() as write:
        read.execute(query)
        pieces = scored(read.fetch_record_batch())
        write.adbc_ingest(target, pa.RecordBatchReader.from_batches(schema, pieces), mode="append")
        sink.commit()


measured(work)
