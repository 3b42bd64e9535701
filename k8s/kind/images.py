"""Images of our own (k8s/images): built on a registry's base or on Debian's packages, put into the cluster once."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from k8s.kind import docker, registry
from k8s.kind.errors import ClusterError
from k8s.kind.offline import apt
from k8s.kind.settings import ROOT, Settings
from k8s.kind.steps import Steps

FOLDER = ROOT / "k8s/images"
PREFIX = "trifold/"
BASE = f"{PREFIX}python:dev"
"""What models' images are built on where no registry has Python's own."""
CTR = ("ctr", "--namespace=k8s.io", "images")
ID = "trifold.dev/id"
"""The label that an image in a node gets, with Docker's id of it, once it is there whole."""


def names() -> list[str]:
    """The images' names, bases first."""
    return sorted(
        (path.parent.name for path in FOLDER.glob("*/Dockerfile")), key=lambda name: (_base(name)[:8] == PREFIX, name)
    )


def build(settings: Settings, wanted: Sequence[str]) -> None:
    """Build images as trifold/NAME:dev. The same Dockerfile makes them with a registry and without.

    Raises:
        ClusterError: No image has this name, or a build failed.
    """
    steps = Steps(settings.cache / "log")
    for name in wanted:
        if name not in names():
            raise ClusterError(f"No image {name!r}: k8s/images has {', '.join(names())}.")
        with steps.shown(), steps.step("image", f"{PREFIX}{name}:dev"):
            arguments = ["--build-arg", f"BASE={_usable(_base(name), settings, steps)}", "--network", "host"]
            certificates = os.environ.get("SSL_CERT_FILE", "")
            if certificates:
                arguments += ["--secret", f"id=certificates,src={certificates}"]
            with _context(name, steps) as folder:
                argv = ["docker", "build", "--quiet", "--tag", f"{PREFIX}{name}:dev", *arguments, str(folder)]
                steps.run(f"image-{name}", argv, environment={"DOCKER_BUILDKIT": "1"})


@contextmanager
def _context(name: str, steps: Steps) -> Iterator[Path]:
    """The folder that an image is built from; where it has a program `context`, a copy with what that puts there."""
    program = FOLDER / name / "context"
    if not program.exists():
        yield FOLDER / name
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(FOLDER / name, folder)
        steps.run(f"image-{name}", [str(program), str(folder)])
        yield folder


def load(settings: Settings, images: Sequence[str]) -> None:
    """Put images of Docker's into every node, those that are not there yet, layer by layer (registry.py).

    Raises:
        ClusterError: Docker has no such image, there is no cluster, or a node did not take it.
    """
    steps = Steps(settings.cache / "log")
    ids = {image: _id(image) for image in images}
    label = f"label=io.x-k8s.kind.cluster={settings.name}"
    nodes = _said("docker", "ps", "--filter", label, "--format", "{{.Names}}").split()
    if not nodes:
        raise ClusterError(
            "No cluster of ours runs here: make cluster (one named by TRIFOLD_CONTEXT pulls from its registry)."
        )
    listed = {node: _said("docker", "exec", node, *CTR, "ls") for node in nodes}
    with steps.shown():
        for image in images:
            missing = [node for node in nodes if not _has(listed[node], _full(image), ids[image])]
            if missing:
                address = registry.ensure(settings, steps)
                with steps.step("load", f"{image} into {', '.join(missing)}"):
                    _push(image, address, steps)
                    for node in missing:
                        _pull(image, node, ids[image], steps)


def _push(image: str, address: str, steps: Steps) -> None:
    there = f"{address}/{image}"
    steps.run("load", ["docker", "tag", image, there])
    try:
        steps.run("load", ["docker", "push", there])
    finally:
        steps.run("load", ["docker", "rmi", there])


def _pull(image: str, node: str, docker_id: str, steps: Steps) -> None:
    there, full = f"{registry.INSIDE}/{image}", _full(image)
    inside = ["docker", "exec", node, *CTR]
    steps.run("load", [*inside, "pull", "--plain-http", there])
    steps.run("load", [*inside, "tag", "--force", there, full])
    steps.run("load", [*inside, "rm", there])
    # Last: an image without it is taken for one that a killed run left half done.
    steps.run("load", [*inside, "label", full, f"{ID}={docker_id}"])


def _base(name: str) -> str:
    found = re.search(r"^ARG BASE=(\S+)", (FOLDER / name / "Dockerfile").read_text(), re.MULTILINE)
    assert found, name
    return found.group(1)


def _usable(base: str, settings: Settings, steps: Steps) -> str:
    """A base that Docker has or can pull; else Debian, made of packages."""
    if base.startswith(PREFIX):
        if not docker.has_image(base):
            build(settings, [base.removeprefix(PREFIX).partition(":")[0]])
        return base
    if docker.ask_registry(base)[0] is docker.Pull.HAS:
        return base
    tag = f"{PREFIX}debian:{apt.SUITE}"
    if not docker.has_image(tag):
        with apt.rootfs("debian", ("ca-certificates",), settings.cache, steps).open("rb") as content:
            steps.run("docker", ["docker", "import", "-", tag], stdin=content)
    return tag


def _id(image: str) -> str:
    found = _said("docker", "image", "inspect", "--format", "{{.Id}}", image)
    if not found:
        raise ClusterError(f"Docker has no image {image}: python -m k8s.kind build makes those of k8s/images.")
    return found


def _full(image: str) -> str:
    """The name as containerd knows it."""
    head = image.split("/")[0]
    if "/" not in image:
        return f"docker.io/library/{image}"
    return image if "." in head or ":" in head or head == "localhost" else f"docker.io/{image}"


def _has(listed: str, full: str, docker_id: str) -> bool:
    return any(line.split()[0] == full and f"{ID}={docker_id}" in line for line in listed.splitlines()[1:])


def _said(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
