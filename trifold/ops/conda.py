"""A conda.yaml: its pip section, and the versions of packages that conda was to install itself.

Source of the form of a line: https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

SPEC = re.compile(r"(?:[^\s:]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<version>[=<>!~0-9][^\[]*)?(?:\[.*)?")
PLAIN = re.compile(r"(?P<equals>={0,2})\s*(?P<number>[0-9][0-9A-Za-z.!+*]*)(?:[=\s].*)?")
"""1.5.2, =1.5 or ==1.5.2, and perhaps a build after it."""
PARTS = 3
"""Numbers of a whole version: conda's =1.5.2 is one version, =1.5 any of it."""

ALIKE = frozenset(
    {
        "catboost", "category-encoders", "cloudpickle", "feature-engine", "imbalanced-learn", "joblib", "lightgbm",
        "numpy", "pandas", "scikit-learn", "scipy", "skops", "statsmodels", "threadpoolctl", "umap-learn", "xgboost",
    }
)  # fmt: skip
"""Packages of conda's that a package index has by the same name; of another it may have one by somebody else."""
BASE = frozenset({"pip", "python", "setuptools", "wheel"})


@dataclass(frozen=True)
class Conda:
    """What a conda.yaml says.

    Attributes:
        pip: Lines of its pip section.
        own: Requirements for what conda was to install itself, of ALIKE.
        unknown: Names of its other packages.
        python: The version of Python, as far as it says one.
    """

    pip: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    python: str = ""


def read(document: Mapping[str, Any]) -> Conda:
    """Read a decoded conda.yaml."""
    pip: list[str] = []
    own: list[str] = []
    unknown: list[str] = []
    python = ""
    for line in document.get("dependencies") or ():
        if isinstance(line, dict):
            pip += map(str, line.get("pip") or ())
            continue
        match = SPEC.fullmatch(str(line).strip())
        name = match["name"].lower().replace("_", "-") if match else str(line)
        specifier = _specifier((match["version"] if match else "") or "")
        if name == "python":
            python = specifier.lstrip("=").removesuffix(".*")
        elif name in ALIKE and _is_requirement(f"{name}{specifier}"):
            own.append(f"{name}{specifier}")
        elif name not in BASE:
            unknown.append(name)
    return Conda(tuple(pip), tuple(own), tuple(unknown), python)


def _specifier(version: str) -> str:
    """Conda's version as pip writes it."""
    plain = PLAIN.fullmatch(version.strip())
    if plain is None:
        return version.strip()
    number = plain["number"]
    is_any = plain["equals"] == "=" and number.count(".") + 1 < PARTS and not number.endswith("*")
    return f"=={number}{'.*' if is_any else ''}"


def _is_requirement(text: str) -> bool:
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True
