"""Make the profile from training's side: what the data says by itself, what the caller adds, and whether they agree."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import is_classifier

from trifold import pictures
from trifold.contract.contract import Contract
from trifold.contract.profile import FILE, REFERENCE_FILE, Feature, ImageInput, Profile, Sample
from trifold.errors import ProfileError
from trifold.frames import read_dtype
from trifold.likeness import Likeness
from trifold.model import label
from trifold.picture_files import PNG_MAGIC

REFERENCE_ROWS = 1_000
REFERENCE_NUMBERS = 500_000
"""Most numbers in the sample of an array: of pictures it would otherwise be most of the artifact, and nothing that is
measured on it, parity and drift, needs so many rows of so many columns."""
LEAST_ROWS = 64
MOST_CHOICES = 30
QUANTILES = tuple(round(0.1 * tenth, 1) for tenth in range(11))
WHITE = 255


def image_input(image: ImageInput, X: Any, samples: Mapping[str, bytes]) -> ImageInput:
    """The image input with its samples and what training pictures are like.

    Args:
        image: Size and mode.
        X: The training pictures, an array of shape (pictures, image.numbers).
        samples: Title to PNG or JPEG file.

    Raises:
        ProfileError: `X` holds no such pictures, or servers would refuse a sample.
    """
    _require_pictures(X, image)
    for title, data in samples.items():
        try:
            pictures.read(data, image.width, image.height, image.mode)
        except pictures.PictureRefused as error:
            raise ProfileError(f"The sample {title!r} would be refused by servers: {error}") from error
    listed = tuple(map(Sample, sample_files(samples), samples))
    return replace(image, samples=listed, likeness=Likeness.fit(X.reshape(-1, *image.shape)))


def sample_files(samples: Mapping[str, bytes]) -> dict[str, bytes]:
    """Names of the files that the samples become, and their contents."""
    return {
        f"sample-{number}.{'png' if data.startswith(PNG_MAGIC) else 'jpg'}": data
        for number, data in enumerate(samples.values(), 1)
    }


def features(X: Any, given: Mapping[str, Feature]) -> dict[str, Feature]:
    """What is known of each column of a DataFrame: what was given, and for the rest what the data shows.

    Raises:
        ProfileError: A column is given that `X` does not have, or one of `X` has a dtype that no server can make.
    """
    if not isinstance(X, pd.DataFrame):
        return dict(given)
    unknown = sorted(set(given) - set(map(str, X.columns)))
    if unknown:
        raise ProfileError(f"features names {', '.join(unknown)}, which X has no column for.")
    return {str(column): _feature(column, X[column], given.get(str(column), Feature())) for column in X.columns}


def require_fit(profile: Profile, model: Any, contract: Contract) -> None:
    """Make sure that the profile speaks of this model.

    Raises:
        ProfileError: It does not.
    """
    if profile.threshold is not None and not 0 <= profile.threshold <= 1:
        raise ProfileError(f"threshold is {profile.threshold}; a probability from 0 to 1 is expected.")
    if profile.key and profile.key in {column.name for column in contract.signature.columns}:
        raise ProfileError(f"key {profile.key!r} is a column of X; a key identifies a row and is no feature.")
    if profile.unit and is_classifier(model):
        raise ProfileError(f"unit is {profile.unit!r}, but a classifier's answer is a class and has none.")
    _require_classes(profile.classes, model)


def write(folder: Path, profile: Profile, X: Any, samples: Mapping[str, bytes]) -> list[str]:
    """Write the profile, the reference sample and the sample pictures; gives the files' names."""
    (folder / FILE).write_text(json.dumps(profile.to_json(), indent=None if profile.image else 1, default=_plain))
    _write_reference(folder / REFERENCE_FILE, X)
    for name, data in sample_files(samples).items():
        (folder / name).write_bytes(data)
    return sorted(map(str, folder.iterdir()))


