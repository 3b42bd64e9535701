"""The report: what it says first, that it says it right, and that nothing in it can do more than be read."""

import dataclasses
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import batch_reports
from trifold.batch import plots, words
from trifold.batch.bins import Bins, ColumnBins
from trifold.batch.figures import MOST_FORECAST, MOST_HISTORY
from trifold.batch.plots import Bar, Point, Words
from trifold.batch.report import metrics, render

HOSTILE = "<script>alert('x')</script>\"'&{{ 7 * 7 }}</style>"
CALLED = Words("plot", "A <plot>", "What & how")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Reports of runs of all kinds, by name."""
    return batch_reports.samples(tmp_path_factory.mktemp("reports"))


class Page(HTMLParser):
    """A page taken apart: its words, tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self.attributes, self._unread = "", [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note it."""
        self.tags.append(tag)
        self.attributes += attributes
        if tag in ("style", "title", "desc"):
            self._unread = tag

    def handle_endtag(self, tag):
        """Words are for people again."""
        if tag == self._unread:
            self._unread = None

    def handle_data(self, data):
        """Keep what people read."""
        if self._unread is None:
            self.words = re.sub(r"\s+", " ", f"{self.words} {data}")


def read(report):
    """The words of a report."""
    return Page(render(report)).words


def test_the_answer_comes_first_in_words(reports):
    """Whoever reads two sentences knows what was predicted and whether to rely on it."""
    said = read(reports["churn"])
    share = reports["churn"].statistics["classes"]["Yes"] / 2043
    places = [
        said.index(text)
        for text in (
            "Will this customer leave?",
            f"{100 * share:.0f} % of 2,043 rows: This customer will probably leave.",
            "The rows are not like the training data in 2 of 19 columns: Pays by, Charge a month.",
            "Scored 2,043 Refused 14 0.7 % Not sure",
            "What the model said",
            "How sure the model is",
            "Is the input like the training data?",
            "Why rows were refused",
            "The 20 rows with the greatest probability",
            "About this run",
        )
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("name", "sentences"),
    [
        ("sales", ["12 forecasts, from 20.43 to 33.10 million dollars.", "2009-01 33.10 31.20 35.00"]),
        ("wines", ["178 rows scored; 40 % are “white”.", "The rows are like the training data in each of 13 columns."]),
        ("patients", ["442 rows scored, with predictions from", "spread"]),
        ("no profile", ["is not known: the model has no sample of it.", "442 rows scored, with predictions from"]),
        ("all rejected", ["No row could be scored.", "All 14 were refused; the reasons are below.", "100 %"]),
        ("no rows", ["There was nothing to score.", "The source had no row for this slot."]),
    ],
)
def test_each_kind_of_run_is_told_in_sentences(reports, name, sentences):
    """A forecast, classes, numbers, and the runs in which there is nothing to tell."""
    said = read(reports[name])
    assert [sentence for sentence in sentences if sentence not in said] == []


def test_a_run_of_nothing_shows_no_empty_plot(reports):
    """No histogram, no comparison, no table without a row."""
    for name in ("all rejected", "no rows"):
        said = read(reports[name])
        assert "How sure" not in said
        assert "Is the input" not in said
        assert "greatest" not in said


def test_few_rows_are_called_few(reports, tmp_path):
    """Five wines are not compared with 178: it would say that all has changed."""
    report = batch_reports.wines(tmp_path, rows=5)
    assert "There are too few rows to tell" in read(report)
    assert "psi_max" not in metrics(report)
    assert "How sure the model is" not in read(report)


def test_columns_that_changed_are_compared_bin_by_bin(reports):
    """A way to pay that was never seen stands as other: 30 % now, none at training."""
    said = read(reports["churn"])
    part = said[said.index("What differs") : said.index("Why rows")]
    assert re.search(r"Pays by Value Bars This run Training data Electronic check 24 % 35 %", part)
    assert re.search(r"\(other\) 29 % 0 %", part)
    assert "Charge a month in dollars" in part
    assert "over 102.5 42 % 9.7 %" in part
    assert "Contract" not in part


def test_refusals_are_counted_by_reason_the_commonest_first(reports):
    """With the column, the reason in the words of every mode, and what was expected."""
    said = read(reports["churn"])
    first = said.index("11 contract a required value is null a string")
    assert first < said.index("3 tenure a value of another type a whole number")
    assert "1 (the row) the model itself raised ValueError for this row" in said


def test_top_rows_stand_with_their_key_and_what_is_kept(reports):
    """Marketing calls these first: by key, probability and segment."""
    report, said = reports["churn"], read(reports["churn"])
    best = report.top[0]
    shown = f"customer_id Probability Answer segment months {best['key']} {words.percent(best['score'])} This customer"
    assert shown in said
    assert [row["score"] for row in report.top] == sorted((row["score"] for row in report.top), reverse=True)


def test_what_is_kept_may_be_anything_that_json_has(reports):
    """Numbers, nothing, lists, a column that only some rows have, and text that is no object."""
    kept = ['{"a": null, "b": [1, 2]}', None, '"plain"', '{"c": "<b>"}']
    top = [{**row, "kept": text} for row, text in zip(reports["churn"].top, kept, strict=False)]
    page = Page(render(dataclasses.replace(reports["churn"], top=top)))
    assert "Answer a b kept c" in page.words
    assert "[1, 2]" in page.words
    assert "b" not in page.tags


def test_times_are_those_of_the_jobs_time_zone(reports):
    """06:00 UTC is 07:00 in Berlin in winter and 08:00 in summer; the zone stands beside it."""
    assert "Monday 2 November 2026, 07:00 (Europe/Berlin)" in read(reports["churn"])
    assert words.moment(datetime(2026, 7, 6, 6, tzinfo=UTC), "Europe/Berlin") == "Monday 6 July 2026, 08:00"
    assert words.moment(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/Berlin") == "Sunday 25 October 2026, 02:30"
    assert "Rows since Monday 26 October 2026, 00:00" in read(reports["churn"])


def test_the_facts_are_all_there(reports):
    """Which model, which run, which window: a report that is found in a drawer still says what it is of."""
    report, said = reports["churn"], read(reports["churn"])
    facts = ("churn, version 7", report.digest, report.run_id, "churn-weekly, weekly", "3.2 s in 4 shards, 636 rows a")
    assert [fact for fact in facts if fact not in said] == []


def test_nothing_is_asked_of_anybody_and_nothing_runs(reports):
    """The page may be opened years later, offline, from a mail: no script, no link, no font, no picture but its own."""
    for report in reports.values():
        text = render(report)
        page = Page(text)
        assert {"script", "a", "img", "iframe", "form", "object", "base"} & set(page.tags) == set()
        links = [value for name, value in page.attributes if name in ("href", "src", "srcset", "action")]
        assert links == ["data:,"]
        assert "url(" not in text
        assert "@import" not in text
        assert [name for name, _ in page.attributes if name.startswith("on")] == []
        assert any("default-src 'none'" in str(value) for name, value in page.attributes if name == "content")


def test_ids_are_unique(reports):
    """A title that two elements share names neither for a screen reader."""
    for report in reports.values():
        attributes = Page(render(report)).attributes
        ids = [value for name, value in attributes if name == "id"]
        assert len(ids) == len(set(ids))
        told = [value for name, value in attributes if name in ("aria-labelledby", "aria-describedby")]
        assert set(told) <= set(ids)


def test_hostile_texts_are_only_ever_read(reports):
    """Keys, classes, columns and titles come from data and from strangers."""
    report = reports["churn"]
    columns = tuple(
        dataclasses.replace(each, title=HOSTILE, unit=HOSTILE, kinds=each.kinds and (HOSTILE, *each.kinds[1:]))
        for each in report.bins.columns
    )
    bins = dataclasses.replace(report.bins, columns=columns, words={"Yes": HOSTILE, "No": HOSTILE})
    texts = ("title", "description", "note", "model", "version", "digest", "run_id", "release", "job", "key", "unit")
    hostile = dataclasses.replace(
        report,
        **dict.fromkeys(texts, HOSTILE),
        bins=bins,
        rejects_by=[(HOSTILE, HOSTILE, 3, HOSTILE)],
        top=[{"key": HOSTILE, "score": 0.9, "prediction": "Yes", "kept": '{"<script>": "<script>"}'}],
    )
    coming = dataclasses.replace(
        hostile, forecast=[(HOSTILE, 1.0, 0.5, 2.0), ("later", 2.0, None, None)], history=[(HOSTILE + "0", 1.0)]
    )
    for each in (hostile, coming):
        page = Page(render(each))
        assert "script" not in page.tags
        assert page.tags.count("style") == 1
        assert page.words.count("{{ 7 * 7 }}") > 10
        assert "49</style>" not in page.words


def test_a_text_that_utf8_cannot_carry_is_written_all_the_same(reports):
    """Half a surrogate pair in a key must not lose the whole report."""
    top = [{**reports["churn"].top[0], "key": "\ud800"}]
    assert "?" in render(dataclasses.replace(reports["churn"], top=top)).encode().decode()


def test_the_same_run_makes_the_same_report(reports):
    """Byte for byte: a report that is redone does not look like another."""
    assert render(reports["churn"]) == render(reports["churn"])


def test_a_report_is_small(reports):
    """Ten years of hourly reports of this size are 4 GB."""
    assert max(len(render(report)) for report in reports.values()) < 50_000


def test_of_very_much_the_page_shows_the_first(tmp_path, reports):
    """500 columns, 40 classes, 300 reasons, 1,000 forecasts: still a page that opens, and says that there is more."""
    columns = tuple(ColumnBins(f"c{place}", place, cuts=(0.0,), reference=(500, 500, 0)) for place in range(500))
    classes = {f"class {place:02}": 1000 - place for place in range(40)}
    counts = {column.name: [1000, 0, 0] for column in columns}
    statistics = {"rows": 1000, "looked_at": 1000, "not_sure": 0, "least": None, "greatest": None, "scores": []}
    report = dataclasses.replace(
        reports["churn"],
        bins=Bins(columns=columns, has_classes=True),
        statistics={**statistics, "columns": counts, "classes": classes},
        rejects_by=[("type", f"c{place}", 1, "a number") for place in range(300)],
        top=(),
    )
    said = read(report)
    assert "28 others" in said
    assert "460 more" in said
    assert "488 more columns differ less." in said
    assert "250 more reasons" in said
    coming = [(f"row {place}", float(place), None, None) for place in range(1000)]
    forecast = render(dataclasses.replace(reports["sales"], forecast=coming))
    assert "The plot shows the first 24 of 1,000 forecasts." in Page(forecast).words
    assert len(forecast) < 100_000


def test_metrics_have_names_that_mlflow_takes(reports):
    """A refused name would lose all the run's figures."""
    from mlflow.utils.validation import _validate_metric_name

    names = ("a/b", "a_b", "a?b", "..", "Größe", "x" * 400, "", HOSTILE)
    columns = tuple(ColumnBins(name, place, cuts=(0.0,), reference=(5, 5, 0)) for place, name in enumerate(names))
    statistics = {
        "rows": 10, "looked_at": 10, "not_sure": 0, "least": 0.0, "greatest": 1.0, "scores": [],
        "columns": {name: [5, 5, 0] for name in names}, "classes": dict.fromkeys(names, 1),
    }  # fmt: skip
    report = dataclasses.replace(
        reports["churn"], bins=Bins(columns=columns, has_classes=True), statistics=statistics, top=()
    )
    found = metrics(report)
    for name in found:
        _validate_metric_name(name)
        assert len(name) <= 250
    assert sum(name.startswith("psi.") for name in found) == len(names)
    assert sum(value for name, value in found.items() if name.startswith("share.")) == pytest.approx(1)


def test_metrics_are_the_figures_of_the_report(reports):
    """The trend of a job is drawn of these."""
    found = metrics(reports["churn"])
    assert (found["rows"], found["rejects"], found["reject_rate"]) == (2043, 14, 14 / 2057)
    assert found["rows_per_second"] == pytest.approx(2043 / 3.21)
    assert found["share.Yes"] + found["share.No"] == 1
    assert found["psi_max"] == found["psi.payment_method"] > 1
    assert found["psi.female"] < 0.01
    assert "not_sure" in found
    assert all(type(value) in (int, float) and np.isfinite(value) for value in found.values())
    for name in ("no rows", "all rejected", "no profile"):
        assert not [each for each in metrics(reports[name]) if each.startswith("psi")]


def parsed(plot):
    """A plot as XML, which it has to be."""
    return ET.fromstring(str(plot))  # noqa: S314 - ours


def test_a_plot_has_words_for_who_cannot_see_it():
    """A title, a description, and the role of a picture."""
    svg = parsed(plots.histogram(CALLED, [Bar("a", 0.5, 0.25)], [])).find("svg")
    assert svg.get("role") == "img"
    assert (svg.find("title").text, svg.find("desc").text) == ("A <plot>", "What & how")
    assert svg.get("aria-labelledby") == svg.find("title").get("id")
    assert svg.get("aria-describedby") == svg.find("desc").get("id")


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=23))
def test_bars_are_as_high_as_their_shares(shares):
    """And stay within the plot; the line of the training data runs at its own heights."""
    root = parsed(plots.histogram(CALLED, [Bar("b", *pair) for pair in shares], [(0, "0")]))
    heights = [float(rect.get("height")) for rect in root.iter("rect")]
    top = next(float(text.text.removesuffix(" %")) for text in reversed([*root.iter("text")][:-1])) / 100
    assert heights == pytest.approx([plots.HEIGHT * found / top for found, _ in shares], abs=0.06)
    assert all(0 <= float(rect.get("y")) <= plots.HEIGHT for rect in root.iter("rect"))
    steps = [float(corner.split()[1]) for corner in root.find(".//path").get("d")[1:].split("L")]
    assert steps[1:-1:2] == pytest.approx([plots.HEIGHT * (1 - expected / top) for _, expected in shares], abs=0.06)


