"""An artifact as MLflow logged it: what its MLmodel file says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trifold.errors import ArtifactError

PREDICT, SKOPS = "predict", "skops"


@dataclass(frozen=True)
class Artifact:
    """One logged scikit-learn model.

    Attributes:
        folder: Where its files are.
        file: The estimator's file, relative to the folder.
        file_format: "skops", "pickle" or "cloudpickle".
        code: Folder of code that was logged with it, relative to the folder.
        signature: MLflow's signature; None without one.
        example: What it says of its input example; None without one.
        flavors: What it says of each flavor.
        predict_fn: What MLflow's python_function asks the estimator; None if it can ask nothing.
        logged_by: The version of MLflow that logged it; empty where it does not say.
    """

    folder: Path
    file: str
    file_format: str
    code: str | None
    signature: Mapping[str, Any] | None
    example: Mapping[str, Any] | None
    flavors: Mapping[str, Any]
    predict_fn: str | None
    logged_by: str = ""

    @property
    def code_files(self) -> tuple[str, ...]:
        """Names of what was logged as its code."""
        names = (path.name for path in (self.folder / self.code).iterdir()) if self.code else ()
        return tuple(sorted(name for name in names if not name.startswith(("__pycache__", "."))))


def read(folder: Path) -> Artifact:
    """Read the MLmodel file.

    Raises:
        ArtifactError: There is none, or the model is of another flavor than scikit-learn.
    """
    file = folder / "MLmodel"
    try:
        document = yaml.safe_load(file.read_text())
        flavors = dict(document["flavors"])
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError):
        raise ArtifactError(
            "The artifact has no readable MLmodel file; log it with mlflow.sklearn.log_model."
        ) from None
    if "sklearn" not in flavors:
        found = ", ".join(sorted(flavors.keys() - {"python_function"})) or "python_function"
        raise ArtifactError(f"The model's flavor is {found}; Trifold serves scikit-learn's (mlflow.sklearn.log_model).")
    sklearn, pyfunc = flavors["sklearn"], flavors.get("python_function")
    code = sklearn.get("code") or (pyfunc or {}).get("code")  # where older MLflow wrote it
    return Artifact(
        folder=folder,
        file=_inside(folder, sklearn["pickled_model"]),
        file_format=sklearn.get("serialization_format", "pickle"),
        code=code and _inside(folder, code),
        signature=document.get("signature"),
        example=document.get("saved_input_example_info"),
        flavors=flavors,
        predict_fn=pyfunc and str(pyfunc.get("predict_fn", PREDICT)),
        logged_by=str(document.get("mlflow_version") or ""),
    )


def _inside(folder: Path, name: str) -> str:
    """A path that the artifact names, if it stays inside it."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.exists():
        raise ArtifactError(f"The MLmodel file names {name!r}, which is not in the artifact; log the model again.")
    return str(name)
