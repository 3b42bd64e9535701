"""The profile: what a signature cannot say about a model. Optional; written by `trifold.log_model`."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trifold.contract.dtypes import Dtype
from trifold.errors import ProfileError
from trifold.likeness import Likeness

FORMAT = 1
CHANNELS = {"L": 1, "RGB": 3}
"""Numbers a pixel, by Pillow's name of the mode."""
MOST_SIDE = 1024
"""Pixels; a row of a larger picture would be larger than a request may be."""
FILE = "profile.json"
REFERENCE_FILE = "reference.parquet"
LACKS = (
    "title, texts, choices and ranges (the form has plain fields)",
    "key column (batch jobs must name one)",
    "threshold (no answer is called not sure)",
    "statistics and reference sample (no drift, and parity is proven on generated rows)",
)
"""What a model without a profile does without, in words."""


@dataclass(frozen=True)
class Feature:
    """What is known of one column beyond its type.

    Attributes:
        title: Words for people.
        unit: Unit of the values, such as "months".
        choices: Values seen at training, for a column that has few; they fill a form and refuse nothing.
        minimum: Least value seen or allowed in a form; refuses nothing.
        maximum: Greatest value seen or allowed in a form; refuses nothing.
        statistics: Of the training data: missing (share), and mean, std and quantiles of a number,
            or counts of a category.
        dtype: How the column stood in the DataFrame at training.
    """

    title: str | None = None
    unit: str | None = None
    choices: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    statistics: Mapping[str, Any] = field(default_factory=dict)
    dtype: Dtype | None = None


@dataclass(frozen=True)
class Sample:
    """A picture that the page offers to try; `file` is its name in the artifact's extra files."""

    file: str
    title: str


@dataclass(frozen=True)
class ImageInput:
    """What a model of pictures is given: a row is the pixels of a picture of this size, line by line.

    Attributes:
        width: In pixels.
        height: In pixels.
        mode: "L" for grey, a number a pixel; "RGB" for colour, three.
        samples: Pictures to try.
        likeness: How to tell a picture that is nothing like the training pictures; None: no answer is warned of.
    """

    width: int
    height: int
    mode: str = "L"
    samples: tuple[Sample, ...] = ()
    likeness: Likeness | None = None

    def __post_init__(self) -> None:
        whole = all(type(side) is int and 0 < side <= MOST_SIDE for side in (self.width, self.height))
        if not whole or self.mode not in CHANNELS:
            raise ProfileError(
                f"The image input is {self.width!r} x {self.height!r}, mode {self.mode!r}; "
                f"two whole numbers from 1 to {MOST_SIDE} and one of {', '.join(CHANNELS)} are expected."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a picture as an array."""
        return (self.height, self.width) if self.mode == "L" else (self.height, self.width, CHANNELS[self.mode])

    @property
    def numbers(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Profile:
    """All that the profile holds.

    Attributes:
        title: The model's name for people.
        description: What it answers, in a sentence or two.
        key: Column that identifies a row; it is no feature.
        threshold: A classifier's answer whose probability is below is called not sure.
        interval: Half width of a regressor's conformal interval, in the prediction's unit.
        unit: Unit of a regressor's prediction.
        classes: Words for a classifier's classes, by label, such as {"Yes": "This customer will probably leave."}.
        note: What whoever reads an answer has to know, such as that it is no medical advice.
        image: For a model of pictures.
        features: By column.
    """

    title: str | None = None
    description: str | None = None
    key: str | None = None
    threshold: float | None = None
    interval: float | None = None
    unit: str | None = None
    classes: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    image: ImageInput | None = None
    features: Mapping[str, Feature] = field(default_factory=dict)

    @property
    def dtypes(self) -> dict[str, Dtype]:
        """How the columns stood in the DataFrame at training, as far as the profile says."""
        return {name: feature.dtype for name, feature in self.features.items() if feature.dtype}

    def to_json(self) -> dict[str, Any]:
        """The profile as JSON values, with the number of its format."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Profile":
        """Read what `to_json` gave.

        Raises:
            ProfileError: Another format number, or a field that this format does not have.
        """
        try:
            fields = dict(document)
            found = fields.pop("format", None)
            if found != FORMAT:
                raise ProfileError(
                    f"The profile has format {found}, this Trifold reads {FORMAT}; log the model again with this one."
                )
            features = {name: _feature(value) for name, value in fields.pop("features", {}).items()}
            image = fields.pop("image", None)
            return cls(features=features, image=None if image is None else _image(image), **fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProfileError(f"The profile cannot be read: {error}; log the model again.") from None


def find(artifact: Path, name: str = FILE) -> Path | None:
    """Where MLflow put a file of ours in an artifact (log_model's `extra_files`), if there is one."""
    path = artifact / "extra_files" / name
    return path if path.is_file() else None


def read(artifact: Path) -> Profile | None:
    """The artifact's profile; None for a model logged without one.

    Raises:
        ProfileError: It is there and cannot be read.
    """
    path = find(artifact)
    if path is None:
        return None
    try:
        return Profile.from_json(json.loads(path.read_text()))
    except ValueError as error:
        raise ProfileError(f"The profile is not JSON: {error}; log the model again.") from None


def _feature(value: Mapping[str, Any]) -> Feature:
    fields = dict(value)
    choices, dtype = fields.pop("choices", None), fields.pop("dtype", None)
    return Feature(
        choices=None if choices is None else tuple(choices), dtype=dtype and Dtype.from_json(dtype), **fields
    )


def _image(value: Mapping[str, Any]) -> ImageInput:
    fields = dict(value)
    samples = tuple(Sample(**sample) for sample in fields.pop("samples", ()))
    likeness = fields.pop("likeness", None)
    return ImageInput(samples=samples, likeness=likeness and Likeness.from_json(likeness), **fields)