def test_a_forecast_stands_behind_its_history():
    """Points to the right of the line, each with its range; a month that both know has one place."""
    history = [Point("January", 10.0), Point("February", 12.0)]
    coming = [Point("February", 11.0, 10.0, 12.0), Point("March", 13.0, 12.0, 15.0), Point("April", 14.0)]
    root = parsed(plots.line(CALLED, history, coming))
    across = [float(point.get("cx")[:-1]) for point in root.iter("circle")]
    assert across == [37.5, 62.5, 87.5]
    ranges = [line for group in root.iter("g") if group.get("class") == "forecast" for line in group.findall("line")]
    assert len(ranges) == 2
    for line, point in zip(ranges, root.iter("circle"), strict=False):
        assert float(line.get("y2")) < float(point.get("cy")) < float(line.get("y1"))
    assert "March: 13, likely between 12 and 15" in [title.text for title in root.iter("title")]


def test_only_the_end_of_a_long_history_is_drawn(reports):
    """204 months on a phone are a smear."""
    text = render(reports["sales"])
    path = re.search(r'd="(M[^"]+)" class="history"', text).group(1)
    assert path.count("L") == MOST_HISTORY - 1
    assert text.count("<circle cx") == min(12, MOST_FORECAST) + 1


def test_a_forecast_is_drawn_whatever_its_numbers(reports):
    """Without history, without ranges, with a point that is no number, and with one value throughout."""
    report = dataclasses.replace(
        reports["sales"], history=[], forecast=[("a", 0.0, None, None), ("b", float("nan"), None, None)]
    )
    assert "a: 0 million dollars." in read(report)
    flat = dataclasses.replace(reports["sales"], history=[("x", 5.0)], forecast=[("a", 5.0, 5.0, float("inf"))])
    assert "a: 5 million dollars." in read(flat)


