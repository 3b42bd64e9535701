"""Parity: find how rows must be grouped so that a row's prediction never depends on its neighbours."""

import numpy as np

from trifold.answers import same_bits
from trifold.contract import Contract
from trifold.errors import RowsRefused
from trifold.model import Model
from trifold.packed import NATIVE, NOT_PROVEN
from trifold.rows import Array, Rows

SIZES = (8, 16, 64, 256)
BULK_SIZES = (16, 64, 256, 1024, 4096)
CHUNK = 7
SINGLES = 64


def probe(model: Model, sample: Rows, *, seed: int = 0) -> str:
    """Find the smallest of native, block 8, 16, 64 and 256 that gives each row the same bits whatever comes with it.

    Compared with all rows at once: single rows, chunks of 7, a permutation, every third row. Then larger blocks are
    looked for that give the very same bits, since many rows are predicted much faster in those.

    Args:
        model: Its `blocks` are set to what was found.
        sample: Rows that the model accepts, hundreds of them for an answer worth having.
        seed: Of the permutation and of the choice of single rows.

    Returns:
        "native", "block-N" or "not proven".
    """
    for blocks in ((), *((size,) for size in SIZES)):
        model.blocks = blocks
        if len(sample) > 1 and _independent(model, sample, np.random.default_rng(seed)):
            model.blocks = blocks and (*blocks, *_bulk(model, sample, seed))
            return f"block-{blocks[0]}" if blocks else NATIVE
    model.blocks = ()
    return NOT_PROVEN


def generate(contract: Contract, example: Rows, count: int, *, seed: int = 0) -> Rows:
    """Rows like the example's: its values mixed between rows, numbers shaken by a tenth of their size.

    Used where a model brings no reference sample.
    """
    random = np.random.default_rng(seed)
    if example.matrix is not None:
        picked = _mixed(example.matrix.reshape(len(example), -1), count, random)
        return Rows(matrix=_shaken(picked, random).reshape(count, *example.matrix.shape[1:]))
    assert example.columns is not None
    columns = {}
    for column in contract.signature.columns:
        picked = example.columns[column.name][random.integers(len(example), size=count)]
        columns[column.name] = _shaken(picked, random) if column.kind.name in ("float", "double") else picked
        if not column.required and not column.depth:
            columns[column.name][random.random(count) < 0.05] = column.kind.missing
    return Rows(columns=columns)


def accepted(model: Model, rows: Rows) -> Rows:
    """Those of the rows that the model does not refuse."""
    try:
        model.predict(rows)
        return rows
    except RowsRefused as error:
        keep = np.ones(len(rows), dtype=bool)
        keep[[reject.row for reject in error.rejects if reject.row is not None]] = False
        return rows.take(np.flatnonzero(keep))


def _independent(model: Model, sample: Rows, random: np.random.Generator) -> bool:
    whole, count = model.predict(sample), len(sample)
    singles = random.permutation(count)[:SINGLES, None]
    chunks = [np.arange(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    orders = [*singles, *chunks, random.permutation(count), np.arange(0, count, 3)]
    return all(same_bits(model.predict(sample.take(order)), whole.take(order)) for order in orders)


def _bulk(model: Model, sample: Rows, seed: int) -> tuple[int, ...]:
    """Larger blocks with the bits of the block that the model has."""
    small, whole, found = model.blocks, model.predict(sample), []
    for size in BULK_SIZES:
        order = np.random.default_rng(seed).permutation(max(size, len(sample))) % len(sample)
        model.blocks = (size,)
        if size > small[0] and same_bits(model.predict(sample.take(order)), whole.take(order)):
            found.append(size)
    model.blocks = small
    return tuple(found)


def _mixed(matrix: Array, count: int, random: np.random.Generator) -> Array:
    rows, width = matrix.shape
    return np.asarray(matrix[random.integers(rows, size=(count, width)), np.arange(width)])


def _shaken(values: Array, random: np.random.Generator) -> Array:
    if values.dtype.kind != "f":
        return values.copy()
    scale = np.where(values == 0, 0.1, np.abs(values) * 0.1)
    return (values + scale * random.standard_normal(values.shape)).astype(values.dtype)
