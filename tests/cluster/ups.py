"""`make up` and `make taxi` for the tests that use what it leaves: one at a time, however many workers want it."""

import fcntl
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def up(cluster, program="up"):
    """Run what `make up` runs, or `make taxi`, as a user does; gives what it printed and its seconds."""
    keep = ("HOME", "PATH", "LANG")
    given = {
        name: value
        for name, value in os.environ.items()
        if name in keep or (name.startswith(("PIP_", "SSL_", "UV_", "TRIFOLD_")) and name != "TRIFOLD_HOME")
    }
    folder = ROOT / ".trifold"
    folder.mkdir(exist_ok=True)
    with (folder / "up.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        done = subprocess.run([ROOT / "tools" / program], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, time.monotonic() - began