@settings(deadline=None)
@given(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.integers(2, 10))
def test_axes_have_a_few_round_marks_around_all(low, span, most):
    """From at most the least to at least the greatest, evenly, and not more than asked for by two."""
    high = low + span
    marks = plots.ticks(low, high, most)
    slack = 1e-6 * max(abs(low), abs(high), 1e-12)
    assert marks[0] <= low + slack
    assert high - slack <= marks[-1]
    assert 2 <= len(marks) <= most + 2
    assert all(after > before for before, after in pairwise(marks))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3.0, "3"), (0.1 + 0.2, "0.3"), (1234.5, "1,234"), (2e6, "2,000,000"), (-0.012345, "-0.01235")],
)
def test_numbers_are_written_as_people_do(value, text):
    """No exponent, no seventeen digits."""
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.0001, "under 0.1 %"), (0.9999, "over 99.9 %"), (0.013, "1.3 %"), (0.5, "50 %")],
)
def test_all_and_nothing_are_said_only_where_they_are(share, text):
    """One refused row of a million is not 0 %."""
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "under 0.1 s"), (3.21, "3.2 s"), (42, "42 s"), (59.7, "1 min 0 s"), (3720, "1 h 2 min")],
)
def test_durations_are_written_in_words(seconds, text):
    """Nobody divides by 60 in the head."""
    assert words.duration(seconds) == text


def test_the_report_needs_neither_a_server_nor_mlflow():
    """A batch pod loads no more than it uses."""
    program = "import sys, trifold.batch.report, trifold.batch.statistics; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"bentoml", "starlette", "mlflow", "matplotlib", "pandas"} & set(loaded) == set()
