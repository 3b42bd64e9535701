"""k8s/kind stands alone: it imports nothing of trifold/, and nothing of trifold/ imports it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("folder", "other"), [("k8s", "trifold"), ("trifold", "k8s")])
def test_neither_side_imports_the_other(folder, other):
    """The cluster can be made with Trifold broken, and an image never holds the cluster's tools."""
    found = []
    for path in (ROOT / folder).rglob("*.py"):
        for part in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in part.names] if isinstance(part, ast.Import) else []
            names += [part.module or ""] if isinstance(part, ast.ImportFrom) else []
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.split(".")[0] == other]
    assert not found
