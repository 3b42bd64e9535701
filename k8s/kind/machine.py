"""Machine: what stands in the way of a cluster here, said before anything is made."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from k8s.kind.errors import ClusterError

DISK_BYTES = 15_000_000_000
SYS_RESOURCE = 24
"""The bit of CAP_SYS_RESOURCE in a capability set (capabilities(7))."""


def require_disk(folder: Path) -> None:
    """Refuse a disk with too little room for images and caches.

    Raises:
        ClusterError: Less than 15 GB are free.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < DISK_BYTES:
        raise ClusterError(
            f"{free / 1e9:.1f} GB are free under {there} and {DISK_BYTES / 1e9:.0f} GB are needed:"
            " make room, or set TRIFOLD_CACHE to a folder on another disk."
        )


def require_ports(ports: Mapping[str, int]) -> None:
    """Refuse ports of 127.0.0.1 that something listens on already.

    Raises:
        ClusterError: The message names each and the variable that chooses another.
    """
    taken = {name: port for name, port in ports.items() if _is_taken(port)}
    if taken:
        said = ", ".join(
            f"{port} ({name}; TRIFOLD_{name.upper()}_PORT chooses another)" for name, port in taken.items()
        )
        raise ClusterError(f"Taken already on 127.0.0.1: {said}. Nothing was made.")


def cgroup_version(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """2 where the machine has the unified hierarchy, else 1."""
    return 2 if (folder / "cgroup.controllers").exists() else 1


def lacks_sys_resource(status: Path = Path("/proc/self/status")) -> bool:
    """Whether no process here can have CAP_SYS_RESOURCE, which a privileged container asks for."""
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> SYS_RESOURCE & 1
    return False


def mtu(folder: Path = Path("/sys/class/net"), route: Path = Path("/proc/net/route")) -> int:
    """The largest packet in bytes of the network card that the default route goes through; 1500 where none does."""
    for line in route.read_text().splitlines()[1:] if route.exists() else ():
        card, destination, *_ = line.split()
        if destination == "00000000":
            return int((folder / card / "mtu").read_text())
    return 1500


def is_debian(release: Path = Path("/etc/os-release")) -> bool:
    """Whether packages come from apt."""
    return bool(shutil.which("apt-get")) and "debian" in (release.read_text() if release.exists() else "")


def proxy_hint(environment: Mapping[str, str] = os.environ) -> str | None:
    """What to say where a proxy would be asked for 127.0.0.1 as well."""
    proxy = next((name for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY") if environment.get(name)), None)
    passed = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    if not proxy or "127.0.0.1" in passed or passed.strip() == "*":
        return None
    return f"{proxy} is set: add 127.0.0.1,localhost to NO_PROXY, or requests to the cluster's ports go to the proxy."


def mtu_hint(docker_mtu: int, card_mtu: int) -> str | None:
    """What to say where Docker sends larger packets than the network takes."""
    if docker_mtu <= card_mtu:
        return None
    return (
        f"Docker's networks have MTU {docker_mtu} and the network card {card_mtu}: downloads in pods may hang;"
        f' set "mtu": {card_mtu} in /etc/docker/daemon.json and restart Docker.'
    )


def docker_mtu() -> int:
    """The MTU of Docker's default network, which kind takes for its own."""
    argv = ["docker", "network", "inspect", "bridge", "-f", '{{index .Options "com.docker.network.driver.mtu"}}']
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    return int(said) if said.isdigit() else 1500


def _is_taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise ClusterError(f"Port {port} is for root only: choose one from 1024 on.") from error
        except OSError:
            return True
    return False
