"""Steps: one line with its time for each thing done, a bar while a long one runs, and its output kept in a file."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from k8s.kind.errors import ClusterError

LAST_LINES = 15
QUARTERS = 4
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
"""A kind that went on after we were killed would delete the nodes that the next run makes."""


class Steps:
    """Prints what is being done to standard error; safe to use from several threads."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._console = Console(stderr=True, highlight=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=self._console, transient=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the bars while the block runs, where there is a terminal to draw on."""
        with self._bars if self._console.is_terminal else _nothing():
            yield

    def line(self, name: str, what: str, seconds: float | None = None) -> None:
        """Print one finished step."""
        spent = "" if seconds is None else f"{seconds:6.1f} s"
        self._console.print(f"  {name:<11} {what:<56} {spent}".rstrip(), markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Time a block; it gets a function to say how far it has come, in units of `total`."""
        began = time.monotonic()
        bar = self._bars.add_task(f"{name:<11} {what}", total=total)
        told = [0]

        def advance(done: int) -> None:
            self._bars.update(bar, completed=done)
            quarter = min(done * QUARTERS // total, QUARTERS - 1) if total else 0
            if quarter > told[0] and not self._console.is_terminal:
                told[0] = quarter
                self.line(name, f"{what}: {quarter * 100 // QUARTERS} %", time.monotonic() - began)

        try:
            yield advance
        finally:
            self._bars.remove_task(bar)
        self.line(name, what, time.monotonic() - began)

    def run(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: IO[bytes] | None = None,
        each: Callable[[str], None] | None = None,
    ) -> str:
        """Run a program, keep what it prints in the log of this name, return its standard output.

        Raises:
            ClusterError: The program failed; the message has its last lines.
        """
        if not shutil.which(argv[0]):
            raise ClusterError(f"{argv[0]} is not on PATH: run make cluster again, which puts it there.")
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        output: list[str] = []
        with log.open("a") as kept:
            kept.write(f"$ {' '.join(map(str, argv))}\n")
            process = subprocess.Popen(
                [*DIES_WITH_US, *map(str, argv)],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            errors: list[str] = []
            assert process.stdout
            assert process.stderr
            reader = threading.Thread(target=_drain, args=(process.stderr, kept, errors, each))
            reader.start()
            for line in process.stdout:
                output.append(line)
            reader.join()
            process.wait()
            kept.writelines(output)
        if process.returncode:
            last = "".join(f"    {line.rstrip()}\n" for line in (output + errors)[-LAST_LINES:])
            raise ClusterError(
                f"{argv[0]} failed ({process.returncode}); all it said is in {log}. Its last lines:\n{last}"
            )
        return "".join(output)


def _drain(stream: IO[str], kept: IO[str], lines: list[str], each: Callable[[str], None] | None) -> None:
    for line in stream:
        kept.write(line)
        lines.append(line)
        if each:
            each(line)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def say(text: str) -> None:
    """Print one sentence to standard error."""
    print(text, file=sys.stderr)
