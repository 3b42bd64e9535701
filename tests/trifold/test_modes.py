"""Every example in its three modes: the same rows by HTTP, by a batch job and as events give the same bits.

Not brain-tumour: check says that a picture is no row of a table and no event, so there is one mode only.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.stream import Stream
from tests.trifold.test_batch_files import batch_of
from trifold.packed import Packed

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "churn": "churn",
    "sales-forecast": "sales-forecast",
    "taxi-fare": "taxi",
    "trip-duration": "taxi",
    "tip": "taxi",
}
ROWS = 150
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def trained(registry):
    """A function that trains an example as people do, once."""
    done = set()

    def train(folder):
        if folder not in done:
            argv = [sys.executable, str(ROOT / "examples" / folder / "train.py"), "--if-missing"]
            said = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
            assert said.returncode == 0, said.stderr
            done.add(folder)

    return train


@pytest.fixture(params=SCRIPTS)
def example(request, trained, make):
    """An example's Bento, and rows for it: the model's example over and over, its numbers moved a little."""
    trained(SCRIPTS[request.param])
    built = make(f"{request.param}@champion")
    return built, rows_like(Packed.read(built.model).input_example)


def rows_like(examples):
    """Rows of an example's kind, 150 of them and no two alike."""
    random = np.random.default_rng(0)
    names = [name for name, value in examples[0].items() if isinstance(value, float)]
    rows = [dict(examples[number % len(examples)]) for number in range(ROWS)]
    for row in rows:
        for name in names:
            row[name] = row[name] and float(np.float64(row[name]) * random.uniform(0.9, 1.1))
    return rows


def bits(values):
    """Numbers as they are to the last bit, and texts."""
    return [np.float64(value).tobytes() if isinstance(value, float) else value for value in values]


def by_http(serve, built, rows):
    """What a running server answers."""
    with serve(built) as server:
        url = f"http://127.0.0.1:{server.port}/predict"
        body = json.dumps({"rows": rows}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            said = json.load(answer)
    scores = said.get("probabilities") or [{}] * len(rows)
    return [(prediction, list(each.values())) for prediction, each in zip(said["predictions"], scores, strict=True)]


def by_job(built, disk, rows):
    """What the CronJob's command writes."""
    frame = pd.DataFrame(rows)
    frame.columns = [str(name) for name in frame.columns]
    job = batch_of(built.model, disk, key="row", maxRejectRate=0.0)
    job.fill(pa.Table.from_pandas(frame.assign(row=range(len(frame))), preserve_index=False))
    assert job.run() == 0
    found = sorted(job.read().to_pylist(), key=lambda row: int(row["key"]))
    names = [name for name in found[0] if name.startswith("probability_")]
    return [(row["prediction"], [row[name] for name in names]) for row in found]


def by_stream(built, broker, uri, topic, sink, rows):
    """What a consumer makes of them as events."""
    stream = Stream(built.model, broker, uri, topic, name=sink).migrate()
    stream.settings["sink"] = sink
    try:
        with stream.consuming():
            stream.settled(len(rows))
        return [
            (prediction, list(scores))
            for _, _, prediction, scores in sorted(stream.predictions(), key=lambda row: int(row[1]))
        ]
    finally:
        stream.close()


def test_the_modes_agree_bit_by_bit(example, serve, disk, broker, postgres, topic_name):
    """A row of an example is worth the same however it comes."""
    built, rows = example
    broker.create(topic_name)
    broker.produce(topic_name, [(str(number).encode(), json.dumps(row).encode()) for number, row in enumerate(rows)])
    asked = by_http(serve, built, rows)
    found = {
        "CronJob": by_job(built, disk, rows),
        **{sink: by_stream(built, broker, postgres, topic_name, sink, rows) for sink in ("postgres", "kafka")},
    }
    wanted = [(bits([prediction]), bits(scores)) for prediction, scores in asked]
    assert len(wanted) == ROWS
    for mode, rows_found in found.items():
        assert [(bits([prediction]), bits(scores)) for prediction, scores in rows_found] == wanted, mode
