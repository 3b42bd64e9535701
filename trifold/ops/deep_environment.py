"""An environment for MLflow's own pyfunc: an artifact's packages and MLflow of the version that logged it.

The versions are those of the model's image, so that what is compared is the way from a request to the estimator.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from trifold.errors import TrifoldError
from trifold.ops import environment, pins, requirements
from trifold.ops.artifact import Artifact

LOADER = ("numpy", "pandas", "scikit-learn", "scipy", "skops", "threadpoolctl")
"""What our loader imports."""
MLFLOWS = ("mlflow", "mlflow-skinny")
"""The second has the same code and needs less: where the first cannot be installed beside the model's packages."""
OLDEST = 2
"""An older MLflow asks for pandas below 2, and the server for 2.2 at least."""
UNSAID = ((3, "setuptools<81", "its pkg_resources, of which newer ones have none"),)
"""What MLflow before a version imports and does not ask for, and why."""
WHEELS = ("--only-binary", ":all:")
"""No package is built: that would run its code, and take minutes."""


def make(artifact: Artifact, lock: str) -> Path:
    """The Python of the environment, which is made if it is not there yet.

    Args:
        artifact: The artifact.
        lock: What its image installs.

    Raises:
        TrifoldError: It cannot be made.
    """
    if _major(artifact.logged_by) < OLDEST:
        raise TrifoldError(f"MLflow before {OLDEST} needs a pandas that the server cannot have")
    found = pins.read(artifact.folder, artifact.flavors)
    model = requirements.of_model(found.texts)
    constraints = [*found.constraints, *fix_versions(model, lock)]
    wanted = [*model, *LOADER, *list_unsaid(artifact.logged_by)]
    return environment.python(_lock(artifact.logged_by, wanted, constraints), *WHEELS)


def list_unsaid(version: str) -> list[str]:
    """What a version of MLflow imports and does not ask for."""
    return [line for before, line, _ in UNSAID if _major(version) < before]


def fix_versions(model: Iterable[str], lock: str) -> list[str]:
    """The image's versions of the model's own packages and of those that its answers depend on."""
    names = {canonicalize_name(Requirement(line).name) for line in model} | set(LOADER)
    return [f"{name}=={version}" for name, version in requirements.locked(lock).items() if name in names]


def _major(version: str) -> int:
    try:
        return Version(version).major
    except InvalidVersion:
        raise TrifoldError(f"MLmodel says {version!r} where it should say which MLflow logged it") from None


def _lock(version: str, wanted: Sequence[str], constraints: Sequence[str]) -> str:
    python, refusals = environment.python_version(), []
    for name in MLFLOWS:
        asked = sorted({*wanted, f"{name}=={version}"})
        told = [python, *asked, *(f"constraint {line}" for line in sorted(constraints))]
        key = "deep-" + hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        kept = requirements.kept_lock(key)
        if kept is not None:
            return kept
        done = requirements.run_compile(asked, constraints, "--python", python, *WHEELS)
        if done.returncode == 0:
            return requirements.keep_lock(key, done.stdout)
        refusals.append(requirements.explain(done.stderr))
    raise TrifoldError(refusals[0])
