"""The report of a batch run as people open it: a file, in a real browser, by day, at night, on a phone and on paper."""

import dataclasses
import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests import batch_reports
from trifold.batch.report import render

KINDS = ("churn", "sales", "wines", "patients", "no profile", "all rejected", "no rows")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
HOSTILE = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/' onerror='alert(1)'>"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Reports of runs of all kinds, by name."""
    return batch_reports.samples(tmp_path_factory.mktemp("reports"))


@pytest.fixture
def open_report(open_page, tmp_path):
    """A function that writes a report to a file and opens it."""

    def open_one(report, **options):
        file = tmp_path / f"report-{len(list(tmp_path.iterdir()))}.html"
        file.write_text(render(report), encoding="utf-8")
        return open_page(file.as_uri(), **options)

    return open_one


def no_wider_than_its_window(page):
    """Whether there is nothing to scroll sideways but in tables."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("kind", "scheme"), [*((kind, "light") for kind in KINDS), ("churn", "dark"), ("sales", "dark")]
)
def test_each_report_can_be_read_by_day_and_at_night(reports, open_report, axe, shot, kind, scheme):
    """axe-core finds nothing serious, contrast included; nothing is asked of anybody, nothing complains."""
    page = open_report(reports[kind], color_scheme=scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    expect(page.get_by_role("heading", level=1)).to_have_text(reports[kind].title)
    assert no_wider_than_its_window(page)
    axe(page)
    shot(page, f"batch-{kind.replace(' ', '-')}-{scheme}")


@pytest.mark.parametrize("kind", ["churn", "sales", "all rejected"])
def test_each_report_fits_a_phone(reports, open_report, axe, shot, kind):
    """No part of the page is wider than the phone, and letters in plots are as large as on a desk."""
    page = open_report(reports[kind], **PHONE)
    assert no_wider_than_its_window(page)
    for letters in page.locator(".plot text").all():
        assert letters.evaluate("each => parseFloat(getComputedStyle(each).fontSize)") >= 12
    axe(page)
    shot(page, f"batch-{kind.replace(' ', '-')}-phone")


@pytest.mark.parametrize("kind", ["churn", "sales", "patients"])
@pytest.mark.parametrize("width", [360, 700, 1100])
def test_marks_of_an_axis_do_not_overlap(reports, open_report, kind, width):
    """Letters over letters cannot be read, whatever the width."""
    page = open_report(reports[kind], viewport={"width": width, "height": 900})
    boxes = [mark.bounding_box() for mark in page.locator(".plot > text").all()]
    assert len(boxes) >= 2
    for before, after in pairwise(boxes):
        assert before["x"] + before["width"] < after["x"]


def test_a_plot_is_told_to_who_cannot_see_it(reports, open_report):
    """Its name and its description, and every figure in a table."""
    page = open_report(reports["sales"])
    plot = page.get_by_role("img", name="What was, and what is forecast")
    expect(plot).to_have_accessible_description(re.compile(r"48 past values.*2009-01 33\.10, likely between 31\.20"))
    expect(page.get_by_role("row", name="2009-01 33.10 31.20 35.00")).to_be_visible()


def test_a_bar_tells_its_figures_when_pointed_at(reports, open_report):
    """Without a script: by the title that SVG has for it."""
    page = open_report(reports["churn"])
    titles = page.locator(".plot rect title").all_text_contents()
    assert len(titles) == 20
    assert re.fullmatch(r"up to 5 %: [\d,]+ rows, \d+ %, \d+ % at training", titles[0])


def test_the_rest_is_a_click_or_a_key_away(reports, open_report):
    """The columns that differ least are folded in, and open without a mouse."""
    page = open_report(reports["churn"])
    expect(page.get_by_text("senior_citizen")).not_to_be_visible()
    page.locator("summary", has_text="11 more").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("senior_citizen")).to_be_visible()


def test_paper_is_light_and_loses_nothing(reports, open_report, shot):
    """Who prints at night gets no black pages, and tables are not cut where a screen would scroll."""
    page = open_report(reports["churn"], color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(each => each.scrollWidth <= each.clientWidth)"
    )
    shot(page, "batch-churn-print")


def test_hostile_texts_do_nothing(reports, open_report, axe):
    """A customer who is called by a script is a row like any other."""
    report = reports["churn"]
    bins = dataclasses.replace(report.bins, words={"Yes": HOSTILE, "No": "x" * 300})
    top = [{"key": HOSTILE, "score": 0.9, "prediction": "Yes", "kept": None}, {**report.top[0], "key": "k" * 500}]
    page = open_report(dataclasses.replace(report, bins=bins, top=top, title="t" * 200, key=HOSTILE), **PHONE)
    expect(page.get_by_role("rowheader", name=HOSTILE).last).to_be_attached()
    assert page.title().startswith("ttt")
    assert no_wider_than_its_window(page)
    axe(page)
