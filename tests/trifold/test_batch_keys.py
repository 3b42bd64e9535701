"""Keys: where a row belongs, and whether a key stands twice, whatever the number of rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifold.batch import keys
from trifold.batch.keys import Repeats, hashes, shards_of


@given(st.lists(st.text(max_size=40), max_size=60), st.integers(0, 5))
def test_a_hash_depends_on_the_key_alone(texts, cut):
    """Not on its neighbours, nor on where in Arrow's buffers it lies; different keys have different ones."""
    found = dict(zip(texts, hashes(pa.array(texts, pa.string())).tolist(), strict=True))
    assert len(set(found.values())) == len(found)
    assert hashes(pa.array(texts, pa.string())[cut:]).tolist() == [found[text] for text in texts[cut:]]
    assert [hashes(pa.array([text]))[0] for text in texts] == [found[text] for text in texts]


def test_a_hash_stays_what_it_is():
    """A shard that another version has begun goes on with the same rows."""
    assert hashes(pa.array(["", "customer-00000001", "ä"])).tolist() == [0, 1998862283480269152, 3434251537384949005]


@pytest.mark.parametrize("shards", [1, 3, 1000])
def test_shards_are_of_like_size(shards):
    """Whatever the keys look like, such as numbers that follow each other."""
    counts = np.bincount(shards_of(pa.array(map(str, range(200_000))), shards), minlength=shards)
    assert len(counts) == shards
    assert counts.min() > 0.5 * 200_000 / shards


@pytest.mark.parametrize("held", [10, 300, 100_000])
@pytest.mark.parametrize("repeated", [None, 0, 500, 999])
def test_a_key_that_stands_twice_is_found(monkeypatch, held, repeated):
    """In one pass or in many, each of which holds a part of the hashes."""
    monkeypatch.setattr(keys, "HELD", held)
    texts = [f"key {number}" for number in range(1000)] + ([] if repeated is None else [f"key {repeated}"])
    pieces = [pa.array(texts[start : start + 100]) for start in range(0, len(texts), 100)]
    repeats = Repeats(len(texts), lambda: pieces)
    for piece in pieces:
        repeats.add(piece)
    assert repeats.any() == (repeated is not None)


def test_equal_hashes_are_no_equal_keys(monkeypatch):
    """With so many rows two hashes meet by chance; then the keys themselves are looked at."""
    monkeypatch.setattr(keys, "hashes", lambda texts: np.zeros(len(texts), "uint64"))
    different, equal = pa.array(["a", "b", "c"]), pa.array(["a", "b", "a"])
    for texts, wanted in ((different, False), (equal, True)):
        repeats = Repeats(3, lambda texts=texts: [texts])
        repeats.add(texts)
        assert repeats.any() == wanted
