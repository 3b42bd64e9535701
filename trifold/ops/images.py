"""Images: a Bento becomes one by `bentoml containerize`, under a tag that never changes its content."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trifold.errors import BuildError
from trifold.ops.home import home
from trifold.ops.packaging import Built
from trifold.ops.requirements import IMAGE_PYTHON

PREFIX = "trifold"
STOCK_BASE = f"python:{IMAGE_PYTHON}-slim"
PULL_SECONDS = 300
LAYERS = {"models": "COPY models ", "code": "COPY /bento/src ", "packages": "COPY /venv "}
"""What k8s/images/model/Dockerfile.j2 copies into the image, by what we call it; the rest is the base."""


@dataclass(frozen=True)
class Image:
    """An image of Docker's.

    Attributes:
        repository: Its name without tag; with the registry's host where it was pushed.
        tag: Version, digest and build: `v3-1a2b3c4d-5e6f7a8b`.
        digest: `sha256:…` of its manifest in a registry; empty until it is pushed.
        new: Whether this call built it.
    """

    repository: str
    tag: str
    digest: str = ""
    new: bool = False

    @property
    def name(self) -> str:
        """Repository and tag."""
        return f"{self.repository}:{self.tag}"


def image_of(built: Built) -> Image:
    """The image that a Bento becomes, whether or not it is there.

    Raises:
        BuildError: Docker does not answer, or has no base image and cannot pull it.
    """
    name, _, version = built.tag.partition(":")
    stem, _, build = version.rpartition("-")
    hashed = hashlib.sha256(f"{build}\0{_base_id()}".encode()).hexdigest()
    return Image(f"{PREFIX}/{name}", f"{stem}-{hashed[:8]}")


def containerize(built: Built) -> Image:
    """Make the image of a Bento; the one that is there already is kept.

    Raises:
        BuildError: See `image_of`; or the build failed, and the message has what it said last.
    """
    image = image_of(built)
    if _inspect(image.name, "{{.Id}}"):
        return image
    log = home() / "log" / f"image-{image.repository.rpartition('/')[2]}-{image.tag}.log"
    log.parent.mkdir(exist_ok=True)
    # BentoML reads the template from below the current folder only, and makes its context in TMPDIR.
    with tempfile.TemporaryDirectory() as folder:
        secrets = _secrets(Path(folder))
        done = subprocess.run(
            containerize_command(built, image, secrets),
            cwd=folder, env={**os.environ, **containerize_environment(folder)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )  # fmt: skip
    log.write_text(done.stdout)
    if done.returncode or not _inspect(image.name, "{{.Id}}"):  # BentoML may end with 0 after a failure
        raise BuildError(f"The image could not be built: {_why(done.stdout)} All that was said is in {log}.")
    return replace(image, new=True)


def containerize_environment(folder: str) -> dict[str, str]:
    """Variables of `containerize_command`."""
    return {
        "BENTOML_HOME": str(home() / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "DOCKER_BUILDKIT": "1",
        "TMPDIR": folder,
    }


def containerize_command(built: Built, image: Image, secrets: Sequence[str] = ()) -> list[str]:
    """What makes the image by hand, in the folder that TMPDIR names."""
    options = [f"build-arg=BASE={base()}", "network=host", *(f"secret={secret}" for secret in secrets)]
    command = [sys.executable, "-P", "-m", "bentoml", "containerize", built.tag, "--image-tag", image.name]
    return command + [word for option in options for word in ("--opt", option)]


def secrets_of_shell() -> list[str]:
    """What `containerize_command` is given by hand: certificates only, as an index may hold a password."""
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    return [f"id=certificates,src={certificates}"] if certificates else []


def push(image: Image, registry: str) -> Image:
    """Push an image to a registry; the image by the digest that the registry gave it.

    Raises:
        BuildError: The registry refuses, or does not answer.
    """
    there = pushed(image, registry)
    _docker("tag", image.name, there.name)
    done = _docker("push", "--quiet", there.name, check=False)
    if done.returncode:
        raise BuildError(
            f"{there.name} could not be pushed: {_why(done.stderr)} Log in (docker login {registry.split('/')[0]}), "
            "or name a registry that takes it with --push."
        )
    listed = json.loads(_inspect(there.name, "{{json .RepoDigests}}"))
    digest = next(entry.partition("@")[2] for entry in listed if entry.startswith(f"{there.repository}@"))
    return replace(there, digest=digest)


def pushed(image: Image, registry: str) -> Image:
    """The image's name in a registry."""
    return replace(image, repository=f"{registry.rstrip('/')}/{image.repository.rpartition('/')[2]}")


def breakdown(image: Image) -> dict[str, int]:
    """Bytes of the image by what they are: base, packages, code, models; uncompressed."""
    columns = "{{.Size}}\t{{.CreatedBy}}"
    listed = _docker("history", "--no-trunc", "--human=false", "--format", columns, image.name).stdout
    sizes = dict.fromkeys(("base", *reversed(LAYERS)), 0)
    for line in listed.splitlines():
        size, _, made_by = line.partition("\t")
        sizes[next((name for name, start in LAYERS.items() if start in made_by), "base")] += int(size)
    return sizes


def base() -> str:
    """The image that all others are built on."""
    return os.environ.get("TRIFOLD_BASE_IMAGE") or STOCK_BASE


def _base_id() -> str:
    """The id of the base image, which is pulled if it is not there."""
    if not shutil.which("docker") or _docker("version", check=False).returncode:
        raise BuildError(
            "Docker does not answer, and the image is built with it: start it. Where `make cluster` started one of its "
            'own, run: eval "$(make -s env)".'
        )
    found = _inspect(base(), "{{.Id}}")
    if found:
        return found
    try:
        done = _docker("pull", "--quiet", base(), check=False, timeout=PULL_SECONDS)
        why = _why(done.stderr)
    except subprocess.TimeoutExpired:
        why = f"no answer in {PULL_SECONDS} s."
    found = _inspect(base(), "{{.Id}}")
    if not found:
        raise BuildError(
            f"The base image {base()} cannot be pulled: {why} Without a registry, `python -m k8s.kind build python` "
            "makes one: set TRIFOLD_BASE_IMAGE=trifold/python:dev."
        )
    return found


def _secrets(folder: Path) -> list[str]:
    """The builder's own certificates and package index, as secrets of the build, which no layer keeps."""
    secrets = secrets_of_shell()
    index = os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_DEFAULT_INDEX")
    if index:
        extra = os.environ.get("PIP_EXTRA_INDEX_URL") or os.environ.get("UV_INDEX")
        lines = ["[global]", f"index-url = {index}", *([f"extra-index-url = {extra}"] if extra else [])]
        (folder / "pip.conf").write_text("\n".join(lines) + "\n")
        secrets.append(f"id=pip,src={folder / 'pip.conf'}")
    return secrets


def _inspect(name: str, template: str) -> str:
    return _docker("image", "inspect", "--format", template, name, check=False).stdout.strip()


def _docker(*arguments: str, check: bool = True, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise BuildError(f"docker {arguments[0]} failed: {_why(done.stderr)}")
    return done


def _why(said: str) -> str:
    """The line that says what went wrong, as a sentence."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "rror:" in line or "denied" in line]
    return (errors or lines or ["it said nothing"])[0][:300].rstrip(".") + "."
