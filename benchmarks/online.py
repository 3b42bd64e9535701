"""Requests a second and their times, one row of 20 numbers as JSON: Trifold beside its peers, interleaved in one go.

Each server has one worker on core 0, the load (wrk) is on core 1: 1, 8, 64 and 256 clients that wait for one answer
each. Every round starts each server anew, so that a slow minute of the machine meets all of them. A forest of 100 trees
shows Trifold where what waits would take longer than a second. Answers are counted by status.
Usage: .venv/bin/python benchmarks/online.py [--rounds 3] [--seconds 5]
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wrk

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 8, 64, 256)
COLUMNS = [f"x{number}" for number in range(20)]
JSON = {"Content-Type": "application/json"}
ROW = {name: round(0.37 * number - 3.1, 2) for number, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Server:
    """A server to be measured.

    Attributes:
        name: As the table shows it.
        command: What starts it; {port} is filled in.
        path: Where it predicts.
        body: What it is sent, the same row in its own form.
        folder: Where it is started.
        environment: Variables beyond the caller's.
        headers: Sent beside the body, and beside its Content-Type.
        compared: Whether it serves the model that all serve.
    """

    name: str
    command: list[str]
    path: str
    body: object
    folder: Path
    environment: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)
    compared: bool = True


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    for tool in ("wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed; on Debian: apt-get install wrk util-linux")
    with tempfile.TemporaryDirectory() as folder:
        servers = prepare(Path(folder))
        found: dict[tuple[str, int], list[wrk.Load]] = defaultdict(list)
        for number in range(options.rounds):
            for server in servers:
                print(f"round {number + 1}/{options.rounds}: {server.name}", file=sys.stderr, flush=True)
                with running(server) as url:
                    for connections in CONNECTIONS:
                        body, headers = server.body, {**JSON, **server.headers}
                        wrk.load(url, body, headers, connections, 1)
                        answers(url, server)  # when what that left in the queue is done
                        loaded = wrk.load(url, body, headers, connections, options.seconds)
                        found[server.name, connections].append(loaded)
    show_rates(servers, found)
    show_statuses(servers, found)


def prepare(folder: Path) -> list[Server]:
    """Train, log and build the model; give all servers."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    import logging

    import joblib
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from trifold.ops import registry

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(5000, 20)), columns=COLUMNS)
    y = np.where(X.sum(axis=1) + random.normal(size=5000) > 0, "Yes", "No")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    registry.connect()
    mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("bench")
    info, built = build("bench", model, X)
    _, slow = build("forest", RandomForestClassifier(100, random_state=0).fit(X, y), X)
    joblib.dump(make_pipeline(*(step for _, step in model.steps)), folder / "model.joblib")
    split = {"dataframe_split": {"columns": COLUMNS, "data": [list(ROW.values())]}}
    rows, python = {"rows": [ROW]}, str(built.python)
    peers = HERE / "peers"
    binary = Path(sys.executable).parent
    peer = {"MODEL": str(folder / "model.joblib"), "BENTOML_HOME": str(folder / "bentoml")}
    path = {"PATH": f"{binary}{os.pathsep}{os.environ['PATH']}"}  # it starts uvicorn by name
    uvicorn = [python, "-m", "uvicorn", "--port", "{port}", "--no-access-log"]
    mlflow_command = ["models", "serve", "-m", info.model_uri, "-p", "{port}", "--env-manager", "local"]
    return [
        Server("bare ASGI: orjson, numpy, model", [*uvicorn, "bare:app"], "/predict", rows, peers, peer),
        ours("Trifold", built, rows),
        Server(
            "FastAPI, pydantic",
            [sys.executable, "-m", "uvicorn", "--port", "{port}", "--no-access-log", "fastapi_app:app"],
            "/predict", rows, peers, peer,
        ),
        Server(
            "BentoML, default, list of pydantic",
            [str(binary / "bentoml"), "serve", "bentoml_app:Peer", "--port", "{port}"], "/predict", rows, peers, peer,
        ),
        Server("mlflow models serve", [str(binary / "mlflow"), *mlflow_command], "/invocations", split, peers, path),
        ours("Trifold, a forest", slow, rows, compared=False),
        ours("Trifold, a forest, grpc-timeout: 10S", slow, rows, headers={"grpc-timeout": "10S"}, compared=False),
    ]  # fmt: skip


def build(name: str, model: Any, X: Any) -> tuple[Any, Any]:
    """Log, check and build a model; MLflow's info and the Bento."""
    import trifold
    from trifold.ops import packaging, registry
    from trifold.ops.check import check

    info = trifold.log_model(model, X, registered_model_name=name)
    return info, packaging.build(check(registry.pin(f"{name}/1")))


def ours(name: str, built: Any, body: object, **more: Any) -> Server:
    """Trifold's server of a Bento."""
    command = [str(built.python), "-m", "trifold.online.server"]
    environment = {"TRIFOLD_MODEL": str(built.model), "TRIFOLD_HOST": "127.0.0.1"}
    return Server(name, command, "/predict", body, built.bento / "src", environment, **more)


@contextmanager
def running(server: Server) -> Iterator[str]:
    """The server, warm, on core 0; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{server.path}"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, **server.environment, "TRIFOLD_PORT": str(port), "PYTHONPATH": ""}
    command = ["taskset", "-c", "0", *(part.format(port=port) for part in server.command)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=server.folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not answers(url, server, process):
                log.seek(0)
                sys.exit(f"{server.name} did not answer:\n{log.read().decode()[-2000:]}")
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(url: str, server: Server, process: subprocess.Popen[bytes] | None = None) -> bool:
    """Whether a prediction is answered before the process ends or two minutes have passed."""
    request = urllib.request.Request(url, json.dumps(server.body).encode(), {**JSON, **server.headers})
    end = time.monotonic() + 120
    while time.monotonic() < end and (process is None or process.poll() is None):
        try:
            urllib.request.urlopen(request, timeout=30).read()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def show_rates(servers: list[Server], found: dict[tuple[str, int], list[wrk.Load]]) -> None:
    """Print a Markdown table: medians over the rounds, and Trifold's rate as a multiple of each at 8 connections."""
    heads = [f"c={connections}: req/s (p50/p99 ms)" for connections in CONNECTIONS]
    print("| server | " + " | ".join(heads) + " | Trifold is |")
    print("|---|" + "---|" * (len(heads) + 1))
    own = statistics.median(one.rate for one in found["Trifold", 8])
    for server in servers:
        cells = []
        for connections in CONNECTIONS:
            loads = found[server.name, connections]
            rate, p50, p99 = (statistics.median(getattr(one, name) for one in loads) for name in ("rate", "p50", "p99"))
            cells.append(f"{rate:.0f} ({p50:.2g}/{p99:.2g})")
        rate = statistics.median(one.rate for one in found[server.name, 8])
        print(f"| {server.name} | " + " | ".join(cells) + (f" | {own / rate:.2f}x |" if server.compared else " | |"))


def show_statuses(servers: list[Server], found: dict[tuple[str, int], list[wrk.Load]]) -> None:
    """Print a Markdown table of the answers of all rounds by status, with the least and the greatest Retry-After."""
    print("\n| answers of | " + " | ".join(f"c={connections}" for connections in CONNECTIONS) + " |")
    print("|---|" + "---|" * len(CONNECTIONS))
    for server in servers:
        cells = [wrk.tell(sum((one.answered for one in found[server.name, many]), Counter())) for many in CONNECTIONS]
        print(f"| {server.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
