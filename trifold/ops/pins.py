"""The packages that an artifact says it was made with: every file of it that names some is read.

MLflow installs the lines of requirements.txt; older artifacts have them in python_env.yaml or conda.yaml alone. What
these leave open is taken from what else is there: conda.yaml's own lines, and MLmodel, which says what scikit-learn
fitted the model.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from trifold.errors import ArtifactError
from trifold.ops import conda
from trifold.ops.requirements import is_for_image, is_left_out

REQUIREMENTS, PYTHON_ENV, CONDA, MLMODEL = "requirements.txt", "python_env.yaml", "conda.yaml", "MLmodel"
SKLEARN = "scikit-learn"
OF_ANSWERS = (SKLEARN, "numpy", "scipy", "pandas")
"""The packages that a prediction depends on, its last bits at least."""
USUAL = frozenset({*OF_ANSWERS, "cloudpickle", "joblib", "packaging", "psutil", "pyarrow", "skops", "threadpoolctl"})
"""What MLflow lists for every scikit-learn model."""
INCLUDES = re.compile(r"(?:-r|--requirement)[\s=]+(\S+)")
CONSTRAINS = re.compile(r"(?:-c|--constraint)[\s=]+(\S+)")
HASH = re.compile(r"\s+--hash[\s=]\S+")


@dataclass(frozen=True)
class Line:
    """A requirement and the file that has it.

    Attributes:
        text: As pip reads it.
        source: The file's name.
        adds: Whether it is one of its own, and not another list of what the first file lists.
    """

    text: str
    source: str
    adds: bool = False

    @cached_property
    def requirement(self) -> Requirement | None:
        """What it asks for; None for a path, an option or a link."""
        try:
            return Requirement(self.text)
        except InvalidRequirement:
            return None

    @property
    def name(self) -> str:
        """The package's name, as an index has it."""
        return canonicalize_name(self.requirement.name) if self.requirement else self.text

    @property
    def version(self) -> str | None:
        """The one version that it allows; None if it allows several."""
        parts = list(self.requirement.specifier) if self.requirement else []
        exact = [part.version for part in parts if part.operator in ("==", "===") and "*" not in part.version]
        return exact[0] if exact else None


@dataclass(frozen=True)
class Clash:
    """A package whose version two files give otherwise: what is installed, and what is not."""

    taken: Line
    other: Line


@dataclass(frozen=True)
class Pins:
    """What an artifact says of its packages.

    Attributes:
        lines: What is to be installed.
        constraints: Versions for packages that others need.
        clashes: Where its files disagree.
        loose: Packages of OF_ANSWERS that no file gives one version of.
        unknown: Packages that conda.yaml alone names, by names that a package index need not have.
        python: The Python that logged it, such as "3.11.7"; empty where no file says it.
    """

    lines: tuple[Line, ...]
    constraints: tuple[str, ...] = ()
    clashes: tuple[Clash, ...] = ()
    loose: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    python: str = ""

    @property
    def texts(self) -> list[str]:
        """The lines as pip reads them."""
        return [line.text for line in self.lines]

    @property
    def extras(self) -> tuple[str, ...]:
        """The lines of packages that not every model has."""
        return tuple(line.text for line in self.lines if line.name not in USUAL and not is_left_out(line.name))


