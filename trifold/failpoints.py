"""Failpoints: places at which a test kills the process, to prove that it may die anywhere.

TRIFOLD_FAILPOINT=NAME or NAME@N kills it by SIGKILL the first or Nth time that NAME is reached; NAME@N:stop stops it by
SIGSTOP instead, so that the test can take something away from under it. Without the variable they do nothing.
"""

import os
import re
import signal
import sys
from collections import Counter

NAMES = (
    "started",
    "locked",
    "frozen",
    "freeze-committed",
    "shard-locked",
    "chunk-read",
    "chunk-predicted",
    "chunk-written",
    "shard-written",
    "shard-recorded",
    "before-commit",
    "after-commit",
    "before-report",
    "report-rendered",
    "report-kept",
    "before-retention",
)
"""Every failpoint, in the order in which a run meets them."""

_asked = re.fullmatch(r"([a-z-]+)(?:@(\d+))?(:stop)?", os.environ.get("TRIFOLD_FAILPOINT", ""))
_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Die or stop here if a test asked for it."""
    if not _asked or name != _asked[1]:
        return
    _reached[name] += 1
    if _reached[name] == int(_asked[2] or 1):
        print(f"failpoint {name} reached", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP if _asked[3] else signal.SIGKILL)
