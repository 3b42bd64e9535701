"""Parity: find how rows must be grouped so that a row's prediction never depends on its neighbours."""

import time
from typing import Any

import numpy as np

from trifold.answers import Answers, joined, same_bits
from trifold.contract.contract import Contract
from trifold.contract.readers import EXACT_FLOAT
from trifold.errors import RowsRefused
from trifold.model import MOST_ROWS, Model
from trifold.packed import NATIVE, NOT_PROVEN
from trifold.rows import Array, Rows

SIZES = (8, 16, 64, 256)
BULK_SIZES = (16, 64, 256, 1024, 4096)
BLOCK_SAMPLE = 512
"""Rows that a size of block is tried on; each call of a slow pipeline predicts no more than a block."""
CHUNK = 7
SINGLES = 64
SECONDS = 1.5
"""For more single rows before "native" is believed: where outputs are mostly 0 or 1, few rows show a difference."""
FEW = 16
LEAST = 256


def probe(model: Model, sample: Rows, *, seed: int = 0) -> str:
    """Find the smallest of native, block 8, 16, 64 and 256 that gives each row the same bits whatever comes with it.

    Compared with all rows at once: single rows, chunks of 7 and a permutation. Then larger blocks are looked for that
    give the very same bits, since many rows are predicted much faster in those.

    Args:
        model: Its `blocks` are set to what was found.
        sample: Rows that the model accepts, thousands of them for an answer worth having.
        seed: Of the permutation and of the choice of single rows.

    Returns:
        "native", "block-N" or "not proven".
    """
    scored, few = model.with_scores(), sample.take(slice(0, BLOCK_SAMPLE))
    for blocks in ((), *((size,) for size in SIZES)):
        scored.blocks, rows = blocks, few if blocks else sample
        if len(rows) > 1 and _independent(scored, rows, seed, seconds=0 if blocks else SECONDS):
            model.blocks = blocks and (*blocks, *_bulk(scored, rows, seed))
            return f"block-{blocks[0]}" if blocks else NATIVE
    model.blocks = ()
    return NOT_PROVEN


def measure(model: Model, sample: Rows) -> float:
    """How far answers to single rows are from those to all at once: rounding, or another answer.

    Returns:
        The greatest difference of a number, relative to the greatest number; of labels alone, the share that differ.
    """
    scored, few = model.with_scores(), sample.take(slice(0, SINGLES))
    whole = scored.predict(few)
    alone = joined([scored.predict(few.take(slice(place, place + 1))) for place in range(len(few))])
    pairs = zip(whole.probabilities or [whole.predictions], alone.probabilities or [alone.predictions], strict=True)
    return max(_apart(*pair) for pair in pairs)


def sample_like(model: Model, rows: Rows, count: int = MOST_ROWS, *, seed: int = 0) -> Rows:
    """The rows and others like them, `count` in all, without those that the model refuses."""
    for wild in (True, False):
        found = _joined(rows, generate(model.contract, rows, count - len(rows), seed=seed, wild=wild))
        kept = accepted(model, found, most_refused=FEW)
        if kept is not None:
            return kept
    fewer = _joined(rows, generate(model.contract, rows, LEAST, seed=seed, wild=False))
    return accepted(model, fewer, most_refused=len(fewer)) or fewer.take(slice(0, 0))


def generate(contract: Contract, example: Rows, count: int, *, seed: int = 0, wild: bool = True) -> Rows:
    """Rows like the example's: its values mixed between rows.

    Args:
        contract: What the model takes.
        example: At least one row.
        count: How many to make.
        seed: Of all choices.
        wild: In half of the rows, shake numbers by a tenth of their size and mix the words of texts; leave out one in
            twenty of the values that may be missing.
    """
    random = np.random.default_rng(seed)
    if example.matrix is not None:
        picked = _mixed(example.matrix.reshape(len(example), -1), count, random)
        shaken = _shaken(picked, random) if wild else picked
        return Rows(matrix=shaken.reshape(count, *example.matrix.shape[1:]))
    assert example.columns is not None
    columns = {}
    for column in contract.signature.columns:
        values = example.columns[column.name]
        columns[column.name] = picked = values[random.integers(len(values), size=count)]
        if wild and not column.depth:
            columns[column.name] = _shaken(picked, random)
            if not column.required:
                columns[column.name][random.random(count) < 0.05] = column.kind.missing
    return Rows(columns=columns)


