"""Keys by their hash: which shard a row belongs to, and whether a key stands twice, in memory that does not grow."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trifold.rows import Array

HELD = 4_000_000
"""Hashes that are held at once, of 8 bytes each; of more rows the keys are read again for each so many."""
WORD = 8
MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
"""The golden ratio, and the constants of MurmurHash3's fmix64 (A. Appleby, public domain)."""


def hashes(keys: pa.Array) -> Array:
    """A hash of 64 bits of each string, which depends on nothing but the string; a missing one counts as empty."""
    keys = keys.fill_null("").cast(pa.large_binary())
    offsets = np.frombuffer(keys.buffers()[1], "int64")[keys.offset : keys.offset + len(keys) + 1]
    data = np.frombuffer(keys.buffers()[2] or b"", "uint8")
    padded = np.concatenate([data[offsets[0] : offsets[-1]], np.zeros(WORD, "uint8")]) if len(keys) else data
    starts, lengths = offsets[:-1] - offsets[:1], np.diff(offsets)
    # Eight bytes from each place on; what is past a key's end is cut off below.
    words = np.ndarray((max(len(padded) - WORD + 1, 0),), "<u8", padded.tobytes(), strides=(1,))
    found = lengths.astype("uint64") * MIX[0]
    at, left = np.arange(len(found)), lengths
    done = 0
    while len(at):
        inside = left > 0
        if not inside.all():
            at, left = at[inside], left[inside]
            continue
        word = words[starts[at] + done]
        short = left < WORD
        if short.any():
            word[short] &= (np.uint64(1) << (left[short].astype("uint64") * np.uint64(8))) - np.uint64(1)
        found[at] = _mixed(found[at] ^ word)
        done, left = done + WORD, left - WORD
    return _mixed(found)


def _mixed(values: Array) -> Array:
    values = (values ^ (values >> np.uint64(33))) * MIX[1]
    values = (values ^ (values >> np.uint64(33))) * MIX[2]
    mixed: Array = values ^ (values >> np.uint64(33))
    return mixed


def shards_of(keys: pa.Array, shards: int) -> Array:
    """The shard of each key, by ranges of its hash."""
    return ((hashes(keys) >> np.uint64(32)) * np.uint64(shards)) >> np.uint64(32)


class Repeats:
    """Whether a key stands twice among many.

    Args:
        rows: How many keys there will be.
        again: Gives all of them once more.
    """

    def __init__(self, rows: int, again: Callable[[], Iterable[pa.Array]]) -> None:
        self._passes = np.uint64(max(1, -(-rows // HELD)))
        self._again = again
        self._first = list[Array]()

    def add(self, keys: pa.Array) -> None:
        """Take the next keys."""
        self._first.append(self._of(0, keys))

    def any(self) -> bool:
        """Whether one stands twice, after all were added."""
        for number in range(int(self._passes)):
            held = self._first if number == 0 else [self._of(number, keys) for keys in self._again()]
            if self._same(held):
                return True
            self._first = []
        return False

    def _of(self, number: int, keys: pa.Array) -> Array:
        """The hashes that a pass looks at."""
        found = hashes(keys)
        return found if self._passes == 1 else found[found % self._passes == np.uint64(number)]

    def _same(self, held: list[Array]) -> bool:
        """Whether two keys are the same, and not only their hashes."""
        values = np.concatenate([np.empty(0, "uint64"), *held])
        held.clear()
        values.sort()
        twice = np.unique(values[1:][values[1:] == values[:-1]])
        if not len(twice):
            return False
        del values
        seen = set[str]()
        for key in self._hit(twice):
            if key in seen:
                return True
            seen.add(key)
        return False

    def _hit(self, twice: Array) -> Iterator[str]:
        for keys in self._again():
            found = np.isin(hashes(keys), twice)
            yield from pc.filter(keys, pa.array(found)).to_pylist()
