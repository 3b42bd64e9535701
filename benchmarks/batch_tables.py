"""The tables that the batch benchmark prints."""

import statistics
from collections.abc import Sequence

from processes import Measured
from rich.console import Console
from rich.table import Table

SPEED = ("path", "rows/s", "x pandas", "seconds", "CPU s", "server CPU s", "peak MB")
MEMORY = ("rows", "rows/s", "seconds", "peak MB", "of the first")
WIDTH = 100
"""Columns of the text at least: a file has no width of its own."""


def path_line(name: str, runs: Sequence[Measured], base: Sequence[Measured], rows: int) -> list[str]:
    """A path's line of SPEED: medians over its rounds, the ratio to `base` of the same round; the greatest peak."""
    seconds = statistics.median(each.seconds for each in runs)
    ratios = [slow.seconds / each.seconds for slow, each in zip(base, runs, strict=False)]
    return [
        name,
        f"{rows / seconds:,.0f}",
        f"{statistics.median(ratios):.2f}" if ratios else "",
        f"{seconds:.2f}",
        f"{statistics.median(each.cpu for each in runs):.2f}",
        f"{statistics.median(each.server_cpu for each in runs):.2f}",
        f"{max(each.peak for each in runs) / 1e6:,.0f}",
    ]


def floor_line(name: str, seconds: Sequence[float], rows: int) -> list[str]:
    """A floor's line of SPEED."""
    middle = statistics.median(seconds)
    return [name, f"{rows / middle:,.0f}", "", f"{middle:.2f}", "", "", ""]


def memory_line(rows: int, run: Measured, first: Measured) -> list[str]:
    """A line of MEMORY."""
    peak = f"{run.peak / 1e6:,.0f}"
    return [f"{rows:,}", f"{rows / run.seconds:,.0f}", f"{run.seconds:.2f}", peak, f"{run.peak / first.peak:.3f}"]


def forest_words(times: Sequence[tuple[float, float]], rows: int) -> str:
    """What the forest takes from end to end and alone, in seconds, by round."""
    whole, bare = (statistics.median(values) for values in zip(*times, strict=True))
    more = statistics.median((whole - bare) / bare for whole, bare in times)
    return f"Forest of 100 trees, {rows:,} rows: {whole:.2f} s end to end, {bare:.2f} s bare predict, {more:+.1%}."


def show(head: Sequence[str], lines: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print a table, for people or for the README."""
    if markdown:
        for line in (head, ["---"] * len(head), *lines):
            print("| " + " | ".join(line) + " |")
        return
    table, console = Table(), Console()
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console.width = max(console.width, WIDTH)
    console.print(table)
