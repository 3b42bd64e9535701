"""The report of a run: one HTML page that holds all it shows, for whoever has to decide whether to use the predictions.

It names rows by key, so it belongs where the predictions are and on no open page.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from trifold.batch import figures, plots
from trifold.batch.bins import Bins
from trifold.batch.drift import CHANGED, CHANGED_FROM, LOOK, LOOK_FROM, STABLE, TOO_FEW
from trifold.batch.figures import VERDICTS, Drift
from trifold.batch.words import alike, duration, moment, number, percent, rows
from trifold.contract.checked import printable
from trifold.errors import RULES

MOST_CLASSES, MOST_COMPARED, MOST_REASONS, MOST_POINTS = 12, 12, 50, 500
"""Of each, what the page shows; what is more is said in a sentence."""
LEAST_COLUMNS, MOST_COLUMNS = 8, 40
"""How many columns are shown at once; a click shows the rest."""
LONGEST_PSI = 0.5
"""Where the bar of a PSI ends."""
NO_METRIC = re.compile(r"[^\w.\- ]")
"""What stands in no metric's name, or makes a folder of it; source: mlflow.utils.validation."""
LONGEST_METRIC = 240
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"number": number, "percent": percent, "duration": duration, "bar": plots.bar}


@dataclass(frozen=True)
class Report:
    """What a report tells.

    Attributes:
        title: The model's name for people.
        description: What it answers.
        note: What whoever reads an answer has to know.
        unit: Unit of a regressor's prediction.
        model: The registered model's name.
        version: Its version.
        digest: SHA-256 of its artifact.
        run_id: The MLflow run that trained it.
        release: The Helm release.
        job: The job's name.
        slot: The scheduled instant.
        window: From when to when rows were taken.
        time_zone: The job's, in which times are shown.
        shards: How many processes shared the run.
        rows: Rows scored.
        rejects: Rows refused.
        seconds: How long it took.
        statistics: As `statistics.merged` gave them.
        bins: The model's.
        key: Name of the column that identifies a row.
        rejects_by: Rule, column, rows, and what was expected.
        top: As `statistics.merged_top` gave them.
        history: Time and value of what was, for the plot of a forecast.
        forecast: Key, prediction, low and high, in the order of time; none for anything but a forecast.
    """

    title: str
    description: str
    note: str | None
    unit: str | None
    model: str
    version: str
    digest: str
    run_id: str
    release: str
    job: str
    slot: datetime
    window: tuple[datetime, datetime]
    time_zone: str
    shards: int
    rows: int
    rejects: int
    seconds: float
    statistics: Mapping[str, Any]
    bins: Bins
    key: str = "key"
    rejects_by: Sequence[tuple[str, str | None, int, str]] = ()
    top: Sequence[Mapping[str, Any]] = ()
    history: Sequence[tuple[str, float]] = ()
    forecast: Sequence[tuple[str, float, float | None, float | None]] = ()


def render(report: Report) -> str:
    """The page."""
    bins, statistics = report.bins, report.statistics
    drifts, points = figures.drifts(bins, statistics), figures.points(report.forecast)
    differ = [drift for drift in drifts if drift.verdict in (CHANGED, LOOK)]
    reasons = sorted(report.rejects_by, key=lambda entry: -entry[2])
    page = _ENVIRONMENT.get_template(
        "report.html"
    ).render(
        report=report,
        slot=moment(report.slot, report.time_zone),
        window=[moment(end, report.time_zone) for end in report.window],
        answer=_answer(report, points),
        input=_input(report, drifts),
        classes=_classes(report),
        not_sure=_not_sure(report),
        points=points[:MOST_POINTS],
        forecast=figures.forecast(report.history, points),
        histogram=None if points else figures.histogram(bins, statistics["scores"]),
        score=_score(report),
        drifts=[] if all(drift.verdict == TOO_FEW for drift in drifts) else drifts,  # the words above say so
        first=max(LEAST_COLUMNS, min(len(differ), MOST_COLUMNS)),
        differ=[(drift, figures.comparison(drift)) for drift in differ[:MOST_COMPARED]],
        more_differ=len(differ) - MOST_COMPARED,
        verdicts=VERDICTS,
        psi={"look": LOOK_FROM, "changed": CHANGED_FROM, "longest": LONGEST_PSI},
        reasons=[(RULES.get(rule, rule), *rest) for rule, *rest in reasons[:MOST_REASONS]],
        top=figures.top(bins, report.top),
    )
    return printable(page)


