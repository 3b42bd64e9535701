"""What all tests share: a home of their own, and a registry of their own for each worker."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Locks and environments are named by their content, so workers and runs may share them; registries are not.
os.environ["TRIFOLD_HOME"] = str(ROOT / ".trifold" / "tests")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """An empty MLflow registry on SQLite; its address."""
    import mlflow

    folder = tmp_path_factory.mktemp("registry")
    address = f"sqlite:///{folder / 'mlflow.db'}"
    os.environ["MLFLOW_TRACKING_URI"] = address
    mlflow.set_tracking_uri(address)
    mlflow.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("tests")
    yield address
    del os.environ["MLFLOW_TRACKING_URI"]
