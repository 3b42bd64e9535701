"""Build a Bento of one model version: the model, our code, locked requirements, and labels that say what it is."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from trifold.errors import BuildError
from trifold.ops import environment
from trifold.ops.findings import MODES, YES, Report
from trifold.ops.home import ROOT, finish, home, part_folder
from trifold.ops.requirements import IMAGE_PYTHON
from trifold.packed import ARTIFACT, EXPECTED_FILE, INTERFACE, Packed

CODE = ("service.py", "bentofile.yaml", "cronjobs", "trifold", "k8s/images/model")
NOT_CODE = {"__pycache__", "ops", "training.py"}
LONGEST_NAME = 50
"""A Bento's name may have 63 characters, seven of which a hash may need."""


@dataclass(frozen=True)
class Built:
    """A Bento in Trifold's own store.

    Attributes:
        tag: Its name and version; the version's content never changes.
        bento: Its folder.
        model: The packed model's folder.
        python: The Python of its locked environment on this machine.
        new: Whether this call built it.
    """

    tag: str
    bento: Path
    model: Path
    python: Path
    new: bool


def build(report: Report) -> Built:
    """Build the Bento of a model that was checked; the same inputs give the Bento that is there already.

    Raises:
        BuildError: The check found that the model works in no mode, or BentoML could not build.
        OSError: The disk is full.
    """
    if report.packed is None or report.lock is None or all(report.verdict(mode) != YES for mode in MODES):
        noes = [found.says for found in report.findings if found.verdict == "no"]
        raise BuildError(f"{report.pin.name} version {report.pin.version} works in no mode: {noes[0] if noes else ''}")
    packed = report.packed
    name, tag_version = _name(packed.name), _version(packed, build_hash(packed, report.lock))
    bento, model = (home() / "bentoml" / kind / name / tag_version for kind in ("bentos", "models"))
    python = environment.python(report.lock)
    new = not (bento / "bento.yaml").is_file()
    if new:
        with part_folder() as part:
            _pack(part / "packed", report, packed)
            _run_bentoml(part, f"{name}:{tag_version}", packed, report.lock)
            for made in (model, bento):  # in this order: where there is a Bento, there is its model
                finish(part / made.relative_to(home()), made)
                (made.parent / "latest").unlink(missing_ok=True)  # BentoML finds it anew
    return Built(f"{name}:{tag_version}", bento, model, python, new)


def build_hash(packed: Packed, lock: str) -> str:
    """Hash of all that makes a Bento what it is: digest, what was vouched for and found, our code, requirements."""
    total = hashlib.sha256()
    found = json.dumps([packed.contract.get("dtypes"), packed.compared], sort_keys=True)
    said = (packed.digest, packed.parity, packed.blocks, packed.form, packed.allow_pickle, packed.trusted, found)
    for part in (*said, INTERFACE, IMAGE_PYTHON, metadata.version("bentoml"), lock):
        total.update(f"{part}\0".encode())
    for path in _code():
        total.update(f"{path}\0".encode() + (ROOT / path).read_bytes() + b"\0")
    return total.hexdigest()


def _code() -> list[Path]:
    """Our files that enter a Bento, sorted; paths are relative to ROOT."""
    found = [path.relative_to(ROOT) for top in CODE for path in (ROOT / top, *(ROOT / top).rglob("*"))]
    return sorted(path for path in found if (ROOT / path).is_file() and not set(path.parts) & NOT_CODE)


def _name(model: str) -> str:
    """A registered model's name as a Bento may have it: lower case, digits, dashes, not too long."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower())[:LONGEST_NAME].strip("-")
    return name if name == model else f"{name or 'model'}-{hashlib.sha256(model.encode()).hexdigest()[:6]}"


def _version(packed: Packed, build: str) -> str:
    return f"v{packed.version}-{packed.digest[:8]}-{build[:8]}"


def _pack(folder: Path, report: Report, packed: Packed) -> None:
    """Put the artifact, the contract and the expected answers into a folder."""
    shutil.copytree(report.pin.folder, folder / ARTIFACT)
    (folder / EXPECTED_FILE).write_text(json.dumps(report.expected, indent=1) + "\n")
    packed.write(folder)


def _run_bentoml(part: Path, tag: str, packed: Packed, lock: str) -> None:
    """Let BentoML make the model and the Bento in a store inside `part`, where nobody sees them half done."""
    # Not inside `part`: BentoML reads no requirements from below a folder whose name begins with a dot.
    with tempfile.TemporaryDirectory() as context:
        _fill(Path(context), lock)
        order = {
            "tag": tag,
            "digest": packed.digest,
            "packed": str(part / "packed"),
            "options": _options(tag, packed) | {"build_ctx": context},
        }
        # Settings of a server on this machine are none of a build's.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIFOLD_")}
        environment |= {"BENTOML_HOME": str(part / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
        done = subprocess.run(
            [sys.executable, "-m", "trifold.ops.bentos"],
            input=json.dumps(order), capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
        )  # fmt: skip
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        if os.strerror(errno.ENOSPC) in last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the Bento")
        raise BuildError(f"BentoML could not build the Bento: {last}")


def _fill(context: Path, lock: str) -> None:
    """Copy what enters the Bento into the build's context."""
    for path in _code():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, context / path)
    (context / "requirements.lock").write_text(lock)


def _options(tag: str, packed: Packed) -> dict[str, Any]:
    """Options of `bentoml.build`: bentofile.yaml's and the model's; labels say what is pinned and vouched for."""
    name, version = tag.split(":")
    bentofile = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
    return {
        **bentofile,
        "name": name,
        "version": version,
        "models": [tag],
        "python": {"requirements_txt": "requirements.lock", "lock_packages": False},
        "docker": {**bentofile["docker"], "python_version": IMAGE_PYTHON},
        "labels": {
            "model": packed.name,
            "model_version": packed.version,
            "run_id": packed.run_id,
            "digest": packed.digest,
            "parity": packed.parity,
            "pickle": str(packed.allow_pickle).lower(),
            "trusted": ",".join(packed.trusted),
        },
    }
