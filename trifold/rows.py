"""Rows on their way to the model: columns side by side, or one matrix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """Accepted rows, either as columns by name or, where all have one type, as a matrix.

    Attributes:
        columns: Name to array of shape (rows,), in the contract's order; None when there is a matrix.
        matrix: Array of shape (rows, …); None when there are columns.
    """

    columns: Mapping[str, Array] | None = None
    matrix: Array | None = None

    def __len__(self) -> int:
        if self.matrix is not None:
            return len(self.matrix)
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def copied(self) -> "Rows":
        """The same rows in memory of their own, for code that may write into what it is given."""
        if self.matrix is not None:
            return Rows(matrix=self.matrix.copy())
        assert self.columns is not None
        return Rows(columns={name: values.copy() for name, values in self.columns.items()})

    def take(self, index: Array | slice) -> "Rows":
        """The rows at `index`, in its order."""
        if self.matrix is not None:
            return Rows(matrix=self.matrix[index])
        assert self.columns is not None
        return Rows(columns={name: values[index] for name, values in self.columns.items()})

    def padded(self, start: int, size: int) -> "Rows":
        """Exactly `size` rows from `start` on; what lacks at the end repeats the block's first row."""
        here = min(size, len(self) - start)
        if here == size:
            return self.take(slice(start, start + size))
        index = np.full(size, start)
        index[:here] = np.arange(start, start + here)
        return self.take(index)
