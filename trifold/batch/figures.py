"""What the report shows of a run's counts: how far they are from training, and plots and tables with their words."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trifold.batch import plots, words
from trifold.batch.bins import Bins, ColumnBins
from trifold.batch.drift import CHANGED, LOOK, STABLE, TOO_FEW, judge, psi
from trifold.batch.plots import Bar, Point, Words
from trifold.batch.words import alike, number, percent, whole_percent

LEAST_ROWS = 30
"""Fewer make no histogram."""
MOST_HISTORY, MOST_FORECAST = 48, 24
"""Points of a forecast's plot."""
VERDICTS = {
    CHANGED: "changed",
    LOOK: "moved a little",
    TOO_FEW: "too few rows",
    STABLE: "stable",
}
"""What is said of a column, the worst first."""
YES_NO = {"True": "Yes", "False": "No"}


@dataclass(frozen=True)
class Drift:
    """How one column compares with training.

    Attributes:
        bins: The column's bins, with what the reference sample has in each.
        found: Rows of the run in each.
        psi: Their population stability index.
        verdict: One of VERDICTS.
    """

    bins: ColumnBins
    found: Sequence[int]
    psi: float
    verdict: str

    @property
    def title(self) -> str:
        """What people call the column."""
        return self.bins.title or self.bins.name


def drifts(bins: Bins, statistics: Mapping[str, Any]) -> list[Drift]:
    """How each column compares with training, the one that has changed most first; none where no row was counted."""
    found = []
    for column in bins.columns:
        counts = statistics["columns"].get(column.name) or [0] * len(column.reference)
        value, verdict = psi(column.expected, counts), judge(column.reference, counts)
        if value is not None and verdict is not None:
            found.append(Drift(column, counts, value, verdict))
    order = list(VERDICTS)
    return sorted(found, key=lambda drift: (order.index(drift.verdict), -drift.psi, drift.bins.place))


def comparison(drift: Drift) -> dict[str, Any]:
    """The bins of a column that hold anything: name, share found, share at training; and the greatest share."""
    column = drift.bins
    kinds = [*(YES_NO.get(kind, kind) for kind in column.kinds), "(other)"]
    names = [*(words.bins(column.cuts) if column.cuts else kinds), "(missing)"]
    found = [count / sum(drift.found) for count in drift.found]
    shares = [row for row in zip(names, found, column.expected, strict=True) if row[1] or row[2]]
    return {"shares": shares, "most": max(max(after, before) for _, after, before in shares)}


def histogram(bins: Bins, counts: Sequence[int]) -> dict[str, Any] | None:
    """The scores beside those of the reference sample: plot, shares (name, rows, found, at training), psi, verdict.

    None where there are no scores, or too few.
    """
    if not bins.cuts or sum(counts[:-1]) < LEAST_ROWS:
        return None
    of_class, last = bool(bins.labels), len(bins.cuts)
    names = words.bins(bins.cuts, whole_percent if of_class else None)
    found = [count / sum(counts) for count in counts]
    expected = [count / sum(bins.scores) for count in bins.scores]
    # What lies beside the reference sample's predictions is shown only where anything does.
    places = [place for place in range(last + 1) if of_class or 0 < place < last or counts[place]]
    shares = [(names[place], counts[place], found[place], expected[place] if expected else None) for place in places]
    busiest = max(shares, key=lambda row: row[1])
    called = Words(
        "scores",
        "How the scores are spread",
        f"{len(shares)} bars; the tallest, {busiest[0]}, holds {percent(busiest[2])} of the rows.",
    )
    drawn = [Bar(_in_words(*row), row[2], row[3]) for row in shares]
    return {
        "plot": plots.histogram(called, drawn, _axis(bins, outside=not of_class and 0 in places)),
        "shares": shares,
        "sample": sum(bins.scores),
        "psi": psi(expected, counts) if expected else None,
        "verdict": judge(bins.scores, counts) if expected else None,
    }


def points(forecast: Sequence[tuple[str, float, float | None, float | None]]) -> list[Point]:
    """A forecast's finite predictions, with a range where both ends are known."""
    known = [Point(*entry) for entry in forecast if math.isfinite(entry[1])]
    return [point if _has_range(point) else replace(point, low=None, high=None) for point in known]


def forecast(past: Sequence[tuple[str, float]], coming: Sequence[Point]) -> dict[str, Any] | None:
    """The last of what was and the first of what is forecast: plot, and what it holds; None without a forecast."""
    if not coming:
        return None
    history = [Point(name, value) for name, value in past if math.isfinite(value)][-MOST_HISTORY:]
    shown = coming[:MOST_FORECAST]
    last = f", the last {number(history[-1].value)} at {history[-1].name}" if history else ""
    said = "; ".join(f"{point.name} {words}" for point, words in zip(shown, plots.in_words(shown), strict=True))
    called = Words(
        "forecast",
        "What was, and what is forecast",
        f"A line of {len(history)} past values{last}; after it the forecast: {said}.",
    )
    return {
        "plot": plots.line(called, history, shown),
        "history": bool(history),
        "shown": len(shown),
        "ranges": any(map(_has_range, coming)),
        "write": alike(point.value for point in coming),
    }


def top(bins: Bins, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The table of the rows with the greatest scores: names of the kept columns, and rows."""
    kept = [_kept(row.get("kept")) for row in rows]
    names = list(dict.fromkeys(name for each in kept for name in each))
    write = percent if bins.labels else alike(row["score"] for row in rows)
    table = [
        {
            "key": row["key"],
            "score": write(row["score"]),
            "answer": plain(bins, row["prediction"]) if bins.has_classes else None,
            "kept": [each.get(name, "") for name in names],
        }
        for row, each in zip(rows, kept, strict=True)
    ]
    return {"names": names, "rows": table}


def plain(bins: Bins, label: str) -> str:
    """A class in words, without the full stop, to stand beside a bar."""
    return bins.words.get(label, label).removesuffix(".")


def _axis(bins: Bins, *, outside: bool) -> list[tuple[float, str]]:
    """Round marks below a histogram, at their place in bars; one bar more stands at its left where `outside`."""
    if bins.labels:
        return [((len(bins.cuts) + 1) * mark, whole_percent(mark)) for mark in plots.ticks(0, 1, 4)]
    least, greatest, wide = bins.cuts[0], bins.cuts[-1], len(bins.cuts) - 1
    most = plots.most_marks(number(mark) for mark in plots.ticks(least, greatest))
    marks = [mark for mark in plots.ticks(least, greatest, most) if least <= mark <= greatest]
    return [(outside + wide * (mark - least) / (greatest - least), number(mark)) for mark in marks]


def _in_words(name: str, count: int, found: float, expected: float | None) -> str:
    training = "" if expected is None else f", {percent(expected)} at training"
    return f"{name}: {words.rows(count)}, {percent(found)}{training}"


def _has_range(point: Point) -> bool:
    return all(end is not None and math.isfinite(end) for end in (point.low, point.high))


def _kept(text: str | None) -> dict[str, Any]:
    """The kept columns of a row, from their JSON text."""
    found = json.loads(text) if text else {}
    found = found if isinstance(found, dict) else {"kept": found}
    return {name: "" if value is None else value for name, value in found.items()}
