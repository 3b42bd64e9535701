"""Docker: is one running, can it pull; and which of the three ways to a cluster follows from that."""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from enum import Enum
from queue import Empty, Queue

from k8s.kind.errors import ClusterError

DAEMON_SECONDS = 10
PULL_SECONDS = 20
"""How long a registry may take to its first word; the image itself may take as long as it needs."""
LAST = 200


class Daemon(Enum):
    """What `docker version` says."""

    RUNS = "runs"
    ABSENT = "no docker program"
    DOWN = "the Docker daemon does not run"
    FORBIDDEN = "you may not use the Docker daemon"


class Pull(Enum):
    """What came of pulling the stock node image."""

    HAS = "the image is there"
    SILENT = "no registry answered in time"
    REFUSED = "the registry, or the way to it, refused"
    FULL = "the disk is full"
    UNASKED = "no registry was asked"


class Way(Enum):
    """The ways to a cluster, in the order in which they are taken."""

    CONTEXT = "context"
    STOCK = "stock"
    OFFLINE = "offline"


@dataclass(frozen=True)
class Machine:
    """What the choice depends on."""

    context: str | None
    daemon: Daemon
    pull: Pull
    root: bool
    debian: bool
    cgroup: int = 2


def choose(machine: Machine) -> Way:
    """The way to a cluster on this machine.

    Raises:
        ClusterError: No way is open; the message says what would open one.
    """
    if machine.context:
        return Way.CONTEXT
    if machine.daemon is Daemon.FORBIDDEN:
        raise ClusterError(
            "Docker runs, but you may not use it: join its group (sudo usermod -aG docker $USER, then log in again)."
        )
    if machine.daemon is not Daemon.RUNS and not machine.root:
        raise ClusterError(
            "No Docker runs and you are not root, who could start one: start Docker (https://docs.docker.com/engine/install),"
            " or name a cluster that you have with TRIFOLD_CONTEXT."
        )
    if machine.pull is Pull.FULL:
        raise ClusterError("Docker's disk is full: make room (docker system prune), then run this again.")
    if machine.daemon is Daemon.RUNS and machine.pull is Pull.HAS and machine.cgroup == 2:
        return Way.STOCK
    if not machine.debian:
        raise ClusterError(
            f"The stock node image is of no use here ({why_not(machine)}); one from packages takes Debian or Ubuntu:"
            " let Docker reach a registry, or name a cluster that you have with TRIFOLD_CONTEXT."
        )
    return Way.OFFLINE


def why_not(machine: Machine) -> str:
    """What keeps the stock node image from being used."""
    if machine.daemon is not Daemon.RUNS:
        return str(machine.daemon.value)
    return "cgroup v1, on which its systemd does not start" if machine.cgroup == 1 else str(machine.pull.value)


def daemon_state(code: int | None, said: str) -> Daemon:
    """Read what `docker version` said; `code` is None where it said nothing in time."""
    if code == 0:
        return Daemon.RUNS
    if "permission denied" in said.lower():
        return Daemon.FORBIDDEN
    return Daemon.DOWN


def pull_state(code: int | None, said: str) -> Pull:
    """Read what `docker pull` said; `code` is None where its first word did not come in time."""
    if code == 0:
        return Pull.HAS
    if "no space left on device" in said:
        return Pull.FULL
    return Pull.SILENT if code is None else Pull.REFUSED


def ask_daemon() -> Daemon:
    """Ask the Docker that this shell would use."""
    if not shutil.which("docker"):
        return Daemon.ABSENT
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DAEMON_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return daemon_state(None, "")
    return daemon_state(done.returncode, done.stderr)


def ask_registry(image: str) -> tuple[Pull, str]:
    """Pull an image if it is not there; give up if the registry's first word does not come in time."""
    if has_image(image):
        return Pull.HAS, ""
    process = subprocess.Popen(["docker", "pull", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: Queue[str | None] = Queue()
    threading.Thread(target=_feed, args=(process, lines), daemon=True).start()
    said: list[str] = []
    try:
        first = lines.get(timeout=PULL_SECONDS)
    except Empty:
        process.terminate()
        process.wait()
        return pull_state(None, ""), f"no word in {PULL_SECONDS} s"
    while first is not None:
        said.append(first)
        first = lines.get()
    state = pull_state(process.wait(), "".join(said))
    return state, "" if state is Pull.HAS else said[-1].strip()[-LAST:] if said else ""


def has_image(image: str) -> bool:
    """Whether Docker has an image of this name."""
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def is_root() -> bool:
    """Whether this process may start a daemon and install packages."""
    return os.geteuid() == 0


def _feed(process: "subprocess.Popen[str]", lines: "Queue[str | None]") -> None:
    assert process.stdout
    for line in process.stdout:
        lines.put(line)
    lines.put(None)
