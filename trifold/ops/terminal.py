"""What the command line prints: a line a step, a check's report."""

import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:  # it imports MLflow, which takes a second
    from trifold.ops.findings import Report

console = Console(highlight=False)
COLOURS = {"yes": "green", "warn": "yellow", "no": "red"}
MARGIN = 22
"""Columns before what was found."""


def print_report(report: "Report") -> None:
    """Print what a check found, and for each no the lines that mend it."""
    from trifold.ops.findings import MODES, YES

    console.print(f"\n[bold]{escape(report.pin.name)} version {report.pin.version}[/]\n")
    for found in report.findings:
        colour = COLOURS[found.verdict]
        first, *rest = textwrap.wrap(found.says, max(console.width, 60) - MARGIN) or [""]
        print_line(f"  [{colour}]{found.verdict:<4}[/]  {found.subject:<12}  {escape(first)}")
        for line in rest:
            print_line(" " * MARGIN + escape(line))
        for line in found.fix:
            print_line(" " * MARGIN + f"[bold]{escape(line)}[/]")
    verdicts = [(mode, report.verdict(mode)) for mode in MODES]
    console.print("\n  " + "   ".join(f"{mode} [{COLOURS[verdict]}]{verdict}[/]" for mode, verdict in verdicts))
    if report.packed and report.verdict("online") == YES:
        print_line(f"\n  next: [bold]{escape(report.command('serve'))}[/]")


def print_line(line: str) -> None:
    """Print a line as it is: one that is to be copied must not be wrapped."""
    console.print(line, soft_wrap=True)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in columns, the first as their head; nothing is wrapped."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        line = escape("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print_line(line if number else f"[bold]{line}[/]")


@contextmanager
def step(name: str, more: str = "") -> Iterator[list[str]]:
    """Print a line for a step when it is done, with what was said of it and its time; meanwhile its name and `more`."""
    said: list[str] = []
    start = time.monotonic()
    with console.status(escape(f"{name} … {more}")):
        yield said
    print_line(escape(f"  {name:<11} {' '.join(said):<56} {time.monotonic() - start:6.1f} s"))
