"""Slices of a head, half of them with a simulated lesion.

The head is the ICBM152 2009 T1 template, 1 mm a voxel and brain only, that the package nilearn carries. A slice is cut
at a height, varied (simulation.py) and written as the PNG or JPEG file that somebody would upload. Distances are in
millimetres from the template's own origin.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from nilearn.datasets import load_mni152_template
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from simulation import Array, Chance, level, places, scanned, with_lesions

LESION, NO_LESION = "lesion", "no lesion"
LOWEST, HIGHEST = -28.0, 60.0
"""Below and above there is little brain in a slice."""
TEST_SLABS = ((-16.0, -6.0), (14.0, 24.0), (44.0, 54.0))
"""Heights of the slices that the model is tested on."""
GAP = 5.0
"""Least distance of a training slice from a test slab: a slice's neighbours look almost as it does."""
BRAIN = 0.2
"""Least brightness of brain, of 1; as nilearn's own mask has it."""
DEPTH = 6
"""Least distance of a lesion's centre from the brain's edge, in mm."""
AT_ONCE = 100


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices, `size` pixels a side.

    Attributes:
        heights: Of each, in mm.
        lesion: Whether each has one.
        pixels: Shape (slices, size, size).
        outlines: Where the lesions' cores are, same shape.
        brain: Where there is brain, same shape.
    """

    heights: Array
    lesion: NDArray[np.bool_]
    pixels: NDArray[np.uint8]
    outlines: NDArray[np.bool_]
    brain: NDArray[np.bool_]


def heights(count: int, *, test: bool, seed: int) -> Array:
    """Heights of slices, evenly spread over the test slabs, or else over what is GAP away from all of them."""
    random = np.random.default_rng(seed)
    bottoms, tops = np.array(TEST_SLABS if test else training_slabs()).T
    lengths = tops - bottoms
    chosen = random.choice(len(lengths), count, p=lengths / lengths.sum())
    return np.asarray(bottoms[chosen] + random.random(count) * lengths[chosen], dtype=np.float32)


def training_slabs() -> list[tuple[float, float]]:
    """What lies between the test slabs, without the gaps."""
    edges = [LOWEST, *(edge for bottom, top in TEST_SLABS for edge in (bottom - GAP, top + GAP)), HIGHEST]
    return list(zip(edges[::2], edges[1::2], strict=True))


def draw(heights: Array, *, seed: int, size: int = 144) -> Iterator[Slices]:
    """Draw a slice at each height, every other one with a lesion, some slices at once."""
    for number, start in enumerate(range(0, len(heights), AT_ONCE)):
        some = heights[start : start + AT_ONCE]
        yield _draw(some, Chance(np.random.default_rng((seed, number)), len(some), size))


def files(slices: Slices) -> Iterator[bytes]:
    """The slices as files: three of four as PNG, the fourth as JPEG, with and without a lesion."""
    for number, pixels in enumerate(slices.pixels):
        yield as_file(pixels, "JPEG" if number % 8 in (3, 6) else "PNG")


def as_file(pixels: NDArray[np.uint8], kind: str = "PNG", side: int | None = None) -> bytes:
    """A picture as a file; with `side` smoothly brought to so many pixels."""
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    if side:
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    options = {"quality": 85} if kind == "JPEG" else {"compress_level": 9 if side else 1}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _draw(heights: Array, chance: Chance) -> Slices:
    lesion = np.arange(len(heights)) % 2 == 1
    shown = lesion[:, np.newaxis, np.newaxis]
    where, radii = places(chance), chance.each(5, 16)
    away = where - _centres(heights, chance)[..., np.newaxis, np.newaxis]
    distance = level(away, radii, chance)
    pushed = 0.35 * shown * np.exp(-0.5 * (distance / 1.6) ** 2)  # a lesion takes room from what is around it
    tissue = _cut(where - pushed[:, np.newaxis] * away, heights)
    drawn = np.where(shown, with_lesions(tissue, distance, radii, chance), tissue)
    brain = tissue > BRAIN
    return Slices(heights, lesion, scanned(drawn, chance), (distance < 1) & brain & shown, brain)


def _centres(heights: Array, chance: Chance) -> Array:
    """A place inside the brain for each slice, x and y."""
    planes = np.rint(heights + _origin()[2]).astype(int)
    chosen = [chance.random.choice(np.argwhere(_deep()[:, :, plane])) for plane in planes]
    return np.asarray(chosen, dtype=np.float32) - _origin()[:2]


def _cut(where: Array, heights: Array) -> Array:
    """The head's brightness at places, shape (slices, 2, size, size), each slice at its height."""
    x, y = where[:, 0] + _origin()[0], where[:, 1] + _origin()[1]
    z = np.broadcast_to((heights + _origin()[2])[:, np.newaxis, np.newaxis], x.shape)
    return np.asarray(ndimage.map_coordinates(_head(), [x, y, z], order=1))


@cache
def _head() -> Array:
    """The template's brightness, from 0 to 1, by voxel: to the right, to the front, upwards."""
    return np.asarray(load_mni152_template(resolution=1).dataobj, dtype=np.float32)


@cache
def _origin() -> Array:
    """The voxel from which the template counts millimetres."""
    return np.asarray(-load_mni152_template(resolution=1).affine[:3, 3], dtype=np.float32)


@cache
def _deep() -> NDArray[np.bool_]:
    """Voxels with DEPTH of brain around them."""
    brain = ndimage.binary_fill_holes(_head() > BRAIN).astype(np.float32)
    return np.asarray(ndimage.uniform_filter(brain, (2 * DEPTH + 1, 2 * DEPTH + 1, 1)) > 0.999)
