"""What an image installs: the model's logged requirements and the server's, resolved together and locked."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from trifold.errors import RequirementsConflict, TrifoldError
from trifold.ops.home import ROOT, home

IMAGE_PYTHON = "3.11"
"""The Python of the image, Debian 12's own."""

LEFT_OUT = re.compile(r"mlflow($|[-_])")
"""A running image imports no MLflow; its requirement, which MLflow logs for every model, is left out."""


def serving() -> list[str]:
    """What the server needs, from pyproject.toml."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(document["project"]["dependencies"])


def of_model(lines: Sequence[str]) -> list[str]:
    """A model's logged requirements, without MLflow.

    Raises:
        RequirementsConflict: A line is a path, an option or a link, which an image cannot install by name and hash.
    """
    kept = []
    for line in lines:
        try:
            name = Requirement(line).name
        except InvalidRequirement:
            raise RequirementsConflict(
                f"The model's requirement {line!r} is no package name with a version; "
                "log the model again with pip_requirements that a package index has."
            ) from None
        if not LEFT_OUT.match(canonicalize_name(name)):
            kept.append(line)
    return kept


def lock(model: Sequence[str]) -> str:
    """Lock the model's requirements (as `of_model` gives them) and the server's, with hashes, naming no index.

    A lock once made is kept in Trifold's home, so that a build today and tomorrow are the same.

    Raises:
        RequirementsConflict: They cannot be met together; both sides are named.
    """
    wanted = sorted({*model, *serving()})
    key = hashlib.sha256("\n".join([IMAGE_PYTHON, *wanted]).encode()).hexdigest()[:16]
    kept = home() / "locks" / f"{key}.txt"
    if kept.is_file():
        return kept.read_text()
    _refuse_direct_conflicts(model)
    text = _compile(wanted, model)
    kept.parent.mkdir(exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(text)
    part.rename(kept)
    return text


def uv() -> str:
    """The path of uv.

    Raises:
        TrifoldError: It is not installed.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if not found:
        raise TrifoldError("uv is not installed; install it with `pip install uv`.")
    return found


def run_uv(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run uv with the index and certificates that pip was set up with, unless uv has its own."""
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")):
        if os.environ.get(theirs):
            environment.setdefault(ours, os.environ[theirs])
    return subprocess.run([uv(), *arguments], input=given, capture_output=True, text=True, check=False, env=environment)


def _refuse_direct_conflicts(model: Sequence[str]) -> None:
    ours = {canonicalize_name(found.name): found for found in map(Requirement, serving())}
    for line in model:
        theirs = Requirement(line)
        own = ours.get(canonicalize_name(theirs.name))
        pinned = [part.version for part in theirs.specifier if part.operator == "==" and "*" not in part.version]
        if own and pinned and not own.specifier.contains(pinned[0], prereleases=True):
            raise RequirementsConflict(
                f"The model asks for {line} (its requirements.txt) and the server for {own} (pyproject.toml); "
                f"log the model again with {own}."
            )


def _compile(wanted: Sequence[str], model: Sequence[str]) -> str:
    command = [uv(), "pip", "compile", "-", "--quiet", "--universal", "--python-version", IMAGE_PYTHON]
    command += [
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--no-header",
        "--no-annotate",
    ]
    done = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    if "No solution found" in done.stderr:
        raise RequirementsConflict(
            f"The model's requirements ({', '.join(model) or 'none'}) and the server's ({', '.join(serving())}) "
            f"cannot be met together: {_sentence(done.stderr)}"
        )
    raise TrifoldError(f"uv could not lock the requirements: {_sentence(done.stderr)}")


def _sentence(text: str) -> str:
    """Uv's explanation, without its frame of lines and arrows."""
    words = re.sub(r"[│╰─▶├×]", " ", text)
    return " ".join(words.split())[:600]
