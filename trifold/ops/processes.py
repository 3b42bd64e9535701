"""Processes in a model's own environment: started early, asked, given up in time, and told how they ended."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from trifold.ops.home import ROOT, home

SECONDS = 300
"""After which a model that is tried is given up."""
LONGEST = 300
"""Characters that are repeated of what a process said."""
NO_LIMITS = {name: str(2**40) for name in ("TRIFOLD_MAX_ROWS", "TRIFOLD_MAX_BODY_BYTES", "TRIFOLD_MAX_HELD_BYTES")}
"""An example may be larger than a request."""


def start(python: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python; it waits for its standard input."""
    # What Python compiles is kept, but not beside a model's own code: that would change the artifact's digest.
    command = [str(python), "-X", f"pycache_prefix={home() / 'pycache'}", *arguments]
    unwanted = ("TRIFOLD_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environment |= {"BENTOML_HOME": str(home() / "bentoml"), "BENTOML_DO_NOT_TRACK": "True", **NO_LIMITS}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Give a process its input and wait for its end."""
    try:
        said, errors = process.communicate(given, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        end(process)
        return subprocess.CompletedProcess(process.args, 1, "", f"it took more than {SECONDS} s")
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def end(process: subprocess.Popen[str]) -> None:
    """End a process that is of no use any more."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def documents(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The lines of JSON objects that a process printed; a model's own code may print others between them."""
    return [found for line in done.stdout.splitlines() if (found := _object(line)) is not None]


def ending(done: subprocess.CompletedProcess[str]) -> str:
    """How a process ended that did not say what it was asked for."""
    if done.returncode < 0:
        name = _signal(-done.returncode)
        return f"{name}, as when memory runs out" if -done.returncode == signal.SIGKILL else f"{name}, a crash"
    return _last_line(done.stderr) or f"exit code {done.returncode}"


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:LONGEST]
