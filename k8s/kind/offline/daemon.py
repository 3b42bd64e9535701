"""Daemon: a dockerd of our own, where none runs, with its socket and its data in the cache folder."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from k8s.kind import machine
from k8s.kind.errors import ClusterError
from k8s.kind.settings import Settings

DOCKERD = Path("/usr/sbin/dockerd")
START_SECONDS = 60
STOP_SECONDS = 30
WRAPPER = Path(__file__).parent / "node/files/usr/local/sbin/runc-without-sys-resource"
PACKAGES = ("docker.io", "containerd", "runc", "iptables", "iproute2", "jq")


def client() -> Path:
    """The docker program that belongs to the daemon: the package's, not one that a PATH may name first."""
    return Path("/usr/bin/docker")


def is_installed() -> bool:
    """Whether there is a dockerd to start."""
    return DOCKERD.exists()


def has_data(settings: Settings) -> bool:
    """Whether our daemon ran here before."""
    return (settings.socket.parent / "data").exists()


def runs(settings: Settings) -> bool:
    """Whether our daemon answers."""
    if not settings.socket.exists():
        return False
    argv = [str(client()), "--host", f"unix://{settings.socket}", "version"]
    try:
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def start(settings: Settings) -> None:
    """Start the daemon, unless it runs; it outlives this process.

    Raises:
        ClusterError: It did not answer in time; the message has its last lines.
    """
    if runs(settings):
        return
    stop(settings)
    folder = settings.socket.parent
    folder.mkdir(parents=True, exist_ok=True)
    # Left by a daemon that was killed, or lost its power: its pid may be somebody else's by now.
    for stale in (folder / "pid", folder / "run/containerd/containerd.pid"):
        stale.unlink(missing_ok=True)
    (folder / "daemon.json").write_text(json.dumps(_config(folder), indent=1))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [DOCKERD, "--config-file", folder / "daemon.json"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ends = time.monotonic() + START_SECONDS
    while not runs(settings):
        if process.poll() is not None or time.monotonic() > ends:
            last = "\n".join((folder / "log").read_text().splitlines()[-8:])
            stop(settings)
            raise ClusterError(f"dockerd did not start; its log is {folder / 'log'}. Its last lines:\n{last}")
        time.sleep(0.2)


def stop(settings: Settings) -> None:
    """Stop our daemon, and only ours: the pid in its file must be a dockerd with our configuration."""
    folder = settings.socket.parent
    pid = _pid(folder)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    ends = time.monotonic() + STOP_SECONDS
    while _pid(folder) is not None:
        if time.monotonic() > ends:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def remove(settings: Settings) -> None:
    """Stop the daemon and delete its images and containers."""
    stop(settings)
    folder = settings.socket.parent
    for line in Path("/proc/self/mounts").read_text().splitlines():
        where = line.split()[1]
        if where.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", where], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _config(folder: Path) -> dict[str, object]:
    config: dict[str, object] = {
        "hosts": [f"unix://{folder / 'docker.sock'}"],
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "run"),
        "pidfile": str(folder / "pid"),
        "mtu": machine.mtu(),
    }
    if machine.lacks_sys_resource():
        wrapper = folder / "runc-without-sys-resource"
        shutil.copyfile(WRAPPER, wrapper)
        wrapper.chmod(0o755)
        config |= {"default-runtime": "wrapped", "runtimes": {"wrapped": {"path": str(wrapper)}}}
    return config


def _pid(folder: Path) -> int | None:
    try:
        pid = int((folder / "pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return pid if str(folder / "daemon.json").encode() in arguments and state != "Z" else None
