"""State: what was asked of the cluster and how far its making came, in a file that is replaced whole."""

import hashlib
import json
from typing import Any

from k8s.kind import machine
from k8s.kind.settings import NODE_PORTS, ROOT, Settings

MANIFESTS = (ROOT / "k8s/namespaces", ROOT / "k8s/kind/metrics-server.yaml")
"""What is applied to a new cluster."""


HOSTS = "/etc/containerd/certs.d"
HOSTS_PATCH = f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{HOSTS}"\n'
"""Lets containerd read, without a restart, how a registry is reached (registry.connect)."""


def read(settings: Settings) -> dict[str, Any]:
    """`way` is written before kind is called, `ids` and `chosen` after it, `finished` at the end; {} before all."""
    file = settings.folder / "state.json"
    return json.loads(file.read_text()) if file.exists() else {}


def write(settings: Settings, **more: Any) -> None:
    """Add to the state."""
    part = settings.folder / "state.part"
    part.write_text(json.dumps({**read(settings), **more}))
    part.replace(settings.folder / "state.json")


def chosen(settings: Settings) -> dict[str, Any]:
    """What cannot be changed in a cluster that runs."""
    return {"nodes": settings.nodes, "ports": dict(settings.ports)}


def manifests_key() -> str:
    """A hash of what is applied, so that a change of it reaches a cluster that is there."""
    hashed = hashlib.sha256()
    for path in sorted(path for root in MANIFESTS for path in (root.iterdir() if root.is_dir() else [root])):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:12]


def kind_config(settings: Settings, *, own_network: bool) -> dict[str, Any]:
    """Kind's configuration; JSON is YAML (https://kind.sigs.k8s.io/docs/user/configuration)."""
    ports = [
        {"containerPort": NODE_PORTS[name], "hostPort": port, "listenAddress": "127.0.0.1"}
        for name, port in settings.ports.items()
    ]
    kubelet: dict[str, Any] = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        # An image that was loaded, and pulled as well under a registry's name, would be asked for at a registry again.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
    }
    if machine.cgroup_version() == 1:
        kubelet["failCgroupV1"] = False
    workers = [{"role": "worker"}] * (settings.nodes - 1)
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": own_network},
        "containerdConfigPatches": [HOSTS_PATCH],
        "kubeadmConfigPatches": [json.dumps(kubelet)],
        "nodes": [{"role": "control-plane", "extraPortMappings": ports}, *workers],
    }
