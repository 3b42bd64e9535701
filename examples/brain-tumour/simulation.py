"""What makes slices of one head differ: how it lies, its lesion, and the scanner's faults. Batches, never one by one.

Arrays have the shape (pictures, size, size) unless they say otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]

FIELD = 205.0
"""Side of a picture, in millimetres."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Random numbers for a batch of pictures of `size` pixels a side."""

    random: np.random.Generator
    count: int
    size: int

    def each(self, low: float, high: float) -> Array:
        """A number for each picture, shape (pictures, 1, 1)."""
        return self.random.uniform(low, high, (self.count, 1, 1)).astype(np.float32)

    def about(self, mean: float, deviation: float) -> Array:
        """The same, normal; two deviations are the most."""
        steps = self.random.normal(0, 1, (self.count, 1, 1)).clip(-2, 2)
        return (mean + deviation * steps).astype(np.float32)

    def smooth(self, waves: int) -> Array:
        """Smooth fields of mean 0 and deviation 1: normal numbers on a grid of `waves` a side, interpolated."""
        pixels = np.linspace(0, waves - 1, self.size)
        weights = np.exp(-((pixels[:, np.newaxis] - np.arange(waves)) ** 2) / 0.9)
        weights = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
        grid = self.random.standard_normal((self.count, waves, waves), dtype=np.float32)
        return np.asarray(weights @ grid @ weights.T)


def places(chance: Chance) -> Array:
    """Where in the head each pixel is, in mm to the right and to the front; shape (pictures, 2, size, size).

    The head is turned, stretched, shifted, bent, and in half of the pictures seen in a mirror.
    """
    side = ((np.arange(chance.size, dtype=np.float32) + 0.5) / chance.size - 0.5) * FIELD
    right, front = np.meshgrid(side, -side)
    turn = np.radians(chance.about(0, 5))
    x = np.cos(turn) * right - np.sin(turn) * front
    y = np.sin(turn) * right + np.cos(turn) * front
    x, y = (part / chance.about(1, 0.04) + chance.about(0, 3) + 2.5 * chance.smooth(5) for part in (x, y))
    middle = -18  # of a brain, seen from the point that the template counts from
    return np.stack([x * np.sign(chance.each(-1, 1)), y + middle], axis=1)


def level(away: Array, radii: Array, chance: Chance) -> Array:
    """How far each pixel is from a lesion's centre: 1 on its ragged rim.

    Args:
        away: From the centre, in mm, shape (pictures, 2, size, size).
        radii: In mm, shape (pictures, 1, 1).
        chance: Of shape and direction.
    """
    angle, longer = chance.each(0, np.pi), chance.each(0.75, 1.3)
    along = np.cos(angle) * away[:, 0] + np.sin(angle) * away[:, 1]
    across = np.cos(angle) * away[:, 1] - np.sin(angle) * away[:, 0]
    ragged = 1 + 0.16 * chance.smooth(20) + 0.08 * chance.smooth(40)
    return np.asarray(np.hypot(along * longer, across / longer) / radii * np.maximum(ragged, 0.5))


def with_lesions(tissue: Array, level: Array, radii: Array, chance: Chance) -> Array:
    """Tissue with a lesion in each picture: swollen and darker around, a bright core, in half of them hollow."""
    softness = 0.9 / radii
    swollen = _within(level, 1 + chance.each(0.2, 1.1), 0.18) * (1 + 0.15 * chance.smooth(14)).clip(0, 1)
    mottled = 1 + 0.06 * chance.smooth(40)
    drawn = tissue * (1 - chance.each(0.15, 0.45) * swollen)
    drawn += _within(level, 0.95, softness) * (chance.each(1.05, 1.7) * mottled - drawn)
    hollow = _within(level, chance.each(0.45, 0.7), 0.8 * softness) * (chance.each(-1, 1) > 0)
    drawn += hollow * (chance.each(0.25, 0.6) * mottled - drawn)
    brain = ndimage.gaussian_filter((tissue > 0.2).astype(np.float32), (0, 0.7, 0.7))
    return np.asarray(drawn * brain + tissue * (1 - brain))


def scanned(drawn: Array, chance: Chance) -> NDArray[np.uint8]:
    """As a scanner would show it: uneven, blurred, noisy, brighter or darker. Noise of magnitudes is Rician."""
    uneven = drawn * np.exp(0.08 * chance.smooth(4))
    blurs = chance.each(0.2, 0.9).ravel()
    blurred = np.stack([ndimage.gaussian_filter(one, blur) for one, blur in zip(uneven, blurs, strict=True)])
    real, imaginary = chance.each(0.01, 0.05) * chance.random.standard_normal((2, *drawn.shape), dtype=np.float32)
    shown = np.hypot(blurred + real, imaginary) ** chance.each(0.85, 1.2) * chance.each(150, 205)
    return np.asarray(shown.clip(0, 255).astype(np.uint8))


def _within(level: Array, rim: Array | float, softness: Array | float) -> Array:
    """1 inside the rim, 0 outside, soft between."""
    return np.asarray(1 / (1 + np.exp(((level - rim) / softness).clip(-30, 30))))
