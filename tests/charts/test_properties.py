"""What holds for every object of both charts, with each values file of ci/."""

import re

import pytest

from tests.charts import render
from tests.charts.checks import complaints

ELSEWHERE = re.compile(r"\{\{[^}]*\b(?:lookup|now|rand\w+|uuidv4|gen[A-Z]\w+)\b")
everything = pytest.mark.parametrize(("chart", "file"), render.cases())


@everything
def test_a_render_gives_no_complaint(chart, file):
    """Safe, sized, probed, labelled and wired, however it is configured (checks.py, wiring.py)."""
    assert complaints(render.objects(chart, file)) == []


@everything
def test_the_longest_release_name_fits(chart, file):
    """A name of 40 characters makes names that Kubernetes takes, and that still find each other."""
    assert complaints(render.objects(chart, file, release=render.LONGEST)) == []


@everything
def test_two_renders_are_equal(chart, file):
    """Nothing random and no time: GitOps would see a change at every look."""
    assert render.fresh(chart, file) == render.text(chart, file)


@everything
def test_lint_is_strict(chart, file):
    """`helm lint --strict` has nothing to say."""
    folder = render.CHARTS / chart
    done = render.run("lint", "--strict", folder, "--values", folder / "ci" / file)
    assert done.returncode == 0, done.stdout + done.stderr


@render.charts
def test_templates_are_small_and_look_at_values_only(chart):
    """Over 120 lines (helpers: 150) there are too many knobs; a render that asks the cluster or the clock is none."""
    for path in (render.CHARTS / chart / "templates").rglob("*.*"):
        template = path.read_text()
        assert len(template.splitlines()) <= (150 if path.name.startswith("_") else 120), path
        assert not ELSEWHERE.search(template), path