def accepted(model: Model, rows: Rows, *, most_refused: int) -> Rows | None:
    """Those of the rows that the model does not refuse; None if it refuses `most_refused` of them or more."""
    try:
        model.predict(rows)
        return rows
    except RowsRefused as error:
        if len(error.rejects) >= most_refused:
            return None
        keep = np.ones(len(rows), dtype=bool)
        keep[[reject.row for reject in error.rejects if reject.row is not None]] = False
        return rows.take(np.flatnonzero(keep))


def _independent(model: Model, sample: Rows, seed: int, *, seconds: float) -> bool:
    random, count, whole = np.random.default_rng(seed), len(sample), model.predict(sample)
    singles = random.permutation(count)[:, None]
    chunks = [np.arange(start, min(start + CHUNK, count)) for start in range(0, min(count, BLOCK_SAMPLE), CHUNK)]
    orders = [*singles[:SINGLES], *chunks, random.permutation(count)]
    if not all(_same(model, sample, order, whole) for order in orders):
        return False
    end = time.monotonic() + seconds
    return all(_same(model, sample, single, whole) for single in singles[SINGLES:] if time.monotonic() < end)


def _same(model: Model, sample: Rows, order: Array, whole: Answers) -> bool:
    return same_bits(model.predict(sample.take(order)), whole.take(order))


def _bulk(model: Model, sample: Rows, seed: int) -> tuple[int, ...]:
    """Larger blocks with the bits of the block that the model has."""
    random, small, whole, found = np.random.default_rng(seed), model.blocks, model.predict(sample), []
    for size in BULK_SIZES:
        order = random.permutation(max(size, len(sample))) % len(sample)
        model.blocks = (size,)
        if size > small[0] and _same(model, sample, order, whole):
            found.append(size)
    model.blocks = small
    return tuple(found)


def _apart(one: Array, other: Array) -> float:
    if one.dtype.kind != "f":
        return float(np.mean(one != other))
    return float(np.nanmax(np.abs(one - other)) / max(np.nanmax(np.abs(one)), np.finfo(float).tiny))


def _joined(one: Rows, other: Rows) -> Rows:
    if one.matrix is not None and other.matrix is not None:
        return Rows(matrix=np.concatenate([one.matrix, other.matrix]))
    assert one.columns is not None
    assert other.columns is not None
    pairs = zip(one.columns, one.columns.values(), other.columns.values(), strict=True)
    return Rows(columns={name: np.concatenate([first, second]) for name, first, second in pairs})


def _mixed(matrix: Array, count: int, random: np.random.Generator) -> Array:
    rows, width = matrix.shape
    return np.asarray(matrix[random.integers(rows, size=(count, width)), np.arange(width)])


def _shaken(values: Array, random: np.random.Generator) -> Array:
    """A copy with every second row changed: numbers keep their sign, texts of several words their words."""
    shaken = values.copy()
    half = shaken[1::2]
    if values.dtype.kind in "fiu":
        moved = half + random.normal(size=half.shape) * np.where(half == 0, 0.1, np.abs(half) * 0.1)
        shaken[1::2] = _fitted(np.copysign(moved, half), values.dtype)
    elif values.dtype == object:
        words = sorted({word for value in values.flat if isinstance(value, str) for word in value.split()})
        for place, value in np.ndenumerate(half):
            if isinstance(value, str) and " " in value:
                half[place] = " ".join(random.choice(words, size=len(value.split())))
    return shaken


def _fitted(numbers: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return numbers.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(numbers).clip(max(limits.min, -EXACT_FLOAT), min(limits.max, EXACT_FLOAT)).astype(dtype)
