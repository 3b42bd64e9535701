"""Nodes: the containers of the cluster, which kind makes and deletes."""

import json
import shutil
import subprocess
import time
from typing import Any

from k8s.kind import state
from k8s.kind.docker import Way
from k8s.kind.errors import ClusterError
from k8s.kind.settings import Settings
from k8s.kind.steps import Steps

READY_SECONDS = 120
DELETE_SECONDS = 60
CREATE_TRIES = 3


def create(settings: Settings, steps: Steps, way: Way, image: str) -> None:
    """Have kind create the nodes, and keep which they are."""
    folder = settings.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = state.kind_config(settings, own_network=way is Way.OFFLINE)
    (folder / "kind.yaml").write_text(json.dumps(config, indent=1))
    state.write(settings, way=way.value)
    what = f"{settings.name}, {settings.nodes} node{'s' if settings.nodes > 1 else ''}"
    with steps.step("cluster", what):
        argv = ["kind", "create", "cluster", "--name", settings.name, "--image", image]
        files = ["--config", str(folder / "kind.yaml"), "--kubeconfig", str(settings.kubeconfig)]
        _kind_create(settings, steps, [*argv, *files])
    state.write(settings, ids=sorted(listed(settings).values()), chosen=state.chosen(settings))


def revive(settings: Settings, steps: Steps, made: dict[str, Any]) -> bool:
    """Whether the nodes are those that a finished `kind create` made, and their API server answers in time."""
    if made.get("ids") != sorted(listed(settings).values()) or not (settings.bin / "kubectl").exists():
        return False
    subprocess.run(["docker", "start", *listed(settings)], capture_output=True, check=False)
    ends = time.monotonic() + READY_SECONDS
    with steps.step("cluster", f"{settings.name} is there; its API server"):
        while not (ready := answer()) and time.monotonic() < ends:
            time.sleep(0.5)
    return ready


def delete(settings: Settings, steps: Steps) -> None:
    """Delete the nodes, and see that they are gone: Docker keeps one that it is just starting, and says nothing."""
    files = ["--kubeconfig", str(settings.kubeconfig)]
    ends = time.monotonic() + DELETE_SECONDS
    while True:
        steps.run("kind", ["kind", "delete", "cluster", "--name", settings.name, *files])
        if not listed(settings):
            return
        if time.monotonic() > ends:
            raise ClusterError(f"Docker does not let go of {', '.join(listed(settings))}: docker rm --force says why.")
        time.sleep(0.5)


def answer() -> bool:
    """Whether the API server that KUBECONFIG names is ready."""
    return said("kubectl", "get", "--raw", "/readyz", "--request-timeout=3s") == "ok"


def listed(settings: Settings) -> dict[str, str]:
    """The names of the cluster's containers with their ids."""
    label = f"label=io.x-k8s.kind.cluster={settings.name}"
    found = said("docker", "ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.Names}} {{.ID}}")
    return dict(line.split() for line in found.splitlines())


def _kind_create(settings: Settings, steps: Steps, argv: list[str]) -> None:
    """Docker may still be making a node that a killed run asked for: then that one goes, and kind is asked again."""
    for _ in range(CREATE_TRIES - 1):
        try:
            steps.run("kind", argv)
        except ClusterError as error:
            if not any(words in str(error) for words in ("already exist", "already in use")):
                raise
            delete(settings, steps)
        else:
            return
    steps.run("kind", argv)


def said(*argv: str) -> str:
    """What a program prints; nothing if it is not there, or fails."""
    if not shutil.which(argv[0]):
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
