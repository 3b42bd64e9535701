"""`make up`: what a newcomer runs, from the cluster to an answer through the gateway; and again."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]


def up(cluster):
    """Run what `make up` runs, as a user does; gives what it printed and its seconds."""
    keep = ("HOME", "PATH", "LANG")
    given = {
        name: value
        for name, value in os.environ.items()
        if name in keep or (name.startswith(("PIP_", "SSL_", "UV_", "TRIFOLD_")) and name != "TRIFOLD_HOME")
    }
    began = time.monotonic()
    done = subprocess.run([ROOT / "tools/up"], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, time.monotonic() - began


@pytest.fixture(scope="module")
def said(cluster):
    """What the first run printed."""
    return up(cluster)[0]


def ask(url, document=None):
    """Status and decoded answer."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own cluster
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_printed_line_is_answered(said):
    """The first thing that a newcomer does with it."""
    line = next(line for line in said.splitlines() if line.startswith("curl "))
    done = subprocess.run(["sh", "-c", line.replace("curl", "curl -s", 1)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["predictions"] in (["No"], ["Yes"])


def test_good_and_bad_rows_through_the_gateway(said):
    """The model's own example is answered, and what does not fit is refused with row and column."""
    (url,) = re.findall(r"^ +models +(\S+)/$", said, re.MULTILINE)
    status, model = ask(f"{url}/model")
    assert (status, model["name"]) == (200, "churn")
    rows = model["input_example"]
    status, answer = ask(f"{url}/predict", {"rows": rows})
    assert (status, answer["version"], len(answer["predictions"])) == (200, model["version"], len(rows))
    status, answer = ask(f"{url}/predict", {"rows": [rows[0], {**rows[0], "tenure": "many"}]})
    assert status == 422
    assert answer["errors"][0].items() >= {"row": 1, "column": "tenure", "rule": "type"}.items()
    assert ask(f"{url}/metrics")[0] == 404


def test_a_second_run_changes_no_pod(said, cluster):
    """`make up` again is the way back after whatever went wrong, so it must be quick and touch nothing that is well."""
    from kubernetes import client

    def templates():
        """Which revision of which template the pods are of; how many there are, an autoscaler decides."""
        found = client.CoreV1Api().list_pod_for_all_namespaces(label_selector="app.kubernetes.io/part-of=trifold").items
        names = ("pod-template-hash", "controller-revision-hash")
        return {
            (pod.metadata.namespace, pod.metadata.labels["app.kubernetes.io/component"], pod.metadata.labels.get(name))
            for pod in found
            for name in names
            if pod.metadata.labels["app.kubernetes.io/instance"] in ("platform", "churn")
            and pod.metadata.namespace in ("platform", "models")
            and pod.metadata.labels.get(name)
            and not pod.metadata.deletion_timestamp
        }

    before = templates()
    again, seconds = up(cluster)
    print(f"again: {seconds:.0f} s")
    assert "there already" in again
    assert templates() == before
