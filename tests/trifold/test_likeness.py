"""Likeness: a picture of another kind is told from the training pictures, at the price of a few kilobytes."""

import json
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from trifold.likeness import COMPONENTS, SIDE, Likeness


def blobs(count, seed, side=64, colour=False):
    """Pictures of one kind: a bright oval, about in the middle of black, with a darker spot somewhere in it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    places, sizes = random.normal(0, 0.03, (2, count, 1, 1)), random.uniform(0.2, 0.35, (2, count, 1, 1))
    spots = random.uniform(-0.15, 0.15, (2, count, 1, 1))
    bright = 200 / (1 + np.exp(40 * (np.hypot((x - places[0]) / sizes[0], (y - places[1]) / sizes[1]) - 1) / 4))
    spotted = bright * (1 - 0.5 * np.exp(-((x - spots[0]) ** 2 + (y - spots[1]) ** 2) / 0.005))
    pictures = (spotted + random.normal(0, 5, spotted.shape)).clip(0, 255).astype(np.uint8)
    return np.repeat(pictures[..., np.newaxis], 3, axis=3) if colour else pictures


@pytest.fixture(scope="module")
def likeness():
    """Learnt from 400 pictures."""
    return Likeness.fit(blobs(400, seed=0))


def others():
    """Pictures of other kinds, by name."""
    from sklearn.datasets import load_sample_images

    text = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(text).multiline_text((2, 2), "Dear Sir,\nplease find\nattached the\npicture.", fill=0)
    photos = dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    return {name: photo.mean(axis=2) for name, photo in photos.items()} | {
        "noise": np.random.default_rng(0).integers(0, 256, (64, 64)),
        "white": np.full((64, 64), 255),
        "black": np.zeros((64, 64)),
        "text on white": np.asarray(text),
        "a gradient": np.tile(np.linspace(0, 255, 64), (64, 1)),
        "a checkerboard": np.indices((64, 64)).sum(axis=0) // 8 % 2 * 255,
    }


def test_pictures_of_the_same_kind_are_like_them(likeness):
    """A warning that comes with every other right picture is soon read by nobody."""
    assert likeness.like(blobs(500, seed=1)).mean() >= 0.99


@pytest.mark.parametrize("name", others())
def test_pictures_of_another_kind_are_not(likeness, name):
    """A photo of a street gets an answer like any picture, but not without a warning."""
    picture = others()[name]
    assert not likeness.like(picture[np.newaxis])[0], likeness.score(picture[np.newaxis])


def test_scores_are_shares(likeness):
    """From 0 to 1, and 0 where there is nothing to see."""
    scores = likeness.score(np.concatenate([blobs(20, seed=2), np.zeros((1, 64, 64)), np.full((1, 64, 64), 99)]))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (scores[-2:] == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(), (3,)]), st.integers(0, 9))
def test_any_size_is_scored(likeness, height, width, channels, seed):
    """Also pictures with fewer pixels than the small ones have, and in colour."""
    pictures = np.random.default_rng(seed).integers(0, 256, (2, height, width, *channels), dtype=np.uint8)
    scores = likeness.score(pictures)
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_size_and_brightness_do_not_count(likeness):
    """A picture is as like them when it is shown larger or darker."""
    picture = blobs(1, seed=3)
    score = likeness.score(picture)
    assert likeness.score(picture.repeat(3, axis=1).repeat(2, axis=2)) == pytest.approx(score)
    assert likeness.score(picture * 0.5 + 30) == pytest.approx(score)


def test_a_picture_turned_inside_out_is_not_like_them(likeness):
    """The sign counts: a negative shows another thing."""
    assert likeness.score(255 - blobs(1, seed=4))[0] < likeness.least


def test_colour_is_scored_as_grey(likeness):
    """A grey picture saved in colour is the same picture."""
    grey, colour = blobs(5, seed=5), blobs(5, seed=5, colour=True)
    assert likeness.score(colour) == pytest.approx(likeness.score(grey))


def test_a_score_does_not_depend_on_the_neighbours(likeness):
    """Many pictures are made small in portions; a picture of the last is scored as it would be alone."""
    pictures = blobs(150, seed=6)
    alone = np.concatenate([likeness.score(picture[np.newaxis]) for picture in pictures])
    assert likeness.score(pictures) == pytest.approx(alone)


def test_it_is_small_and_survives_json(likeness):
    """It travels in the profile, which is read at every start."""
    text = json.dumps(asdict(likeness))
    assert len(text) < 30_000
    again = Likeness.from_json(json.loads(text))
    assert again == likeness
    assert (again.score(blobs(5, seed=7)) == likeness.score(blobs(5, seed=7))).all()
    assert (len(again.components), len(again.mean)) == (COMPONENTS, SIDE * SIDE)


def test_the_same_pictures_teach_the_same():
    """Logging a model twice gives one digest."""
    assert Likeness.fit(blobs(50, seed=8)) == Likeness.fit(blobs(50, seed=8))


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_few_pictures_are_enough_to_begin(count):
    """With fewer pictures than components there are fewer components, and no failure."""
    found = Likeness.fit(blobs(count, seed=9))
    assert 0 <= found.least <= 1
    assert len(found.components) <= count


def test_blank_pictures_among_them_do_not_let_blank_ones_in():
    """What has no contrast is like nothing."""
    pictures = blobs(50, seed=10)
    pictures[::5] = 0
    assert not Likeness.fit(pictures).like(np.zeros((1, 64, 64)))[0]


def test_one_picture_has_nothing_in_common():
    """It takes one to learn from and one to compare with."""
    with pytest.raises(ValueError, match="two pictures or more, not from 1"):
        Likeness.fit(blobs(1, seed=11))


def test_large_pictures_are_learnt_from_in_portions():
    """Training pictures must not all be floating-point numbers at once: here that would be 420 MB."""
    pictures = np.broadcast_to(blobs(1, seed=12, side=512), (200, 512, 512))
    tracemalloc.start()
    found = Likeness.fit(pictures)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 250e6
    assert found.least > 0.99
