"""Deploy a release: upgrade, wait, test; whatever goes wrong, what served before serves on."""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trifold.errors import DeployError
from trifold.ops import helm, kube
from trifold.ops.helm import Target
from trifold.ops.home import ROOT, home

SECONDS = 180
TEST_SECONDS = 120
POLL_SECONDS = 0.5
GOOD = ("deployed", "superseded")


def deploy(target: Target, values: Sequence[Path], seconds: int = SECONDS) -> int:
    """Install or upgrade a release, wait until its pods are ready, and let `helm test` make a real prediction.

    Args:
        target: Where it is.
        values: The lock file, then the user's own.
        seconds: How long to wait for the pods.

    Returns:
        The release's revision.

    Raises:
        DeployError: It did not become ready, or answers otherwise than at build: the message has the pod's last words,
            and the revision that served before is back, or nothing is there if there was none. Or Helm refused the
            values or the namespace, and nothing was changed.
    """
    with alone(target):
        recover(target)
        before = helm.history(target)
        _upgrade(target, values, seconds, before[-1]["revision"] if before else 0)
        try:
            helm.run(target.test(TEST_SECONDS))
        except DeployError as error:
            raise DeployError(f"{target.release} failed its test: {error} {_go_back(target, seconds)}") from error
        return int(helm.history(target)[-1]["revision"])


def load(image: str) -> None:
    """Put an image into the local cluster that `make cluster` made.

    Raises:
        DeployError: There is none, or it did not take the image.
    """
    done = subprocess.run(load_command(image), capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().removeprefix("error: ")
        raise DeployError(f"{said} Where the cluster is not on this machine, name a registry with --push.")


def load_command(image: str) -> list[str]:
    """What loads an image by hand."""
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "k8s.kind", "load", image]


def recover(target: Target) -> None:
    """Undo what a deploy that was killed left half done, which Helm would refuse to touch."""
    states = [entry["status"] for entry in helm.history(target)]
    if states and (states[-1].startswith(("pending", "uninstalling")) or not set(states) & set(GOOD)):
        _go_back(target, SECONDS)


def undeploy(target: Target) -> bool:
    """Remove a release; False if there is none.

    Raises:
        DeployError: Helm could not.
    """
    with alone(target):
        if not helm.history(target):
            return False
        helm.run(target.uninstall(SECONDS))
        return True


@contextmanager
def alone(target: Target) -> Iterator[None]:
    """One deploy of a release at a time from this machine; a second one waits."""
    folder = home() / "deploys"
    folder.mkdir(exist_ok=True)
    with (folder / f"{target.namespace}-{target.release}").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _upgrade(target: Target, values: Sequence[Path], seconds: int, revision: int) -> None:
    """Run Helm, and stop it as soon as a new pod cannot become ready."""
    known = kube.pods(target)
    command = target.upgrade(values, seconds)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lost = _watch(process, target, known)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)  # Helm marks the revision as failed
        said, _ = process.communicate()
    if process.returncode == 0 and not lost:
        return
    after = helm.history(target)
    if not after or after[-1]["revision"] == revision:
        raise DeployError(f"Nothing was changed: {helm.sentence(said)}")
    words = kube.last_words(target, _new(target, known))
    back = _go_back(target, seconds)
    raise DeployError(f"{target.release} did not become ready. {back} Its pod's last words:\n{words}")


def _watch(process: "subprocess.Popen[str]", target: Target, known: dict[str, kube.Object]) -> bool:
    """Wait for Helm; True as soon as a new pod will not become ready, however long one waits."""
    well = time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        patience = kube.patience(_new(target, known))
        if patience is None:
            well = time.monotonic()
        elif time.monotonic() - well >= patience:
            return True
    return False


def _new(target: Target, known: dict[str, kube.Object]) -> list[kube.Object]:
    return [pod for uid, pod in kube.pods(target).items() if uid not in known]


def _go_back(target: Target, seconds: int) -> str:
    """Return to the last good revision, or to nothing; says which."""
    revisions = helm.history(target)
    good = [entry["revision"] for entry in revisions[:-1] if entry["status"] in GOOD]
    if revisions[-1]["status"] == "uninstalling":
        good = []
    if not good:
        helm.run(target.uninstall(seconds))
        return "It was removed, as nothing served before."
    helm.run(target.command("rollback", str(good[-1]), "--wait", "--timeout", f"{seconds}s"))
    return f"Revision {good[-1]} is back, which served before."
