"""Training's side: log a scikit-learn model so that nothing it needs to be served is forgotten."""

import importlib.metadata
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import skops.io
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo

from trifold.contract import Contract
from trifold.errors import ProfileError, UntrustedModel
from trifold.profile import FILE, REFERENCE_FILE, Feature, Profile
from trifold.trust import TRUSTED

REFERENCE_ROWS = 1_000
EXAMPLE_ROWS = 5
MOST_CHOICES = 30
QUANTILES = tuple(round(0.1 * tenth, 1) for tenth in range(11))
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
    trusted: Sequence[str] = (),
    extra_requirements: Sequence[str] = (),
    **options: Any,
) -> ModelInfo:
    """Log a fitted estimator to the active MLflow run, with signature, example, trusted types and profile.

    Args:
        model: The fitted estimator or pipeline.
        X: Training data, a DataFrame or an array of shape (rows, …), as the estimator was fitted on; a column
            without missing values here is required later.
        name: The logged model's name.
        registered_model_name: Register a version under this name.
        title: The model's name for people.
        description: What it answers, in a sentence or two.
        features: By column: title, unit, choices, minimum, maximum. Choices, ranges and statistics that are not given
            are taken from `X`.
        key: Column that identifies a row in batch jobs; it is no feature.
        threshold: A classifier's answer whose probability is below is called not sure; from 0 to 1.
        interval: Half width of a regressor's conformal interval, in the prediction's unit.
        trusted: Names of types beyond scikit-learn's that you vouch for.
        extra_requirements: What the model needs beyond scikit-learn, numpy, scipy, pandas and skops.
        options: Passed on to `mlflow.sklearn.log_model`.

    Raises:
        SignatureError: A column has a type that no scikit-learn model takes.
        UntrustedModel: The estimator holds types that are neither scikit-learn's nor in `trusted`.
        ProfileError: `features` names a column that `X` does not have, or `threshold` is no probability.
    """
    with warnings.catch_warnings():
        # MLflow's hint that integers cannot be missing; the contract has an answer to that.
        warnings.filterwarnings("ignore", message="Hint: Inferred schema")
        signature = infer_signature(X, model.predict(X[:EXAMPLE_ROWS]))
    contract = Contract.read(signature.to_dict())
    profile = Profile(
        title=title,
        description=description,
        key=key,
        threshold=threshold,
        interval=interval,
        features=_features(X, features or {}),
    )
    _check_profile(profile, contract)
    with tempfile.TemporaryDirectory() as folder:
        files = _write(Path(folder), profile, X)
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


def _features(X: Any, given: Mapping[str, Feature]) -> dict[str, Feature]:
    if not isinstance(X, pd.DataFrame):
        return dict(given)
    unknown = sorted(set(given) - set(map(str, X.columns)))
    if unknown:
        raise ProfileError(f"features names {', '.join(unknown)}, which X has no column for.")
    return {str(column): _feature(X[column], given.get(str(column), Feature())) for column in X.columns}


def _feature(values: pd.Series, given: Feature) -> Feature:
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
    )


def _check_profile(profile: Profile, contract: Contract) -> None:
    if profile.threshold is not None and not 0 <= profile.threshold <= 1:
        raise ProfileError(f"threshold is {profile.threshold}; a probability from 0 to 1 is expected.")
    if profile.key and profile.key in {column.name for column in contract.signature.columns}:
        raise ProfileError(f"key {profile.key!r} is a column of X; a key identifies a row and is no feature.")


def _write(folder: Path, profile: Profile, X: Any) -> list[str]:
    reference = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X).reshape(len(X), -1))
    sample = reference.sample(min(len(reference), REFERENCE_ROWS), random_state=0)
    sample.columns = sample.columns.map(str)
    (folder / FILE).write_text(json.dumps(profile.to_json(), indent=1, default=_plain))
    sample.to_parquet(folder / REFERENCE_FILE, index=False)
    return [str(folder / FILE), str(folder / REFERENCE_FILE)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def _pinned(package: str) -> str:
    return f"{package}=={importlib.metadata.version(package)}"
