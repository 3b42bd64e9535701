"""Build a Bento of one model version: the model, our code, locked requirements, and labels that say what it is."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from trifold.errors import BuildError
from trifold.ops import environment
from trifold.ops.check import MODES, YES, Report
from trifold.ops.home import ROOT, home
from trifold.ops.requirements import IMAGE_PYTHON
from trifold.packed import ARTIFACT, EXPECTED_FILE, FILE, INTERFACE, Packed

CODE = ("service.py", "bentofile.yaml", "cronjobs", "trifold")
NOT_CODE = ("__pycache__", "ops", "training.py")


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
    """
    if report.packed is None or report.lock is None or all(report.verdict(mode) != YES for mode in MODES):
        noes = [found.says for found in report.findings if found.verdict == "no"]
        raise BuildError(f"{report.pin.name} version {report.pin.version} works in no mode: {noes[0] if noes else ''}")
    packed = report.packed
    name, tag_version = _name(packed.name), _version(packed, build_hash(packed, report.lock))
    store = home() / "bentoml"
    bento, model = (store / kind / name / tag_version for kind in ("bentos", "models"))
    python = environment.python(report.lock)
    new = not (bento / "bento.yaml").is_file()
    if new:
        with _bentoml(store) as bentoml:
            if not (model / FILE).is_file():
                _pack(bentoml, f"{name}:{tag_version}", report, packed)
            _build(bentoml, name, tag_version, packed, report.lock)
    return Built(f"{name}:{tag_version}", bento, model, python, new)


def build_hash(packed: Packed, lock: str) -> str:
    """Hash of all that makes a Bento what it is: digest, what was vouched for, our code, requirements, engines."""
    total = hashlib.sha256()
    said = (packed.digest, packed.parity, packed.form, packed.allow_pickle, packed.trusted, INTERFACE)
    for part in (*said, IMAGE_PYTHON, version("bentoml"), lock):
        total.update(f"{part}\0".encode())
    for path in _code():
        total.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def _code() -> list[Path]:
    """Our files that enter a Bento, sorted."""
    found: list[Path] = []
    for top in (ROOT / name for name in CODE):
        if top.is_file():
            found.append(top)
        elif top.is_dir():
            found += [path for path in top.rglob("*") if path.is_file() and not set(path.parts) & set(NOT_CODE)]
    return sorted(found)


def _name(model: str) -> str:
    """A registered model's name as a Bento may have it: lower case, digits, dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return name if name == model else f"{name or 'model'}-{hashlib.sha256(model.encode()).hexdigest()[:6]}"


def _version(packed: Packed, build: str) -> str:
    return f"v{packed.version}-{packed.digest[:8]}-{build[:8]}"


@contextmanager
def _bentoml(store: Path) -> Iterator[object]:
    """BentoML with a store of our own, which lies in no build context."""
    store.mkdir(parents=True, exist_ok=True)
    os.environ["BENTOML_HOME"], os.environ["BENTOML_DO_NOT_TRACK"] = str(store), "True"
    import bentoml  # reads its home when imported

    try:
        yield bentoml
    except bentoml.exceptions.BentoMLException as error:
        raise BuildError(f"BentoML could not build: {error}") from error


def _pack(bentoml: object, tag: str, report: Report, packed: Packed) -> None:
    """Put the artifact, the contract and the expected answers into the store, whole or not at all."""
    import json

    with bentoml.models.create(tag, labels={"digest": packed.digest}) as model:  # type: ignore[attr-defined]
        folder = Path(model.path)
        shutil.copytree(report.pin.folder, folder / ARTIFACT)
        (folder / EXPECTED_FILE).write_text(json.dumps(report.expected, indent=1) + "\n")
        packed.write(folder)


def _build(bentoml: object, name: str, tag_version: str, packed: Packed, lock: str) -> None:
    with tempfile.TemporaryDirectory() as context:
        for path in _code():
            target = Path(context) / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        (Path(context) / "requirements.lock").write_text(lock)
        options = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
        bentoml.build(  # type: ignore[attr-defined]
            **options,
            name=name,
            version=tag_version,
            build_ctx=context,
            models=[f"{name}:{tag_version}"],
            python={"requirements_txt": "requirements.lock", "lock_packages": False},
            docker={"python_version": IMAGE_PYTHON},
            labels={
                "model": packed.name,
                "model_version": packed.version,
                "run_id": packed.run_id,
                "digest": packed.digest,
                "parity": packed.parity,
                "pickle": str(packed.allow_pickle).lower(),
                "trusted": ",".join(packed.trusted),
            },
        )
