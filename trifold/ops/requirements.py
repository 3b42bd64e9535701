"""What an image installs: the model's logged requirements and the server's, resolved together and locked."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from trifold.errors import RequirementsConflict, TrifoldError
from trifold.ops.home import ROOT, home

IMAGE_PYTHON = "3.11"
"""The Python of the image, Debian 12's own."""

LEFT_OUT = re.compile(r"mlflow($|[-_])")
"""A running image imports no MLflow; its requirement, which MLflow logs for every model, is left out."""

UNSAID = (("numpy<2", "pyarrow<26", "from 26 on pyarrow cannot be imported beside numpy 1"),)
"""What packages need of each other and do not say: where the first is locked the second has to be, and why."""
IMAGE = {
    "implementation_name": "cpython", "os_name": "posix", "platform_python_implementation": "CPython",
    "platform_system": "Linux", "python_version": IMAGE_PYTHON, "python_full_version": f"{IMAGE_PYTHON}.0",
    "sys_platform": "linux",
}  # fmt: skip
"""What markers are asked about."""
LOCKED = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+))?")


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
            requirement = Requirement(line)
        except InvalidRequirement:
            requirement = None
        if requirement is None or requirement.url:
            shown = re.sub(r"//[^@/]*@", "//", line)  # a password may stand in it
            raise RequirementsConflict(
                f"The model's requirement {shown!r} is no package name with a version; "
                "log the model again with pip_requirements that a package index has."
            )
        if not is_left_out(requirement.name):
            kept.append(line)
    return kept


def is_left_out(name: str) -> bool:
    """Whether a package is MLflow's, which no image needs."""
    return LEFT_OUT.match(canonicalize_name(name)) is not None


def is_for_image(requirement: Requirement | None) -> bool:
    """Whether the image installs it: its marker, if it has one, holds there."""
    return requirement is not None and (requirement.marker is None or _holds(requirement.marker))


def locked(lock: str) -> dict[str, str]:
    """The versions that a lock gives the image, by name."""
    found = (match.groups() for match in map(LOCKED.match, lock.splitlines()) if match)
    return {name: version for name, version, marker in found if not marker or _holds(Marker(marker.strip()))}


def lock(model: Sequence[str], *, constraints: Sequence[str] = (), sources: Mapping[str, str] | None = None) -> str:
    """Lock the model's requirements (as `of_model` gives them) and the server's, with hashes, naming no index.

    A lock once made is kept in Trifold's home, so that a build today and tomorrow are the same.

    Args:
        model: The model's requirements.
        constraints: Versions for packages that others need.
        sources: The file that has each of the model's requirements, by the requirement.

    Raises:
        RequirementsConflict: They cannot be met together; both sides are named.
    """
    wanted = sorted({*model, *serving()})
    told = [f"constraint {line}" for line in sorted(constraints)]
    key = hashlib.sha256("\n".join([IMAGE_PYTHON, *wanted, *told]).encode()).hexdigest()[:16]
    kept = kept_lock(key)
    if kept is not None and not list(_misfits(kept)):
        return kept
    _refuse_direct_conflicts(model, sources or {})
    return keep_lock(key, _fitting(_compile(wanted, model, constraints), wanted, model, constraints))


def kept_lock(key: str) -> str | None:
    """A lock that was made before; None if there is none."""
    file = home() / "locks" / f"{key}.txt"
    return file.read_text() if file.is_file() else None


def keep_lock(key: str, text: str) -> str:
    """Keep a lock in Trifold's home."""
    file = home() / "locks" / f"{key}.txt"
    file.parent.mkdir(exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(text)
    part.rename(file)
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


def run_compile(wanted: Sequence[str], constraints: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Let uv resolve requirements and constraints; what it prints has hashes and names no index."""
    command = ["pip", "compile", "-", "--quiet", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--no-header", "--no-annotate", *options]
    with tempfile.TemporaryDirectory() as folder:
        if constraints:
            file = Path(folder) / "constraints.txt"
            file.write_text("\n".join(constraints))
            command += ["--constraints", str(file)]
        return run_uv(*command, given="\n".join(wanted))


def explain(text: str) -> str:
    """What uv said, without its frame of lines and arrows."""
    words = re.sub(r"[│╰─▶├×]", " ", text)
    return " ".join(words.split())[:600]


def _holds(marker: Marker) -> bool:
    return marker.evaluate({**IMAGE, "extra": ""})


def _misfits(lock: str) -> Iterator[tuple[str, str]]:
    """What a lock takes together and does not fit: the constraint that mends it, and why."""
    versions = locked(lock)
    for one, other, why in UNSAID:
        if _has(versions, one) and not _has(versions, other):
            yield other, why


def _has(versions: Mapping[str, str], wanted: str) -> bool:
    requirement = Requirement(wanted)
    return requirement.specifier.contains(versions.get(requirement.name, "0"), prereleases=True)


def _fitting(text: str, wanted: Sequence[str], model: Sequence[str], constraints: Sequence[str]) -> str:
    """A lock, made once more where packages do not fit that never say so.

    Raises:
        RequirementsConflict: There are none that fit.
    """
    misfits = list(_misfits(text))
    if not misfits:
        return text
    try:
        return _compile(wanted, model, [*constraints, *(line for line, _ in misfits)])
    except RequirementsConflict as error:
        raise RequirementsConflict(f"{error} ({'; '.join(why for _, why in misfits)})") from None


def _refuse_direct_conflicts(model: Sequence[str], sources: Mapping[str, str]) -> None:
    ours = {canonicalize_name(found.name): found for found in map(Requirement, serving())}
    for line in model:
        theirs = Requirement(line)
        own = ours.get(canonicalize_name(theirs.name))
        pinned = [part.version for part in theirs.specifier if part.operator == "==" and "*" not in part.version]
        if own and pinned and not own.specifier.contains(pinned[0], prereleases=True):
            raise RequirementsConflict(
                f"The model asks for {line} (its {sources.get(line, 'requirements.txt')}) and the server for {own} "
                f"(pyproject.toml); log the model again with {own}."
            )


def _compile(wanted: Sequence[str], model: Sequence[str], constraints: Sequence[str]) -> str:
    done = run_compile(wanted, constraints, "--universal", "--python-version", IMAGE_PYTHON)
    if done.returncode == 0:
        return done.stdout
    if "No solution found" in done.stderr:
        raise RequirementsConflict(
            f"The model's requirements ({', '.join([*model, *constraints]) or 'none'}) and the server's "
            f"({', '.join(serving())}) cannot be met together: {explain(done.stderr)}"
        )
    raise TrifoldError(f"uv could not lock the requirements: {explain(done.stderr)}")
