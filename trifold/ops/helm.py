"""Helm: the commands that deploy a release, and what Helm says of it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trifold.errors import DeployError
from trifold.ops.home import ROOT

CHART = ROOT / "charts" / "model-serving"
NOISE = re.compile(r"^Error: |(?:INSTALLATION|UPGRADE) FAILED: |execution error at \([^)]*\): ")


@dataclass(frozen=True)
class Target:
    """Where a release is.

    Attributes:
        release: Its name.
        namespace: Its namespace.
        context: The kube context; None: the current one.
    """

    release: str
    namespace: str
    context: str | None = None

    def command(self, verb: str, *arguments: str) -> list[str]:
        """A Helm command on this release."""
        where = ["--namespace", self.namespace, *(["--kube-context", self.context] if self.context else [])]
        return ["helm", verb, self.release, *arguments, *where]

    def upgrade(self, values: Sequence[Path], seconds: int) -> list[str]:
        """Install or upgrade, and wait until all pods are ready."""
        files = [word for file in values for word in ("--values", str(file))]
        wait = ["--wait", "--timeout", f"{seconds}s"]
        return self.command("upgrade", str(CHART), "--install", *files, *wait)

    def uninstall(self, seconds: int) -> list[str]:
        """Remove the release, and wait until its objects are gone."""
        return self.command("uninstall", "--wait", "--timeout", f"{seconds}s")

    def test(self, seconds: int) -> list[str]:
        """Make a real prediction and compare it."""
        return self.command("test", "--logs", "--timeout", f"{seconds}s")


def run(command: Sequence[str]) -> str:
    """Run Helm; gives what it printed.

    Raises:
        DeployError: It failed; the message is the sentence that Helm gave.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(sentence(done.stderr or done.stdout))
    return done.stdout


def require() -> None:
    """Make sure that there is a Helm.

    Raises:
        DeployError: It is not on PATH.
    """
    if not shutil.which("helm"):
        raise DeployError('helm is not on PATH: install Helm 3 or 4; after `make cluster`: eval "$(make -s env)".')


def history(target: Target) -> list[dict[str, Any]]:
    """The release's revisions, oldest first; none if there is no such release.

    Raises:
        DeployError: Helm is not there, or the cluster does not answer.
    """
    require()
    try:
        return list(json.loads(run(target.command("history", "--output", "json"))))
    except DeployError as error:
        if "not found" in str(error):
            return []
        raise


def sentence(said: str) -> str:
    """What Helm complains of, without its prefixes."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("level=", "I", "W"))]
    start = next((number for number, line in enumerate(lines) if line.startswith("Error")), 0)
    words = " ".join(lines[start:]) or "Helm failed and said nothing."
    while NOISE.search(words):
        words = NOISE.sub("", words, count=1).strip()
    return words[:600]


def context() -> str | None:
    """The kube context that TRIFOLD_CONTEXT names; None: the current one."""
    return os.environ.get("TRIFOLD_CONTEXT") or None
