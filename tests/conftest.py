"""What all tests share: a home of their own, and a registry of their own for each worker."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PARTS = ("served", "chromium", "postgres", "kafka", "s3", "batch", "stream")
pytest_plugins = [f"tests.{part}" for part in PARTS]

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


@dataclass(frozen=True)
class Cluster:
    """The local cluster, as `python -m k8s.kind` gives it."""

    environment: dict

    def run(self, *arguments, **variables):
        """Run one of its commands; returns what it said."""
        argv = [sys.executable, "-m", "k8s.kind", *arguments]
        environment = {**os.environ, **variables}
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        lines = (done.stdout + done.stderr).splitlines(keepends=True)
        return "".join(line for line in lines if "waiting for another run" not in line)  # another worker's

    def here(self, monkeypatch):
        """Let this process use it, as a shell does after `eval "$(make -s env)"`."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def cluster():
    """The session's cluster: found by name, or made (`make cluster`); the Kubernetes client is set to it."""
    import kubernetes.config

    found = Cluster({})
    found.run("up")
    for name, value in re.findall(r"^export (\w+)=(.*)$", found.run("env"), re.MULTILINE):
        found.environment[name] = value.replace('"$PATH"', os.environ["PATH"]).strip("'")
    kubernetes.config.load_kube_config(found.environment.get("KUBECONFIG"), os.environ.get("TRIFOLD_CONTEXT"))
    return found
