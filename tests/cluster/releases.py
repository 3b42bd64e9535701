"""What the tests of releases share: a light model, the command line, and what a release says of itself."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from kubernetes import client
from kubernetes.stream import stream

from tests.cluster import kube

NAME = "light"
SMALL = {"online": {"autoscaling": {"enabled": False}, "replicas": 1, "drainSeconds": 2}}


def log_light(registry, seed):
    """Log a version of the light model; gives its address."""
    import mlflow
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import trifold

    mlflow.set_tracking_uri(registry)
    random = np.random.default_rng(seed)
    X = pd.DataFrame(random.normal(size=(500, 20)), columns=[f"x{number}" for number in range(20)])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, X.x0 + X.x1 > 0)
    info = trifold.log_model(model, X, registered_model_name=NAME, title="A light model")
    return f"{NAME}/{info.registered_model_version}"


@dataclass(frozen=True)
class Trifold:
    """The command line, as a user runs it after `eval "$(make -s env)"`."""

    cluster: object
    registry: str

    @property
    def environment(self):
        """Variables of that shell."""
        return {**os.environ, **self.cluster.environment, "MLFLOW_TRACKING_URI": self.registry}

    def __call__(self, *arguments, folder, code=0, **variables):
        """Run a command in a folder; gives what it printed, and on standard error where it fails as expected."""
        command = [str(Path(sys.executable).parent / "trifold"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, env={**self.environment, **variables}, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def shell(self, script, folder):
        """Run lines in a shell that stops at the first failure; gives what they printed."""
        done = subprocess.run(
            ["sh", "-euc", script], cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def helm(self, *arguments, code=0):
        """Run Helm; gives what it printed."""
        done = subprocess.run(["helm", *arguments], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr

    def revisions(self, release, namespace):
        """Revision and status, oldest first."""
        listed = json.loads(self.helm("history", release, "--namespace", namespace, "--output", "json"))
        return [(entry["revision"], entry["status"]) for entry in listed]


def values(folder, name="own.yaml", **more):
    """A values file; JSON is YAML."""
    file = folder / name
    file.write_text(json.dumps(more or SMALL))
    return file


ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:3000/model').read().decode())"


def served(release, namespace):
    """GET /model, asked inside each pod that is not ending, past any NetworkPolicy; all must say the same."""
    answers = []
    for pod in pods(release, namespace):
        if not pod.metadata.deletion_timestamp:
            asked = stream(
                client.CoreV1Api().connect_get_namespaced_pod_exec,
                pod.metadata.name, namespace, command=["python", "-c", ASK], stdout=True, stderr=True,
                _preload_content=False,
            )  # fmt: skip
            asked.run_forever(timeout=30)
            answers.append(json.loads(asked.read_stdout()))
    assert answers, f"{release} has no pod"
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def pods(release, namespace):
    """The release's pods, those that end included."""
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=online"
    return client.CoreV1Api().list_namespaced_pod(namespace, label_selector=selector).items


def settled(release, namespace):
    """Wait until no pod of the release is ending."""

    def probe():
        ending = [pod.metadata.name for pod in pods(release, namespace) if pod.metadata.deletion_timestamp]
        return not ending, ending

    kube.wait(f"no pod of {release} is ending", probe, seconds=60)
