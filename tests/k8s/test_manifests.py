"""What is applied to every cluster, and the Dockerfiles of our images, by property."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from k8s.kind import images, state
from k8s.kind.settings import NODE_PORTS, read

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = sorted((ROOT / "k8s/namespaces").glob("*.yaml"))


@pytest.mark.parametrize("path", NAMESPACES, ids=lambda path: path.stem)
def test_a_namespace_enforces_restricted_and_denies_by_default(path):
    """What stands in the file is what the namespace does: named as the file, locked, and ours by label."""
    namespace, deny, dns = yaml.safe_load_all(path.read_text())
    assert namespace["metadata"]["name"] == path.stem
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {port["port"] for rule in dns["spec"]["egress"] for port in rule["ports"]} == {53}
    for item in (namespace, deny, dns):
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "trifold"
        assert item["metadata"].get("namespace", path.stem) == path.stem


def test_there_are_two_namespaces():
    """Those that interfaces.md names."""
    assert [path.stem for path in NAMESPACES] == ["models", "platform"]


@pytest.mark.parametrize("nodes", ["1", "3"])
def test_kinds_configuration_binds_loopback_only(nodes, tmp_path):
    """No port of a laptop's cluster is open to the network it is in."""
    config = state.kind_config(read({"TRIFOLD_NODES": nodes, "TRIFOLD_CACHE": str(tmp_path)}), own_network=False)
    first, *others = config["nodes"]
    assert {port["listenAddress"] for port in first["extraPortMappings"]} == {"127.0.0.1"}
    assert {port["containerPort"] for port in first["extraPortMappings"]} == set(NODE_PORTS.values())
    assert others == [{"role": "worker"}] * (int(nodes) - 1)
    assert json.loads(json.dumps(config)) == config


def test_containerd_reads_how_registries_are_reached(tmp_path):
    """Nodes pull by digest from the registry beside them, without a restart of containerd."""
    config = state.kind_config(read({"TRIFOLD_CACHE": str(tmp_path)}), own_network=True)
    (patch,) = map(tomllib.loads, config["containerdConfigPatches"])
    assert patch["plugins"]["io.containerd.grpc.v1.cri"]["registry"]["config_path"] == state.HOSTS


@pytest.mark.parametrize("name", images.names())
def test_an_image_takes_its_base_as_an_argument_and_runs_without_root(name):
    """So that one Dockerfile serves machines with a registry and without."""
    text = (ROOT / "k8s/images" / name / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=\S+\nFROM \$\{BASE\}( AS \w+)?$", text, re.MULTILINE)
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "1034"
    assert "latest" not in text


def test_bases_come_before_what_stands_on_them():
    """`k8s.kind build` without names builds in this order."""
    assert images.names().index("python") < images.names().index("mlflow")


def test_mlflows_image_holds_the_mlflow_that_the_tests_use():
    """One version of the registry, here and there."""
    locks = [(ROOT / path).read_text() for path in ("requirements/dev.lock", "k8s/images/mlflow/requirements.txt")]
    ours, image = (re.search(r"^mlflow==(\S+)", lock, re.MULTILINE).group(1) for lock in locks)
    assert ours == image