def _require_pictures(X: Any, image: ImageInput) -> None:
    expected = f"an array of shape (pictures, {image.numbers}), a row a picture of {image.width} x {image.height}"
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.shape[1] != image.numbers or X.dtype.kind not in "iuf":
        got = f"an array of shape {X.shape}, {X.dtype}" if isinstance(X, np.ndarray) else f"a {type(X).__name__}"
        raise ProfileError(f"With image, X has to be {expected} numbers in mode {image.mode}; it is {got}.")
    if len(X) < 2:
        raise ProfileError(f"X has {len(X)} pictures; two or more are needed to tell what they have in common.")
    least, greatest = X.min(), X.max()
    if not (least >= 0 and 1 < greatest <= WHITE):
        raise ProfileError(
            f"The pictures in X have numbers from {least:g} to {greatest:g}, servers give the model pixels from 0 to "
            f"{WHITE}; train on those, with the scaling as a step of the pipeline."
        )


def _require_classes(words: Mapping[str, str], model: Any) -> None:
    if not words:
        return
    if not is_classifier(model):
        raise ProfileError(f"classes has words for {', '.join(words)}, but a {type(model).__name__} has no classes.")
    outputs = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
    known = {label(value): None for output in outputs for value in output}
    unknown = sorted(set(words) - set(known))
    if unknown:
        raise ProfileError(f"classes has words for {', '.join(unknown)}; the model's classes are {', '.join(known)}.")


def _convert(column: Any, values: pd.Series) -> str:
    """What makes a column's dtype one that a server has."""
    ways = {"timedelta64": ".dt.total_seconds()", "period": ".dt.to_timestamp()", "category": ".astype(str)"}
    found = [way for name, way in ways.items() if str(values.dtype).startswith(name)]
    return f"X[{column!r}]{found[0]}" if found else "X.convert_dtypes(dtype_backend='numpy_nullable')"


def _feature(column: Any, values: pd.Series, given: Feature) -> Feature:
    dtype = read_dtype(values)
    if dtype is None:
        raise ProfileError(
            f"X[{column!r}] is {values.dtype}, which a server cannot make from a request; fit the model on types of "
            f"numpy's or pandas' own, such as {_convert(column, values)}, and log it with those."
        )
    statistics: dict[str, Any] = {"missing": float(values.isna().mean())}
    known = values.dropna()
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    minimum = maximum = choices = None
    if numeric and len(known):
        minimum, maximum = float(known.min()), float(known.max())
        statistics |= {"mean": float(known.mean()), "std": float(known.std(ddof=0))}
        statistics["quantiles"] = [float(known.quantile(q)) for q in QUANTILES]
    elif len(known) and known.map(type).isin([str, bool]).all():
        counts = known.value_counts()
        statistics["counts"] = {str(value): int(count) for value, count in counts.head(MOST_CHOICES).items()}
        choices = tuple(sorted(counts.index.tolist())) if len(counts) <= MOST_CHOICES else None
    return Feature(
        title=given.title,
        unit=given.unit,
        choices=given.choices if given.choices is not None else choices,
        minimum=given.minimum if given.minimum is not None else minimum,
        maximum=given.maximum if given.maximum is not None else maximum,
        statistics=statistics,
        dtype=dtype,
    )


def _write_reference(file: Path, X: Any) -> None:
    """A sample of the training data; of an array without what only costs room, which is megabytes for 4,096 columns."""
    if isinstance(X, pd.Series):
        X = X.to_frame("0" if X.name is None else X.name)
    if isinstance(X, pd.DataFrame):
        sample = X.sample(min(len(X), REFERENCE_ROWS), random_state=0)
        sample.columns = sample.columns.map(str)
        sample.to_parquet(file, index=False)
        return
    rows = np.asarray(X).reshape(len(X), -1)
    count = min(len(rows), REFERENCE_ROWS, max(LEAST_ROWS, REFERENCE_NUMBERS // max(rows.shape[1], 1)))
    chosen = rows[np.random.default_rng(0).permutation(len(rows))[:count]]
    table = pa.table({str(number): values for number, values in enumerate(chosen.T)})
    lean = {"compression": "zstd", "use_dictionary": False, "write_statistics": False, "store_schema": False}
    pq.write_table(table, file, **lean)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
