"""Kill the making of a cluster (-9) at every stage, run it again, and see that it ends well: `make prove-cluster`.

Starts from nothing: it deletes the cluster and its caches first. Every other kill takes the whole group of processes,
the rest only the program itself, so that what it had started must end, or at least do no harm. 15 minutes on 2 cores.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from k8s.kind import settings, state  # noqa: E402

COMMAND = [sys.executable, "-m", "k8s.kind"]
STAGES = (
    ("download", "list -deps ./kubernetes"),
    ("compile", "/compile -o"),
    ("compile", "/compile -o"),
    ("debian", "mmdebstrap --variant"),
    ("debian", "dpkg --status-fd"),
    ("link", "/link -o"),
    ("node image", "docker build"),
    ("node image", "kind build node-image"),
    ("create", "kind create cluster"),
    ("create", "kubeadm init"),
    ("create", "kubeadm init"),
    ("ready", "kubectl wait"),
    ("apply", "kubectl apply"),
)
LOADS = (("push", "docker push"), ("pull", "images pull"), ("pull", "images pull"))
POWER = ("power", "dockerd")
STAGE_SECONDS = 900


def main():
    """Run the campaign; 0 if every stage was hit and the cluster passes its tests at the end."""
    subprocess.run([*COMMAND, "clean"], cwd=ROOT, check=True)
    hits = [hit(stage, number, "up") for number, stage in enumerate(STAGES)]
    subprocess.run([*COMMAND, "up"], cwd=ROOT, check=True)
    image = f"trifold/prove-{secrets.token_hex(4)}:dev"
    subprocess.run([*COMMAND, "build", "python"], cwd=ROOT, check=True)
    docker(
        "build",
        "--tag",
        image,
        "-",
        given="FROM trifold/python:dev\nUSER 0\nRUN head -c 300000000 /dev/urandom >/big\n",
    )
    hits += [hit(stage, number, "load", image) for number, stage in enumerate(LOADS)]
    subprocess.run([*COMMAND, "load", image], cwd=ROOT, check=True)
    hits.append(power_cut())
    missed = [name for (name, _), was in zip((*STAGES, *LOADS, POWER), hits, strict=True) if not was]
    print(f"{sum(hits)} of {len(hits)} kills hit their stage; missed: {', '.join(missed) or 'none'}")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/cluster/test_cluster.py"], cwd=ROOT, check=False
    )
    return 1 if missed or tests.returncode else 0


def hit(stage, number, *command):
    """Start the command, wait until a process of the stage runs under it, kill; whether it came to that."""
    name, marker = stage
    began = time.monotonic()
    process = subprocess.Popen([*COMMAND, *command], cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    while not (found := running(process.pid, marker)):
        if process.poll() is not None or time.monotonic() - began > STAGE_SECONDS:
            print(f"  {name:<12} missed: the run ended with {process.poll()} before {marker!r}")
            return False
        time.sleep(0.01)
    time.sleep(secrets.randbelow(1500) / 1000)  # anywhere in the stage, not at its first instant
    whole = number % 2 == 0
    (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    how = "with all it started" if whole else "alone"
    print(f"  {name:<12} killed {how} at {time.monotonic() - began:6.1f} s: {found[:60]}", flush=True)
    return True


def power_cut():
    """Kill our Docker with all that runs in it, as when the machine loses power; the same nodes must come back."""
    folder = settings.read().socket.parent
    if not (folder / "pid").exists():
        print("  power        not tried: the Docker here is not ours to kill")
        return True
    before = state.read(settings.read())["ids"]
    victims = [pid for pid in processes() if str(folder) in command_of(pid) or in_one_of(before, pid)]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    subprocess.run([*COMMAND, "up"], cwd=ROOT, check=True)
    same = state.read(settings.read())["ids"] == before
    print(f"  power        {len(victims)} processes killed; the {'same' if same else 'NOT the same'} nodes came back")
    return same


def processes():
    """The pids of this machine."""
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def command_of(pid):
    """A process's command line, or "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def in_one_of(containers, pid):
    """Whether a process runs in one of these containers."""
    try:
        return any(container in Path(f"/proc/{pid}/cgroup").read_text() for container in containers)
    except OSError:
        return False


def running(session, marker):
    """The command line of a process of this session that holds the marker."""
    for pid in processes():
        command = command_of(pid)
        with suppress(ProcessLookupError):
            if marker in command and os.getsid(pid) == session:
                return command
    return ""


def docker(*arguments, given):
    """Run Docker as the cluster's environment has it."""
    script = 'eval "$("$0" -m k8s.kind env)" && exec docker "$@"'
    argv = ["sh", "-c", script, sys.executable, *arguments]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    subprocess.run(argv, cwd=ROOT, input=given, text=True, check=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())
