"""A second cluster, of two nodes, beside the session's: made after a kill, used, taken down again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from kubernetes import client, config

from k8s.kind.settings import PORTS, read
from tests.cluster import kube

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
NAME = "trifold-two"
ROOT = Path(__file__).resolve().parents[2]


def free_ports():
    """As many ports of 127.0.0.1 as a cluster reserves."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def names_of_nodes(cluster):
    """The containers of the second cluster."""
    argv = ["docker", "ps", "--all", "--filter", f"label=io.x-k8s.kind.cluster={NAME}", "--format", "{{.Names}}"]
    environment = {**os.environ, **cluster.environment}
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=environment).stdout.split()


@pytest.fixture(scope="module")
def settings(cluster):
    """The environment that asks for the second cluster; it is taken down whatever happens."""
    if os.environ.get("TRIFOLD_CONTEXT"):
        pytest.skip("the cluster is the user's own")
    chosen = {f"TRIFOLD_{name.upper()}_PORT": str(port) for name, port in zip(PORTS, free_ports(), strict=True)}
    variables = {"TRIFOLD_CLUSTER": NAME, "TRIFOLD_NODES": "2", **chosen}
    cluster.run("down", **variables)
    yield variables
    cluster.run("down", **variables)
    assert names_of_nodes(cluster) == []


@pytest.fixture(scope="module")
def two(cluster, python_image, settings):
    """The second cluster: killed (-9) in the middle of its creation, then asked for again; what the second run said."""
    argv = [sys.executable, "-m", "k8s.kind", "up"]
    killed = subprocess.Popen(
        argv, cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.DEVNULL, start_new_session=True
    )
    kube.wait("the first run creates nodes", lambda: (len(names_of_nodes(cluster)) == 2, killed.poll()))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    said = cluster.run("up", **settings)
    cluster.run("load", kube.PYTHON, **settings)
    return said


@pytest.fixture
def api(two, settings):
    """The Kubernetes client set to the second cluster; back to the session's afterwards."""
    before = client.Configuration.get_default_copy()
    config.load_kube_config(str(read({**os.environ, **settings}).kubeconfig))
    yield
    client.Configuration.set_default(before)


def test_a_half_made_cluster_is_made_anew(two, cluster):
    """What a killed run left behind is said, removed and replaced, without a hand."""
    assert "was left half made" in two
    assert len(names_of_nodes(cluster)) == 2


def test_pods_of_two_nodes_reach_each_other(api):
    """By pod address, by Service and by name, in both directions."""
    nodes = [node.metadata.name for node in client.CoreV1Api().list_node().items]
    assert len(nodes) == 2
    for there, here in (nodes, nodes[::-1]):
        server = f"server-{there}"[:40]
        kube.start("default", kube.pod(server, kube.SERVER, node=there))
        address = client.CoreV1Api().read_namespaced_pod(server, "default").status.pod_ip
        kube.service("default", server)
        kube.serves("default", server)
        for number, host in enumerate((address, f"{server}.default.svc.cluster.local")):
            said = kube.fetch("default", f"http://{host}:{kube.PORT}/", name=f"client-{number}-{here}"[:50], node=here)
            assert said == "200", (there, here, host)


def test_other_ports_or_nodes_than_the_running_clusters_are_refused(two, cluster, settings):
    """A running cluster is never replaced because a variable changed."""
    with pytest.raises(AssertionError, match=r"other ports or nodes .*make down"):
        cluster.run("up", **{**settings, "TRIFOLD_NODES": "1"})
    assert len(names_of_nodes(cluster)) == 2


def test_a_node_that_was_stopped_is_started_again(two, cluster, settings):
    """After a restart of the machine or of Docker, `make cluster` brings the same cluster back."""
    state = read({**os.environ, **settings}).folder / "state.json"
    before = json.loads(state.read_text())["ids"]
    environment = {**os.environ, **cluster.environment}
    subprocess.run(["docker", "kill", *names_of_nodes(cluster)], check=True, capture_output=True, env=environment)
    began = time.time()
    said = cluster.run("up", **settings)
    assert json.loads(state.read_text())["ids"] == before
    assert state.stat().st_mtime > began
    assert "made anew" not in said


@pytest.fixture
def as_a_context(two, settings):
    """The second cluster as one that somebody has: named by its kube context, with a MLflow of theirs in it."""
    kubeconfig = str(read({**os.environ, **settings}).kubeconfig)
    return {
        **settings,
        "TRIFOLD_CLUSTER": f"{NAME}-context",
        "TRIFOLD_CONTEXT": f"kind-{NAME}",
        "KUBECONFIG": kubeconfig,
    }


def test_a_named_context_gets_namespaces_and_forwards_that_down_takes_away(api, cluster, as_a_context):
    """Ports lead to the Services that are there; `down` ends the forwards and deletes what carries our label only."""
    port = free_ports()[0]
    variables = {**as_a_context, "TRIFOLD_MLFLOW_PORT": str(port)}
    assert "namespaces  platform and models" in cluster.run("up", **variables)
    core = client.CoreV1Api()
    core.create_namespace({"metadata": {"name": "theirs"}})
    kube.start("platform", kube.pod("mlflow", kube.SERVER))
    spec = {"selector": {"app": "mlflow"}, "ports": [{"port": 5000, "targetPort": kube.PORT}]}
    core.create_namespaced_service("platform", {"metadata": {"name": "mlflow"}, "spec": spec})
    assert f"mlflow {port}" in cluster.run("up", **variables)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname", timeout=10) as answer:
        assert answer.read().decode().strip() == "mlflow"
    cluster.run("down", **variables)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    left = {found.metadata.name for found in core.list_namespace().items}
    assert "theirs" in left
    assert not {"platform", "models"} & left


def test_a_namespace_of_somebody_else_is_left_alone(api, cluster, as_a_context):
    """Pod Security and policies are not put on pods that were there before us."""
    cluster.run("up", **as_a_context)
    core = client.CoreV1Api()
    label = {"app.kubernetes.io/part-of": None}
    core.patch_namespace("models", {"metadata": {"labels": label}})
    with pytest.raises(AssertionError, match="Namespace models is there and not ours"):
        cluster.run("up", **as_a_context)
    core.patch_namespace("models", {"metadata": {"labels": {"app.kubernetes.io/part-of": "trifold"}}})


def test_a_context_that_does_not_answer_is_said(cluster):
    """The name that was given stands in the error."""
    with pytest.raises(AssertionError, match=r"Context no-such: .*does not exist"):
        cluster.run("up", TRIFOLD_CONTEXT="no-such")
