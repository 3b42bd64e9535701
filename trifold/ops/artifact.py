"""An artifact as MLflow logged it: what its MLmodel file says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trifold.contract.contract import Contract
from trifold.contract.signature import Signature
from trifold.errors import ArtifactError
from trifold.rows import Rows


@dataclass(frozen=True)
class Artifact:
    """One logged scikit-learn model.

    Attributes:
        folder: Where its files are.
        file: The estimator's file, relative to the folder.
        file_format: "skops", "pickle" or "cloudpickle".
        code: Folder of code that was logged with it, relative to the folder.
        signature: MLflow's signature; None without one.
        example: The input example as MLflow wrote it; None without one.
        requirements: Lines of its requirements.txt.
        python: The Python that logged it, such as "3.11.7".
    """

    folder: Path
    file: str
    file_format: str
    code: str | None
    signature: Mapping[str, Any] | None
    example: Any
    requirements: tuple[str, ...]
    python: str


def read(folder: Path) -> Artifact:
    """Read the MLmodel file.

    Raises:
        ArtifactError: There is none, or the model is of another flavor than scikit-learn.
    """
    file = folder / "MLmodel"
    try:
        document = yaml.safe_load(file.read_text())
        flavors = document["flavors"]
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        raise ArtifactError(
            "The artifact has no readable MLmodel file; log it with mlflow.sklearn.log_model."
        ) from None
    if "sklearn" not in flavors:
        found = ", ".join(sorted(flavors.keys() - {"python_function"})) or "python_function"
        raise ArtifactError(f"The model's flavor is {found}; Trifold serves scikit-learn's (mlflow.sklearn.log_model).")
    sklearn = flavors["sklearn"]
    return Artifact(
        folder=folder,
        file=_inside(folder, sklearn["pickled_model"]),
        file_format=sklearn.get("serialization_format", "pickle"),
        code=sklearn.get("code") and _inside(folder, sklearn["code"]),
        signature=document.get("signature"),
        example=_example(folder, document.get("saved_input_example_info")),
        requirements=_requirements(folder / "requirements.txt"),
        python=str(flavors.get("python_function", {}).get("python_version", "")),
    )


def example_rows(contract: Contract, example: Any) -> Rows:
    """The input example's rows that the contract accepts.

    Raises:
        ArtifactError: The contract accepts none of them.
    """
    rows = _as_rows(contract.signature, example)
    checked = contract.check_rows(rows, extra="ignore")
    if not len(checked.accepted):
        reason = checked.rejects[0] if checked.rejects else None
        what = f"column {reason.column}: expected {reason.expected}, got {reason.got}" if reason else "it has no rows"
        raise ArtifactError(f"The input example does not fit the signature ({what}); log the model again.")
    return checked.rows


def _inside(folder: Path, name: str) -> str:
    """A path that the artifact names, if it stays inside it."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.exists():
        raise ArtifactError(f"The MLmodel file names {name!r}, which is not in the artifact; log the model again.")
    return str(name)


def _example(folder: Path, info: Mapping[str, Any] | None) -> Any:
    if not info:
        return None
    try:
        return json.loads((folder / _inside(folder, info["artifact_path"])).read_text())
    except ValueError:
        raise ArtifactError("The input example is not JSON; log the model again.") from None


def _as_rows(signature: Signature, example: Any) -> list[Any]:
    """MLflow's forms of an example: a DataFrame split or by values, an array, or a list."""
    if not isinstance(example, dict):
        return example if isinstance(example, list) else [example]
    if "data" not in example:
        return [example]
    values = [[_value(value) for value in row] for row in example["data"]]
    names = [str(name) for name in example.get("columns", [column.label for column in signature.columns])]
    return [dict(zip(names, row, strict=False)) for row in values] if signature.named else values


def _value(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None  # MLflow writes a missing value as NaN
    if isinstance(value, str) and value.endswith("=\n"):
        return value.rstrip("\n")  # and base64 with a line's end
    return value


def _requirements(file: Path) -> tuple[str, ...]:
    lines = file.read_text().splitlines() if file.is_file() else []
    return tuple(line for line in (line.split(" #")[0].strip() for line in lines) if line and not line.startswith("#"))
