"""Training's side: log a scikit-learn model so that nothing it needs to be served is forgotten."""

import copy
import importlib.metadata
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import skops.io
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo

from trifold import pictures
from trifold.contract.contract import Contract
from trifold.contract.profile import Feature, ImageInput, Profile
from trifold.errors import ProfileError, UntrustedModel
from trifold.ops import originals, profiling
from trifold.ops.originals import write_originals
from trifold.rows import Array
from trifold.trust import TRUSTED

EXAMPLE_ROWS = 5
REQUIREMENTS = ("scikit-learn", "numpy", "scipy", "pandas", "skops")


def log_model(
    model: Any,
    X: Any,
    *,
    name: str = "model",
    registered_model_name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    features: Mapping[str, Feature] | None = None,
    key: str | None = None,
    threshold: float | None = None,
    interval: float | None = None,
    unit: str | None = None,
    classes: Mapping[str, str] | None = None,
    note: str | None = None,
    image: ImageInput | None = None,
    samples: Mapping[str, bytes] | None = None,
    answers: bool = True,
    trusted: Sequence[str] = (),
    extra_requirements: Sequence[str] = (),
    **options: Any,
) -> ModelInfo:
    """Log a fitted estimator to the active MLflow run, with signature, example, trusted types and profile.

    Args:
        model: The fitted estimator or pipeline.
        X: Training data, a DataFrame, an array of shape (rows, …), or texts in a list or a Series, as the estimator was
            fitted on; a column without missing values here is required later.
        name: The logged model's name.
        registered_model_name: Register a version under this name.
        title: The model's name for people.
        description: What it answers, in a sentence or two.
        features: By column: title, unit, choices, minimum, maximum. Choices, ranges and statistics that are not given
            are taken from `X`.
        key: Column that identifies a row in batch jobs; it is no feature.
        threshold: A classifier's answer whose probability is below is called not sure; from 0 to 1.
        interval: Half width of a regressor's conformal interval, in the prediction's unit.
        unit: Unit of a regressor's prediction.
        classes: Words for a classifier's classes, by label as it stands in answers ("Yes", "0", "true").
        note: What whoever reads an answer has to know, such as that it is no medical advice.
        image: Size and mode of the pictures that `X` holds, a picture a row (see `read_pictures`); with it servers take
            picture files, and warn of one that is nothing like `X`.
        samples: PNG or JPEG files that the page offers to try, by title.
        answers: Keep at most 200 rows of `X` as they are, and the model's own answers to them, with which servers are
            compared before they go live; False where no row may leave the training's place. A sample of `X` for
            statistics is kept all the same.
        trusted: Names of types beyond scikit-learn's that you vouch for.
        extra_requirements: What the model needs beyond scikit-learn, numpy, scipy, pandas and skops.
        options: Passed on to `mlflow.sklearn.log_model`.

    Raises:
        SignatureError: A column has a type that no scikit-learn model takes.
        UntrustedModel: The estimator holds types that are neither scikit-learn's nor in `trusted`.
        ProfileError: What is said of the model does not fit it or `X`: a column or class that there is not, a threshold
            that is no probability, pictures of another size, a sample that servers would refuse.
    """
    samples = samples or {}
    if image is not None:
        image = profiling.image_input(image, X, samples)
    elif samples:
        raise ProfileError("samples are pictures for a model of pictures; say with image which size it takes.")
    if getattr(X, "ndim", 2) == 1:
        X = X.tolist()  # texts: MLflow takes no Series, and no array of objects
    known = profiling.features(X, features or {})  # first: it names a column whose type MLflow would not
    with warnings.catch_warnings():
        # MLflow's hint that integers cannot be missing; the contract has an answer to that.
        warnings.filterwarnings("ignore", message="Hint: Inferred schema")
        signature = infer_signature(X, model.predict(copy.deepcopy(X[:EXAMPLE_ROWS])))
    contract = Contract.read(signature.to_dict())
    profile = Profile(
        title=title,
        description=description,
        key=key,
        threshold=threshold,
        interval=interval,
        unit=unit,
        classes=classes or {},
        note=note,
        image=image,
        features=known,
    )
    profiling.require_fit(profile, model, contract)
    with tempfile.TemporaryDirectory() as folder:
        if answers:
            write_originals(Path(folder) / originals.FILE, model, X, EXAMPLE_ROWS)
        files = profiling.write(Path(folder), profile, X, samples)
        info: ModelInfo = mlflow.sklearn.log_model(
            model,
            name=name,
            registered_model_name=registered_model_name,
            signature=signature,
            input_example=X[:EXAMPLE_ROWS],
            serialization_format="skops",
            skops_trusted_types=_trusted_types(model, trusted),
            pip_requirements=[*map(_pinned, REQUIREMENTS), *extra_requirements],
            extra_files=files,
            **options,
        )
    return info


def read_pictures(sources: Iterable[bytes | Path], image: ImageInput) -> Array:
    """Read pictures as servers do, for a model that is logged with this `image`.

    Args:
        sources: PNG or JPEG files, or where they are.
        image: Size and mode that they are brought to.

    Returns:
        Array of uint8, shape (pictures, image.numbers).

    Raises:
        PictureRefused: One is no such file; its message says why, and its note which.
        OSError: One is not there.
    """
    rows = [_pixels(source, image) for source in sources]
    return np.stack(rows) if rows else np.empty((0, image.numbers), np.uint8)


def _pixels(source: bytes | Path, image: ImageInput) -> Array:
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        return np.frombuffer(pictures.read(data, image.width, image.height, image.mode), np.uint8)
    except pictures.PictureRefused as error:
        error.add_note(f"It is {f'a file of {len(data)} bytes' if isinstance(source, bytes) else source}.")
        raise


def _trusted_types(model: Any, trusted: Sequence[str]) -> list[str]:
    needed = set(skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    unknown = sorted(needed - TRUSTED - set(trusted))
    if unknown:
        raise UntrustedModel(
            f"The model holds types that are not trusted: {', '.join(unknown)}. "
            f"If you vouch for them, pass trusted={unknown!r}; deploying asks for --trust as well.",
            unknown,
        )
    return sorted(needed)


def _pinned(package: str) -> str:
    return f"{package}=={importlib.metadata.version(package)}"
