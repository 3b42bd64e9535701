"""Predict what a model does not refuse: one bad row sinks no neighbour."""

from collections.abc import Sequence

import numpy as np

from trifold.answers import Answers
from trifold.errors import Reject, RowsRefused
from trifold.model import Model
from trifold.rows import Array, Rows


def predict_accepted(model: Model, rows: Rows) -> tuple[Answers, Array, Sequence[Reject]]:
    """Answers to the rows that the model does not refuse, the positions of these, and why it refuses the others."""
    positions = np.arange(len(rows))
    try:
        return model.predict(rows), positions, ()
    except RowsRefused as error:
        fine = np.delete(positions, [reject.row for reject in error.rejects if reject.row is not None])
        return model.predict(rows.take(fine)), fine, error.rejects
