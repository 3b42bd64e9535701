"""Network of pods where kind's own is not to be had: a bridge in each node, and a route to each other node's pods."""

import json
import subprocess
import time
from collections.abc import Iterable
from typing import Any

from k8s.kind import machine
from k8s.kind.errors import ClusterError

PODS = "10.244.0.0/16"
WAIT_SECONDS = 60


def connect(names: Iterable[str]) -> None:
    """Give each node its network configuration, and the routes; the same again after a restart.

    Raises:
        ClusterError: Kubernetes gave a node no range, or a node does not refuse strangers.
    """
    nodes = _addresses(set(names))
    for name, (own, _) in nodes.items():
        _inside(name, "mkdir -p /etc/cni/net.d && cat >/etc/cni/net.d/10-bridge.conflist", json.dumps(_bridge(own)))
        for other, (pods, address) in nodes.items():
            if other != name:
                _inside(name, f"ip route replace {pods} via {address}")
        if _inside(name, "systemctl is-active refuse-strangers.service") != "active":
            raise ClusterError(f"Node {name} does not refuse packets to unknown Services: make down, then again.")


def _addresses(names: set[str]) -> dict[str, tuple[str, str]]:
    """Each node's range of pods and its own address, once all have both."""
    ends = time.monotonic() + WAIT_SECONDS
    while True:
        done = subprocess.run(["kubectl", "get", "nodes", "-o", "json"], capture_output=True, text=True, check=False)
        items = json.loads(done.stdout)["items"] if done.returncode == 0 else []
        nodes = {item["metadata"]["name"]: (item["spec"].get("podCIDR"), _address(item)) for item in items}
        if nodes.keys() == names and all(pods for pods, _ in nodes.values()):
            return nodes
        if time.monotonic() > ends:
            raise ClusterError(f"Nodes without a range of pods after {WAIT_SECONDS} s: {nodes or done.stderr.strip()}.")
        time.sleep(0.2)


def _address(item: dict[str, Any]) -> str:
    return str(next(found["address"] for found in item["status"]["addresses"] if found["type"] == "InternalIP"))


def _bridge(pods: str) -> dict[str, Any]:
    """The configuration of the bridge and portmap plugins (https://www.cni.dev/plugins/current/)."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": True,
        "mtu": machine.mtu(),
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return {
        "cniVersion": "1.0.0",
        "name": "trifold",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def _inside(node: str, command: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["docker", "exec", "-i", node, "sh", "-c", command], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode and not command.startswith("systemctl"):
        raise ClusterError(f"In node {node}, `{command}` failed: {done.stderr.strip()}.")
    return done.stdout.strip()
