"""Settings of the local cluster: read from the environment once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from k8s.kind.errors import ClusterError

ROOT = Path(__file__).parents[2]
NODE_PORTS = {"gateway": 30080, "mlflow": 30500, "kafka": 30092, "postgres": 30432}
"""The NodePort behind each port on 127.0.0.1; charts/platform gives its Services these."""
PORTS = {"gateway": 8080, "mlflow": 5000, "kafka": 9092, "postgres": 5432}
REGISTRY_PORT = 5001
STOCK_IMAGE = "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"
"""The Kubernetes of the offline way, as nearly as kind publishes it; the digest is from the source of kind 0.32."""
LONGEST_SOCKET = 100
"""A socket's path takes 107 bytes on Linux."""


@dataclass(frozen=True)
class Settings:
    """What a user can choose, by environment variables."""

    name: str
    context: str | None
    nodes: int
    node_image: str
    ports: Mapping[str, int]
    cache: Path
    registry_port: int = REGISTRY_PORT

    @property
    def folder(self) -> Path:
        """What is kept of this one cluster."""
        return self.cache / "clusters" / self.name

    @property
    def kubeconfig(self) -> Path:
        """Where the cluster's kubeconfig is written; the user's own is never touched."""
        return self.folder / "kubeconfig"

    @property
    def bin(self) -> Path:
        """The folder of links that `make env` puts first on PATH."""
        return self.cache / "bin"

    @property
    def socket(self) -> Path:
        """The socket of the Docker that is started where none runs."""
        return self.cache / "docker" / "docker.sock"


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read TRIFOLD_CLUSTER, _CONTEXT, _NODES, _CACHE and _<NAME>_PORT.

    Raises:
        ClusterError: A value is not what its variable takes.
    """
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trifold"
    cache = Path(environment.get("TRIFOLD_CACHE") or cache).absolute()
    if len(str(cache / "docker" / "docker.sock")) > LONGEST_SOCKET:
        raise ClusterError(
            f"The cache folder's path is too long for a socket: set TRIFOLD_CACHE to a shorter one ({cache})."
        )
    ports = {name: _number(environment, f"TRIFOLD_{name.upper()}_PORT", port, 65535) for name, port in PORTS.items()}
    shared = {port for port in ports.values() if list(ports.values()).count(port) > 1}
    if shared:
        raise ClusterError(f"Two of the ports are the same ({shared.pop()}): {_said(ports)}.")
    name = environment.get("TRIFOLD_CLUSTER") or "trifold"
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", name):
        raise ClusterError(f"TRIFOLD_CLUSTER is {name!r}: give at most 32 of a-z, 0-9 and -.")
    return Settings(
        name=name,
        context=environment.get("TRIFOLD_CONTEXT") or None,
        node_image=environment.get("TRIFOLD_NODE_IMAGE") or STOCK_IMAGE,
        nodes=_number(environment, "TRIFOLD_NODES", 1, 9),
        ports=ports,
        cache=cache,
        registry_port=_number(environment, "TRIFOLD_REGISTRY_PORT", REGISTRY_PORT, 65535),
    )


def _number(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise ClusterError(f"{name} is {text!r}: give a whole number from 1 to {most}.")
    return int(text)


def _said(ports: Mapping[str, int]) -> str:
    return ", ".join(f"TRIFOLD_{name.upper()}_PORT={port}" for name, port in ports.items())
