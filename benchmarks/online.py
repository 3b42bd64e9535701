"""Requests a second and their times, one row of 20 numbers as JSON: Trifold beside its peers, interleaved in one go.

Each server has one worker on core 0, the load (wrk) is on core 1. Every round starts each server anew, so that a slow
minute of the machine meets all of them. Usage: .venv/bin/python benchmarks/online.py [--rounds 3] [--seconds 5]
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 8, 64)
COLUMNS = [f"x{number}" for number in range(20)]
ROW = {name: round(0.37 * number - 3.1, 2) for number, name in enumerate(COLUMNS)}
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


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
    """

    name: str
    command: list[str]
    path: str
    body: object
    folder: Path
    environment: dict[str, str]


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
        found: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
        for number in range(options.rounds):
            for server in servers:
                print(f"round {number + 1}/{options.rounds}: {server.name}", file=sys.stderr, flush=True)
                with running(server) as url:
                    for connections in CONNECTIONS:
                        found[server.name, connections].append(load(url, server, connections, options.seconds))
    show(servers, found)


def prepare(folder: Path) -> list[Server]:
    """Train, log and build the model; give all servers."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    import logging

    import joblib
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import trifold
    from trifold.ops import packaging, registry
    from trifold.ops.check import check

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(5000, 20)), columns=COLUMNS)
    y = np.where(X.sum(axis=1) + random.normal(size=5000) > 0, "Yes", "No")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    registry.connect()
    mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("bench")
    info = trifold.log_model(model, X, registered_model_name="bench")
    built = packaging.build(check(registry.pin("bench/1")))
    joblib.dump(make_pipeline(*(step for _, step in model.steps)), folder / "model.joblib")
    split = {"dataframe_split": {"columns": COLUMNS, "data": [list(ROW.values())]}}
    rows, python = {"rows": [ROW]}, str(built.python)
    own = {"TRIFOLD_MODEL": str(built.model), "TRIFOLD_HOST": "127.0.0.1"}
    peers = HERE / "peers"
    binary = Path(sys.executable).parent
    peer = {"MODEL": str(folder / "model.joblib"), "BENTOML_HOME": str(folder / "bentoml")}
    path = {"PATH": f"{binary}{os.pathsep}{os.environ['PATH']}"}  # it starts uvicorn by name
    uvicorn = [python, "-m", "uvicorn", "--port", "{port}", "--no-access-log"]
    mlflow_command = ["models", "serve", "-m", info.model_uri, "-p", "{port}", "--env-manager", "local"]
    return [
        Server("bare ASGI: orjson, numpy, model", [*uvicorn, "bare:app"], "/predict", rows, peers, peer),
        Server("Trifold", [python, "-m", "trifold.online.server"], "/predict", rows, built.bento / "src", own),
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
    ]  # fmt: skip


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
            if not answers(process, url, server):
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


def answers(process: subprocess.Popen[bytes], url: str, server: Server) -> bool:
    """Whether a prediction is answered before the process ends or two minutes have passed."""
    request = urllib.request.Request(url, json.dumps(server.body).encode(), {"Content-Type": "application/json"})
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(request, timeout=5).read()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def load(url: str, server: Server, connections: int, seconds: int) -> tuple[float, float, float]:
    """Requests a second, p50 and p99 in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        body = json.dumps(server.body)
        script.write(f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body=[==[{body}]==]\n')
        script.flush()
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", "--latency", "-s", script.name]
        subprocess.run([*command, "-d1s", url], capture_output=True, check=True)
        printed = subprocess.run([*command, f"-d{seconds}s", url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed:
        sys.exit(f"{server.name} answered with errors:\n{printed}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])
    p50, p99 = (
        float(found[1]) * MILLISECONDS[found[2]]
        for found in (re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", printed) for percent in (50, 99))
    )
    return rate, p50, p99


def show(servers: list[Server], found: dict[tuple[str, int], list[tuple[float, float, float]]]) -> None:
    """Print a Markdown table: medians over the rounds, and Trifold's rate as a multiple of each at 8 connections."""
    heads = [f"c={connections}: req/s (p50/p99 ms)" for connections in CONNECTIONS]
    print("| server | " + " | ".join(heads) + " | Trifold is |")
    print("|---|" + "---|" * (len(heads) + 1))
    own = statistics.median(rate for rate, _, _ in found["Trifold", 8])
    for server in servers:
        cells = []
        for connections in CONNECTIONS:
            rate, p50, p99 = (
                statistics.median(values) for values in zip(*found[server.name, connections], strict=True)
            )
            cells.append(f"{rate:.0f} ({p50:.2g}/{p99:.2g})")
        ratio = own / statistics.median(rate for rate, _, _ in found[server.name, 8])
        print(f"| {server.name} | " + " | ".join(cells) + f" | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
