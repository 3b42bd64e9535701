"""How a measured process talks to benchmarks/processes.py: it is ready, waits, works, says what it took."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = [f"x{number}" for number in range(20)]


def measured(work: Callable[[], dict[str, Any] | None]) -> None:
    """Do the work when told to; whatever was imported and loaded before costs nothing."""
    _say({})
    sys.stdin.readline()
    began = time.perf_counter()
    said = work() or {}
    _say({"seconds": time.perf_counter() - began, "peak": peak(), **said})
    sys.stdin.readline()


def peak() -> int:
    """Bytes of memory that this process had at most.

    Not getrusage's, which begins with what the process had that started this one.
    """
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _say(document: dict[str, Any]) -> None:
    print("bench: " + json.dumps(document), flush=True)
