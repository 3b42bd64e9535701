"""Answers as columns of Arrow."""

import numpy as np
import pyarrow as pa

from trifold.rows import Array

WIDE = {"f": pa.float64(), "i": pa.int64(), "u": pa.int64(), "b": pa.bool_()}


def column(values: Array) -> pa.Array:
    """Predictions, of shape (rows,) or (rows, outputs), as a column; numbers in 64 bits, which change none."""
    if values.ndim > 1:
        return lists(values)
    wide = WIDE.get(values.dtype.kind, pa.string())
    if not len(values):
        return pa.nulls(0, wide)
    return pa.array(values if values.dtype.kind in WIDE else values.astype(object)).cast(wide)


def lists(matrix: Array) -> pa.Array:
    """An array of shape (rows, items) as a column of lists."""
    rows, items = matrix.shape
    offsets = np.arange(0, rows * items + 1, items or 1, dtype="int32")
    return pa.ListArray.from_arrays(offsets if items else np.zeros(rows + 1, "int32"), column(matrix.reshape(-1)))
