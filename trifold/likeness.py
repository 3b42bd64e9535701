"""Whether a picture is anything like the training pictures, so that an answer to another kind is warned of.

A picture is made small and grey, brought to mean 0 and length 1, and compared with the few pictures (principal
components) that the training pictures are mostly sums of: the score is the share of it that they explain.
Source of the idea: Turk and Pentland, Eigenfaces for Recognition, 1991, "distance from face space".

It knows rough shape and shades, no more: another picture that has them, such as a bright disc among slices of a brain,
passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from trifold.rows import Array

SIDE = 16
COMPONENTS = 12
DIGITS = 4
MOST_PICTURES = 2_000
"""As many as are learnt from; more would move the components by less than they are rounded."""
AT_ONCE = 64
"""Pictures made small at once, so that large ones do not fill the memory."""
RARE = 0.01
"""Share of training pictures, not learnt from, that may leave more unexplained than is taken for usual."""
MARGIN = 2.0
"""How often what is usually left unexplained a picture may leave: others' pictures differ more than one's own."""
LEAST_CONTRAST = 0.5
"""Standard deviation, of 255 grey levels, from which on a picture shows anything."""


@dataclass(frozen=True)
class Likeness:
    """What is known of the training pictures.

    Attributes:
        side: Pixels of a side of the small pictures.
        mean: Their mean, side x side numbers.
        components: Their principal components, each side x side numbers.
        least: Score below which a picture is unlike them; from 0 to 1.
    """

    side: int
    mean: tuple[float, ...]
    components: tuple[tuple[float, ...], ...]
    least: float

    @classmethod
    def fit(cls, pictures: Array) -> "Likeness":
        """Learn from every other training picture, and find `least` with those between.

        The components are not learnt anew from all pictures afterwards: `least` would be that of other components.

        Args:
            pictures: Of shape (pictures, height, width) or (pictures, height, width, 3), numbers from 0 to 255.

        Raises:
            ValueError: There are fewer than two.
        """
        if len(pictures) < 2:
            raise ValueError(f"a likeness is learnt from two pictures or more, not from {len(pictures)}")
        some = pictures[:: -(-len(pictures) // MOST_PICTURES)]
        learnt, _ = _small(some[::2], SIDE)
        mean = learnt.mean(axis=0).round(DIGITS)
        components = np.linalg.svd(learnt - mean, full_matrices=False)[2][:COMPONENTS].round(DIGITS)
        found = cls(SIDE, tuple(mean.tolist()), tuple(map(tuple, components.tolist())), 0.0)
        usual = float(np.quantile(found.score(some[1::2]), RARE))
        return replace(found, least=round(max(0.0, 1 - MARGIN * (1 - usual)), DIGITS))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Likeness":
        """Read what `dataclasses.asdict` gave."""
        components = tuple(tuple(map(float, component)) for component in document["components"])
        return cls(int(document["side"]), tuple(map(float, document["mean"])), components, float(document["least"]))

    def score(self, pictures: Array) -> Array:
        """Share of each picture that is explained, from 0 to 1; 0 for one without any contrast.

        A small picture x has length 1. Mean m and components explain m + the projection of x - m on the components; the
        score is 1 minus the squared length of what is left of x, or 0 where that is longer than x itself.

        Args:
            pictures: As for `fit`.
        """
        small, contrast = _small(pictures, self.side)
        differences = small - self._mean
        left = differences - differences @ self._components.T @ self._components
        explained = np.clip(1 - (left**2).sum(axis=1), 0.0, 1.0)
        return np.where(contrast < LEAST_CONTRAST, 0.0, explained)

    def like(self, pictures: Array) -> Array:
        """Whether each picture is like the training pictures."""
        scores = self.score(pictures)
        return np.asarray((scores > 0) & (scores >= self.least))

    @cached_property
    def _mean(self) -> Array:
        return np.asarray(self.mean)

    @cached_property
    def _components(self) -> Array:
        return np.asarray(self.components).reshape(-1, len(self.mean))


def _small(pictures: Array, side: int) -> tuple[Array, Array]:
    """Pictures as rows of side x side numbers, mean 0 and length 1; and the standard deviation that each had."""
    height, width = pictures.shape[1:3]
    down, across = _areas(height, side), _areas(width, side)
    rows = np.empty((len(pictures), side * side))
    for start in range(0, len(pictures), AT_ONCE):
        some = np.asarray(pictures[start : start + AT_ONCE], dtype=float)
        grey = some.mean(axis=3) if some.ndim == 4 else some
        rows[start : start + AT_ONCE] = (down @ grey @ across.T).reshape(len(some), -1)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt((rows**2).sum(axis=1))
    return rows / np.maximum(lengths, 1e-9)[:, np.newaxis], lengths / side


def _areas(length: int, side: int) -> Array:
    """Matrix, side x length, that averages pixels over `side` stretches of equal length, cut pixels by their share."""
    edges = np.linspace(0, length, side + 1)
    pixels = np.arange(length)
    shared = np.minimum(edges[1:, np.newaxis], pixels + 1) - np.maximum(edges[:-1, np.newaxis], pixels)
    return np.asarray(np.clip(shared, 0, None) * side / length)