def metrics(report: Report) -> dict[str, float]:
    """The run's figures under names that MLflow takes; a PSI that too few rows made is none."""
    total = report.rows + report.rejects
    found: dict[str, float] = {
        "rows": report.rows,
        "rejects": report.rejects,
        "reject_rate": report.rejects / total if total else 0.0,
        "seconds": report.seconds,
        "rows_per_second": report.rows / report.seconds if report.seconds else 0.0,
    }
    not_sure = _not_sure(report)
    if not_sure:
        found["not_sure"] = not_sure[0]
    classes = report.statistics["classes"] or {}
    for label, count in classes.items():
        _put(found, f"share.{label}", count / sum(classes.values()))
    drifts = figures.drifts(report.bins, report.statistics)
    known = {drift.bins.name: drift.psi for drift in drifts if drift.verdict != TOO_FEW}
    if known:
        found["psi_max"] = max(known.values())
    for name in sorted(known):
        _put(found, f"psi.{name}", known[name])
    return found


def _put(found: dict[str, float], name: str, value: float) -> None:
    """Under the name made valid, with a number where another has that name already."""
    valid = NO_METRIC.sub("_", name)[:LONGEST_METRIC]
    free, count = valid, 1
    while free in found:
        count += 1
        free = f"{valid}_{count}"
    found[free] = value


def _answer(report: Report, points: Sequence[plots.Point]) -> str:
    unit = f" {report.unit}" if report.unit else ""
    if not report.rows:
        return "No row could be scored." if report.rejects else "There was nothing to score."
    if len(points) == 1:
        return f"{points[0].name}: {plots.in_words(points)[0]}{unit}."
    if points:
        return f"{len(points):,} forecasts, {_span([point.value for point in points])}{unit}."
    labels, classes, least = report.bins.labels, report.statistics["classes"], report.statistics["least"]
    if len(labels) == 2 and classes:
        share = classes.get(labels[1], 0) / sum(classes.values())
        return f"{percent(share)} of {rows(report.rows)}: {figures.plain(report.bins, labels[1])}."
    if classes:
        (name, _, share), *_ = _classes(report)
        return f"{rows(report.rows)} scored; {percent(share)} are “{name}”."
    if not report.bins.has_classes and least is not None:
        return f"{rows(report.rows)} scored, with predictions {_span([least, report.statistics['greatest']])}{unit}."
    return f"{rows(report.rows)} scored."


def _span(values: Sequence[float]) -> str:
    write = alike(values)
    return f"from {write(min(values))} to {write(max(values))}"


def _input(report: Report, drifts: Sequence[Drift]) -> tuple[str, str]:
    """What the rows are like, as a verdict and in words."""
    if not report.rows:
        refused = f"All {report.rejects:,} were refused; the reasons are below."
        return ("refused", refused) if report.rejects else ("", "The source had no row for this slot.")
    if not report.bins.columns:
        return "", "Whether these rows are like the training data is not known: the model has no sample of it."
    worst = drifts[0].verdict if drifts else TOO_FEW
    several = [drift.title for drift in drifts if drift.verdict == worst]
    more = f" and {len(several) - 3} more" if len(several) > 3 else ""
    named = f"{len(several)} of {len(drifts)} columns: {', '.join(several[:3])}{more}."
    return worst, {
        STABLE: f"The rows are like the training data in each of {len(drifts)} columns.",
        TOO_FEW: "There are too few rows to tell whether they are like the training data.",
        LOOK: f"The rows are much like the training data; a little has moved in {named}",
        CHANGED: f"The rows are not like the training data in {named} Have somebody look at that before you rely on "
        "the predictions.",
    }[worst]


def _classes(report: Report) -> list[tuple[str, int, float]]:
    """Words, rows and share of the most frequent predictions."""
    counts = report.statistics["classes"] or {}
    frequent = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    named = [(figures.plain(report.bins, label), count) for label, count in frequent[:MOST_CLASSES]]
    rest = sum(count for _, count in frequent[MOST_CLASSES:])
    named += [(f"{len(frequent) - MOST_CLASSES} others", rest)] if rest else []
    return [(name, count, count / sum(counts.values())) for name, count in named]


def _not_sure(report: Report) -> tuple[int, float] | None:
    """Rows whose answer is called not sure, and their share; None where none is ever called so."""
    if report.bins.threshold is None or not report.bins.labels or not report.statistics["rows"]:
        return None
    return report.statistics["not_sure"], report.statistics["not_sure"] / report.statistics["rows"]


def _score(report: Report) -> str:
    labels = report.bins.labels
    if len(labels) == 2:
        return f"Of each row, the probability of “{figures.plain(report.bins, labels[1])}”."
    if labels:
        return "Of each row, the probability of the answer that the model gave."
    return f"Of each row, the prediction{f' in {report.unit}' if report.unit else ''}."
