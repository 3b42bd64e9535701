"""Run a process that says when it begins and ends, and what it and its database server took; from Linux's /proc."""

import json
import os
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
TICK = 1 / os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.1
MOST_SECONDS = 3600
SAID = "bench: "
"""What begins a line that is meant for us; batch_peers/worker.py prints them."""


@dataclass(frozen=True)
class Measured:
    """What a process took from the line that sent it off to the one that it ended with.

    Attributes:
        seconds: By its own clock.
        cpu: Processor seconds of it and its children.
        server_cpu: Processor seconds of the database server meanwhile.
        peak: Bytes of memory at most: its own since its start; of a tree, the sum of all, each shared page once.
        said: What else it said of itself.
    """

    seconds: float
    cpu: float
    server_cpu: float
    peak: int
    said: Mapping[str, Any]


class Failed(Exception):
    """A process ended, or did not end, without having done its work; what it printed last."""


def measure(command: Sequence[str], environment: Mapping[str, str], server: int, log: Path, tree: bool) -> Measured:
    """Start a process, send it off when it is ready, and see what it takes.

    Args:
        command: What starts it.
        environment: Its variables.
        server: Process id of the database server.
        log: Where its standard error goes.
        tree: Whether its children do the work, so that memory is that of them all, ten times a second.

    Raises:
        Failed: It did not do its work.
    """
    with _started(command, environment, log) as process:
        heard = _heard(process, log)
        next(heard)
        before, server_before = cpu(process.pid), cpu(server)
        with _watched(process.pid, tree) as peaks:
            process.stdin.write("go\n")
            process.stdin.flush()
            said = next(heard)
            server_after, after = cpu(server), cpu(process.pid)
    return Measured(
        said.pop("seconds"), after - before, server_after - server_before, max([said.pop("peak"), *peaks]), said
    )


def cpu(root: int) -> float:
    """Processor seconds of a process, its children, and those of them that have ended and were waited for."""
    total = 0
    for pid in family(root):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += sum(map(int, _fields(PROC / str(pid) / "stat")[11:15]))
    return total * TICK


def family(root: int) -> list[int]:
    """A process and all below it."""
    below = defaultdict(list)
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            below[int(_fields(stat)[1])].append(int(stat.parent.name))
    found = [root]
    for pid in found:  # it grows meanwhile
        found += below[pid]
    return found


def memory(root: int) -> int:
    """Bytes of a process and all below it; a page that several share counts as one (the kernel's PSS)."""
    total = 0
    for pid in family(root):
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _fields(stat: Path) -> list[str]:
    """State, parent and so on: what follows the name, which may hold blanks."""
    return stat.read_text().rpartition(")")[2].split()


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[str]"]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    late = threading.Timer(MOST_SECONDS, _kill, [process.pid])
    late.start()
    try:
        yield process
        process.stdin.close()  # it stays until then, so that its children can be counted
        process.wait()
    finally:
        late.cancel()
        if process.poll() is None:
            _kill(process.pid)
            process.wait()
        process.stdout.close()


def _heard(process: "subprocess.Popen[str]", log: Path) -> Iterator[dict[str, Any]]:
    for line in process.stdout:
        if line.startswith(SAID):
            yield json.loads(line.removeprefix(SAID))
    raise Failed(log.read_text()[-3000:])


@contextmanager
def _watched(root: int, tree: bool) -> Iterator[list[int]]:
    """Sizes of a process tree, as long as this lasts."""
    ended, sizes = threading.Event(), list[int]()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            sizes.append(memory(root))

    watcher = threading.Thread(target=watch)
    if tree:
        watcher.start()
    try:
        yield sizes
    finally:
        ended.set()
        if tree:
            watcher.join()


def _kill(root: int) -> None:
    """End a process that was started here, and all below it."""
    for pid in family(root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