def read(folder: Path, flavors: Mapping[str, Any]) -> Pins:
    """Read an artifact's files.

    Args:
        folder: The artifact.
        flavors: Those of its MLmodel file.

    Raises:
        ArtifactError: A file cannot be read.
    """
    files, env = _Files(folder), _document(folder / PYTHON_ENV)
    environment = conda.read(_document(folder / CONDA))
    lists = [
        list(files.lines(REQUIREMENTS, _text(folder / REQUIREMENTS))),
        list(files.lines(PYTHON_ENV, map(str, env.get("dependencies") or ()))),
        list(files.lines(CONDA, environment.pip)),
    ]
    first = next((lines for lines in lists if lines), [])
    others = [line for lines in lists if lines is not first for line in lines]
    others += [Line(text, CONDA, adds=True) for text in environment.own]
    fitted = str(flavors.get("sklearn", {}).get("sklearn_version", ""))
    others += [Line(f"{SKLEARN}=={fitted}", MLMODEL, adds=True)] if _is_release(fitted) else []
    lines, clashes = _merge(first, others)
    names = {line.name for line in lines}
    constraints = [Line(text, REQUIREMENTS) for text in files.constraints]
    pinned = {line.name for line in (*lines, *constraints) if line.version}
    return Pins(
        lines=tuple(lines),
        constraints=tuple(dict.fromkeys(files.constraints)),
        clashes=tuple(clashes),
        loose=tuple(name for name in OF_ANSWERS if name not in pinned),
        unknown=tuple(name for name in environment.unknown if canonicalize_name(name) not in names),
        python=str(flavors.get("python_function", {}).get("python_version") or env.get("python") or environment.python),
    )


@dataclass
class _Files:
    """The lists of an artifact, with what they include."""

    folder: Path
    constraints: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def lines(self, source: str, texts: Iterable[str]) -> Iterator[Line]:
        """The requirements in a list; a file that it includes is read once."""
        self.seen.add(source)
        for text in map(str.strip, texts):
            if included := INCLUDES.fullmatch(text):
                name = included[1]
                if name not in self.seen:
                    yield from self.lines(name, _text(self._inside(name)))
            elif constrained := CONSTRAINS.fullmatch(text):
                self.constraints += _text(self._inside(constrained[1]))
            elif text:
                yield Line(text, source)

    def _inside(self, name: str) -> Path:
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ArtifactError(f"The artifact's requirements include {name!r}, outside of it; log the model again.")
        return path


def _merge(first: Sequence[Line], others: Sequence[Line]) -> tuple[list[Line], list[Clash]]:
    """The first list with the versions that the others give where it leaves them open."""
    lines, clashes = list(first), list[Clash]()
    for other in others:
        mine = [line for line in lines if line.name == other.name and is_for_image(line.requirement)]
        if not mine:
            lines += [other] if other.adds and not any(line.name == other.name for line in lines) else []
            continue
        if other.version is None:
            continue
        taken = mine[0]
        assert taken.requirement is not None
        if taken.version is None and taken.requirement.specifier.contains(other.version, prereleases=True):
            lines[lines.index(taken)] = _pinned(taken.requirement, other)
        elif taken.version is None or Version(taken.version) != Version(other.version):
            clashes.append(Clash(taken, other))
    return lines, _without_repeats(clashes)


def _pinned(asked: Requirement, other: Line) -> Line:
    """A requirement that leaves the version open, with the version that another file gives."""
    extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
    marker = f" ; {asked.marker}" if asked.marker else ""
    return Line(f"{asked.name}{extras}=={other.version}{marker}", other.source)


def _without_repeats(clashes: Sequence[Clash]) -> list[Clash]:
    """Each version that loses once: three files may list it."""
    return list({(clash.taken.name, clash.other.version): clash for clash in reversed(clashes)}.values())[::-1]


def _text(file: Path) -> list[str]:
    """A file's lines as pip reads them: continued ones joined, without comments and hashes, which a lock makes anew."""
    if not file.is_file():
        return []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except ValueError:
        raise ArtifactError(f"The artifact's {file.name} is not UTF-8; log the model again.") from None
    lines = (re.sub(r"(^|\s)#.*", "", line) for line in text.replace("\\\n", " ").splitlines())
    return [HASH.sub("", line).strip() for line in lines if line.strip()]


def _document(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        document = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, ValueError):
        raise ArtifactError(f"The artifact's {file.name} cannot be read; log the model again.") from None
    return document if isinstance(document, dict) else {}


def _is_release(version: str) -> bool:
    """Whether an index may have this version: none that was built from a checkout."""
    try:
        parsed = Version(version)
    except InvalidVersion:
        return False
    return not (parsed.is_devrelease or parsed.local)
