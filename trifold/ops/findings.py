"""What a check found: findings, a report of them, and what the model will say of itself as far as it was tried."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trifold.ops import registry
from trifold.packed import Packed

ONLINE, BATCH, STREAM = MODES = ("online", "batch", "stream")
YES, WARN, NO = "yes", "warn", "no"
DEEP = "deep"
"""The subject of a comparison with MLflow's pyfunc."""


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        subject: What was looked at.
        verdict: "yes", "warn" or "no".
        says: What was found.
        fix: For anything but yes, the lines that mend it.
        modes: The modes that a no rules out.
    """

    subject: str
    verdict: str
    says: str
    fix: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES


@dataclass
class Report:
    """What a check found.

    Attributes:
        pin: The version that was looked at.
        trusted: Types that the caller vouches for.
        allow_pickle: Whether the caller vouches for a pickle.
        code_files: Names of what was logged as the model's own code.
        extras: Requirements beside those that `trifold.log_model` logs by itself.
        findings: In the order of the checks.
        packed: What the packed model will say of itself, as far as it got.
        lock: The locked requirements, as far as it got.
        expected: Plain scikit-learn's answers to the example, as far as it got.
        deep: Whether answers are compared with MLflow's pyfunc.
        compared: With what answers were compared beyond the example; None: with nothing.
    """

    pin: registry.Pin
    trusted: tuple[str, ...] = ()
    allow_pickle: bool = False
    code_files: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    packed: Packed | None = None
    lock: str | None = None
    expected: dict[str, Any] | None = None
    deep: bool = False
    compared: dict[str, Any] | None = None

    def verdict(self, mode: str) -> str:
        """Whether the model works in a mode: "yes" or "no"."""
        return NO if any(found.verdict == NO and mode in found.modes for found in self.findings) else YES

    def command(self, name: str, *, trust: Sequence[str] = (), allow_pickle: bool = False, deep: bool = False) -> str:
        """A command for this version, with what the caller vouches for, and what a fix adds."""
        words = ["trifold", name, f"{self.pin.name}/{self.pin.version}"]
        words += [word for kind in dict.fromkeys((*self.trusted, *trust)) for word in ("--trust", kind)]
        words += ["--allow-pickle"] if self.allow_pickle or allow_pickle else []
        words += ["--deep"] if name == "check" and (self.deep or deep) else []
        return shlex.join(words)

    @property
    def log_again(self) -> str:
        """The line that logs the model as Trifold needs it, with the code and the types that it already has."""
        more = [f"code_paths={list(self.code_files)!r}"] if self.code_files else []
        more += [f"extra_requirements={list(self.extras)!r}"] if self.extras else []
        more += [f"trusted={list(self.trusted)!r}"] if self.trusted else []
        return ", ".join([f"trifold.log_model(model, X, registered_model_name={self.pin.name!r}", *more]) + ")"

    def add(self, subject: str, verdict: str, says: str, *fix: str, modes: tuple[str, ...] = MODES) -> None:
        """Add a finding."""
        self.findings.append(Finding(subject, verdict, says, fix, modes))

    def list_doubts(self) -> list[str]:
        """What keeps a build's answers from being believed beyond the example: who builds is told, and goes on."""
        return [found.says for found in self.findings if found.subject == DEEP and found.verdict == WARN]

    @property
    def warnings(self) -> int:
        """How many findings rule nothing out and are to be known."""
        return sum(found.verdict == WARN for found in self.findings)

    @property
    def failed(self) -> bool:
        """Whether a finding rules out every mode, so that looking further is of no use."""
        return all(self.verdict(mode) == NO for mode in MODES)
