"""What a chart's values.yaml and values.schema.json say of each value, and the README's table of them.

`python tests/charts/leaves.py` writes the tables anew.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[2] / "charts"
NAMES = sorted(path.parent.name for path in CHARTS.glob("*/Chart.yaml"))
MARK = re.compile(r"(<!-- values: [^\n]*-->\n).*?(<!-- end of values -->)", re.DOTALL)


@dataclass(frozen=True)
class Leaf:
    """A value that a user sets: its default, and the sentence above it."""

    default: Any
    comment: str


def leaves(chart):
    """The values by dotted path, in the file's order; what has a `# -- ` comment is one, however deep its default."""
    text = (CHARTS / chart / "values.yaml").read_text()
    return dict(_walk(yaml.compose(text, yaml.SafeLoader), text.splitlines(), ()))


def sections(chart):
    """The dotted paths of the maps that hold the leaves; "" is the whole."""
    return {path.rpartition(".")[0] for path in leaves(chart)} | {""}


def schema(chart, path=""):
    """The schema of the value at a path; KeyError if it has none."""
    whole = found = json.loads((CHARTS / chart / "values.schema.json").read_text())
    for key in filter(None, path.split(".")):
        found = _resolved(whole, found["properties"][key])
    return found


def table(chart):
    """The README's table of the values."""
    rows = [
        f"| `{path}` | `{_cell(json.dumps(leaf.default, ensure_ascii=False))}` | {_cell(leaf.comment)} |\n"
        for path, leaf in leaves(chart).items()
    ]
    return "| value | default | what it does |\n|---|---|---|\n" + "".join(rows)


def with_table(readme, chart):
    """A README's text with the table as it should be."""
    return MARK.sub(lambda mark: mark[1] + table(chart) + mark[2], readme)


def _walk(node, lines, above):
    for key, value in node.value:
        path = (*above, key.value)
        comment = _comment(lines, key.start_mark.line)
        if comment or not isinstance(value, yaml.MappingNode):
            yield ".".join(path), Leaf(yaml.SafeLoader("").construct_object(value, deep=True), comment)
        else:
            yield from _walk(value, lines, path)


def _comment(lines, number):
    """The lines of the `# -- ` comment right above a line, joined."""
    found = []
    while number and lines[number - 1].strip().startswith("#"):
        number -= 1
        found.insert(0, lines[number].strip().removeprefix("#").strip())
    return " ".join(found).removeprefix("-- ") if found and found[0].startswith("-- ") else ""


def _resolved(whole, found):
    while "$ref" in found:
        target = whole
        for key in found["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        found = {**target, **{key: value for key, value in found.items() if key != "$ref"}}
    return found


def _cell(text):
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for name in NAMES:
        file = CHARTS / name / "README.md"
        if file.exists():
            file.write_text(with_table(file.read_text(), name))
