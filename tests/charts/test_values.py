"""The values of both charts: documented, known to the schema, and each of some effect."""

from functools import reduce

import pytest
import yaml

from tests.charts import knobs, leaves, render

every_leaf = pytest.mark.parametrize(
    ("chart", "path"), [(name, path) for name in render.NAMES for path in leaves.leaves(name)]
)


@every_leaf
def test_a_value_is_described(chart, path):
    """A sentence in values.yaml says what a value does, and the schema's description stands in editors."""
    comment = leaves.leaves(chart)[path].comment
    assert comment.endswith("."), f"values.yaml has no `# -- ` sentence above {path}"
    assert leaves.schema(chart, path).get("description", "").endswith("."), f"the schema has no description of {path}"


@render.charts
def test_values_and_schema_have_the_same_keys(chart):
    """Every key is there with its default, and the schema knows no other."""
    for section in leaves.sections(chart):
        start = f"{section}." if section else ""
        inside = {path.removeprefix(start).partition(".")[0] for path in leaves.leaves(chart) if path.startswith(start)}
        assert set(leaves.schema(chart, section)["properties"]) == inside, section


@render.charts
def test_unknown_values_are_refused_at_every_level(chart):
    """A typing error is an error, and no default that stays."""
    overlay = {}
    for section in leaves.sections(chart):
        _put(overlay, [*filter(None, section.split(".")), "nope"], 1)
    with pytest.raises(render.Refused) as refused:
        render.text(chart, knobs.FILE[chart], values=overlay)
    for section in leaves.sections(chart):
        place = "/" + section.replace(".", "/")
        assert f"at '{place.rstrip('/')}': additional properties 'nope' not allowed" in str(refused.value)


@every_leaf
def test_a_value_has_an_effect(chart, path):
    """A knob that turns nothing is a promise that is not kept."""
    values = knobs.context(chart, path)
    before = render.text(chart, knobs.FILE[chart], values=values)
    file = yaml.safe_load((render.CHARTS / chart / "ci" / knobs.FILE[chart]).read_text())
    value = leaves.leaves(chart)[path].default
    for source in (file, values):
        value = _get(source, path.split("."), value)
    other = knobs.otherwise(chart, path, value, leaves.schema(chart, path))
    changed = reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), other)
    try:
        assert render.text(chart, knobs.FILE[chart], values=_merged(values, changed)) != before
    except render.Refused:
        assert path in knobs.REFUSED[chart]


@render.charts
def test_a_values_file_stays_readable(chart):
    """Over 300 lines there are too many knobs."""
    assert len((render.CHARTS / chart / "values.yaml").read_text().splitlines()) <= 300


@render.charts
def test_the_readme_has_all_values(chart):
    """Its table is what values.yaml says; `python tests/charts/leaves.py` writes it anew."""
    readme = (render.CHARTS / chart / "README.md").read_text()
    assert leaves.MARK.search(readme)
    assert readme == leaves.with_table(readme, chart)


def _put(values, keys, value):
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value


def _get(values, keys, default):
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return default
        values = values[key]
    return values


def _merged(under, over):
    """Two maps of values, as Helm merges them."""
    both = {key: _merged(under[key], over[key]) for key in under.keys() & over.keys() if isinstance(under[key], dict)}
    return {**under, **over, **both}
