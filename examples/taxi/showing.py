"""Show rides with their predictions, and how far each release is: live in a terminal, else line by line."""

import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events import BOOKED, STARTED
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from sending import Sent

from trifold.errors import TrifoldError
from trifold.ops.terminal import console, print_line, print_table

RELEASES = {"taxi-fare": BOOKED, "tip": BOOKED, "trip-duration": STARTED}
"""Each release and the events that concern it."""
UNITS = {"taxi-fare": "{:.2f} $", "trip-duration": "{:.0f} min", "tip": "{}"}
SHOWN = 8
"""Rides in the live view."""
LINE_SECONDS = 5
"""Between two lines where no terminal shows tables."""
EQUAL = "equal"

Show = Callable[[Sent, dict[str, "Seen"]], None]


class Unfinished(TrifoldError):
    """Predictions are missing, or there twice."""


@dataclass
class Seen:
    """What a release has predicted of this run: how many predictions, of how many events."""

    predictions: int = 0
    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    latest: dict[str, tuple[float, Any]] = field(default_factory=dict)


@contextmanager
def shown() -> Iterator[Show]:
    """A function that shows how far it is: live in a terminal, else a line now and then."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            yield lambda sent, seen: live.update(view(sent, seen))
        return
    began = last = time.monotonic()

    def line(sent: Sent, seen: dict[str, Seen]) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            parts = [f"{name} {one.count:,} of {sent.counts[RELEASES[name]]:,}" for name, one in seen.items()]
            print_line(f"{last - began:4.0f} s  " + "  ".join(parts))

    yield line


def view(sent: Sent, seen: dict[str, Seen]) -> Table:
    """Two tables in one: how far each release is, and the newest rides that all of them know."""
    counts = Table(
        "release", "events", *[Column(name, justify="right") for name in ("sent", "predicted", "waiting", "p50", "p99")]
    )
    for release, kind in RELEASES.items():
        one = seen[release]
        waiting = max(0, sent.counts[kind] - one.count)
        counts.add_row(release, kind, f"{sent.counts[kind]:,}", f"{one.count:,}", f"{waiting:,}",
                       f"{one.p50:.0f} ms", f"{one.p99:.0f} ms")  # fmt: skip
    rides = Table("ride", *[Column(name, justify="right") for name in ("miles", *RELEASES)])
    known = sorted(set.intersection(*(set(one.latest) for one in seen.values())))[-SHOWN:]
    for key in known:
        distance = seen["tip"].latest[key][0]
        rides.add_row(key, f"{distance:.1f}", *[UNITS[name].format(one.latest[key][1]) for name, one in seen.items()])
    both = Table.grid()
    both.add_row(counts)
    both.add_row(rides if known else "")
    return both


def draw(table: Table, file: Path) -> None:
    """Write a table as a terminal shows it, as SVG; without the font that Rich would fetch from another host."""
    picture = Console(record=True, width=90, file=io.StringIO())
    picture.print(table)
    svg = picture.export_svg(title="python examples/taxi/drive.py")
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


def report(sent: Sent, seen: dict[str, Seen]) -> None:
    """Say of each release whether each of its events has one prediction.

    Raises:
        Unfinished: One has none, or two.
    """
    rows = [(name, sent.counts[kind], seen[name]) for name, kind in RELEASES.items()]
    lines = [(name, f"{wanted:,}", f"{one.predictions:,}", verdict(wanted, one)) for name, wanted, one in rows]
    print_table([("release", "events", "predictions", ""), *lines])
    if sent.failed:
        raise Unfinished(f"{len(sent.failed):,} events were not sent: {sent.failed[0]}")
    wrong = [f"{name} {said}" for name, _, _, said in lines if said != EQUAL]
    if wrong:
        raise Unfinished(f"Not each event has one prediction: {'; '.join(wrong)}. trifold status shows the consumers.")
    total = sum(one.predictions for one in seen.values())
    print_line(f"{sum(sent.counts.values()):,} events, {total:,} predictions: each event counts once for each model.")


def verdict(wanted: int, seen: Seen) -> str:
    """How the predictions of a release compare with its events."""
    missing, more = wanted - seen.count, seen.predictions - seen.count
    said = [f"{number:,} {word}" for number, word in ((missing, "missing"), (more, "more than once")) if number]
    return ", ".join(said) or EQUAL
