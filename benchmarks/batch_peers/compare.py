"""Compare what all wrote with Model.predict of the same rows: Trifold's to the bit, the others' to 1e-12."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trifold.database import Database
from trifold.model import Model

CLOSE = 1e-12


def main():
    """Print for each query what is wrong with its rows of id, prediction and two probabilities; None: nothing."""
    model = Model.load(Path(os.environ["TRIFOLD_MODEL"]))
    with Database(os.environ["URI"]) as database:
        rows = _table(database, os.environ["QUERY"])
        answers = model.predict(model.contract.check(rows, extra="ignore").rows)
        found = {
            name: wrong(_table(database, query), rows["id"], answers, exact=name == "Trifold")
            for name, query in json.loads(sys.argv[1]).items()
        }
    print(json.dumps(found))


def wrong(scored, ids, answers, *, exact):
    """What is wrong with a table; None: nothing."""
    if not scored["id"].equals(ids):
        return f"{len(scored):,} rows instead of {len(ids):,}, or other ids"
    other = pc.not_equal(scored["prediction"], pa.array(answers.predictions, pa.string()))
    labels = pc.sum(pc.fill_null(other, True)).as_py()
    if labels:
        return f"{labels:,} other labels"
    given = np.column_stack([scored.column(place) for place in (2, 3)])
    [wanted] = answers.probabilities
    if exact:
        bits = int(np.count_nonzero(given.view("uint64") != wanted.view("uint64")))
        return f"{bits:,} probabilities of other bits" if bits else None
    distance = float(np.abs(given - wanted).max())
    return f"a probability {distance:.1e} from ours" if not distance <= CLOSE else None


def _table(database, query):
    return pa.Table.from_batches(database.read(f"{query} ORDER BY id"))


main()
