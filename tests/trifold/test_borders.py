"""What a running image imports: nothing of MLflow's, nothing of ours that stays at home."""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "trifold"
HOME_ONLY = ("mlflow", "trifold.ops", "trifold.training", "typer", "rich")
INSIDE = sorted(
    path.relative_to(ROOT)
    for path in PACKAGE.rglob("*.py")
    if "ops" not in path.parts and path not in (PACKAGE / "training.py", PACKAGE / "__init__.py")
)


def imports(path):
    """Modules that a file imports, anywhere in it."""
    for part in ast.walk(ast.parse(path.read_text())):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            yield from (f"{part.module}.{alias.name}" for alias in part.names)


@pytest.mark.parametrize("path", [*INSIDE, Path("service.py")], ids=str)
def test_no_module_of_the_image_imports_what_stays_at_home(path):
    """An import of MLflow would add seconds and hundreds of megabytes to every pod."""
    crossed = [name for name in imports(ROOT / path) if name.startswith(HOME_ONLY)]
    assert crossed == []


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("trifold.online.server", HOME_ONLY),
        ("trifold.batch.score", (*HOME_ONLY, "bentoml", "starlette", "uvicorn")),
        ("trifold.batch.__main__", (*HOME_ONLY, "bentoml", "starlette", "uvicorn")),
        ("trifold.stream.verify", (*HOME_ONLY, "bentoml", "starlette", "uvicorn")),
        ("trifold.stream.letters", (*HOME_ONLY, "bentoml", "starlette", "uvicorn")),
    ],
)
def test_what_is_loaded_in_the_bento_crosses_no_border(built_customers, module, without):
    """The Bento runs in an environment without MLflow; scoring and consuming will do without BentoML too."""
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(built_customers.bento / "src")}
    command = [str(built_customers.python), "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert [name for name in json.loads(done.stdout) if name.startswith(without)] == []


def test_no_example_column_stands_in_the_package():
    """Trifold knows no model; what it knows of one is in the model."""
    words = ("tenure", "monthly_charges", "total_charges", "paperless")
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    assert [str(path) for path, text in texts.items() if any(word in text for word in words)] == []
