"""Three models on one topic while consumers, broker and database are killed: each event counts once for each of them.

TRIFOLD_PROVE=1 is the whole campaign: `make prove-stream`.
"""

import importlib.util
import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.stream import Stream, wait
from trifold.model import Model

sys.path.insert(0, str(Path(__file__).parent))
import models  # found beside this file in every worker and by mlflow alike

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
TARGETS = {"arrival-delay": "arr_delay", "air-time": "air_time", "late": "late"}
COLUMNS = ["month", "day", "sched_dep_time", "dep_delay", "distance", "hour", "carrier", "origin"]
POISON = [b"{", b"[1, 2]", b'{"month": "May"}', b"x" * 20_000, b'{"month": 1}']


@dataclass(frozen=True)
class Campaign:
    """How many events come, and what happens meanwhile.

    Attributes:
        events: Events, of which a thousandth cannot be scored.
        kills: Consumers that are killed.
        brokers: Times that the broker ends and starts again.
        databases: Times that PostgreSQL does.
        rebalances: Times that a release goes from one consumer to three, or back.
    """

    events: int
    kills: int
    brokers: int
    databases: int
    rebalances: int


CAMPAIGN = Campaign(200_000, 100, 5, 5, 10) if os.environ.get("TRIFOLD_PROVE") else Campaign(9_000, 6, 1, 1, 2)


@pytest.fixture(scope="module")
def flights():
    """The departures of examples/flights, and whether each came late."""
    table = example("data").load()
    return table.assign(late=np.where(table.arr_delay > 15, "late", "in time"))


def example(name):
    """A module of examples/flights, whose folder's name others have too."""
    spec = importlib.util.spec_from_file_location(f"flights_{name}", ROOT / "examples/flights" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built_flights(log, make, flights):
    """Three models of a departure, by release."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X = flights[COLUMNS].head(20_000)
    found = {}
    for name, column in TARGETS.items():
        choices = OneHotEncoder(handle_unknown="ignore")
        columns = make_column_transformer((StandardScaler(), COLUMNS[:6]), (choices, COLUMNS[6:]))
        estimator = LogisticRegression(max_iter=500) if name == "late" else Ridge()
        model = make_pipeline(columns, estimator).fit(X, flights[column].head(20_000))
        found[name] = make(log(f"flights-{name}", model, X)).model
    return found


@pytest.fixture(scope="module")
def slow_flights(registry, flights):
    """The air time by a model that takes as long as its process is told."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    import trifold
    from trifold.ops import registry as registries
    from trifold.ops.check import check
    from trifold.ops.packaging import build

    X = flights[COLUMNS[:6]].head(200)
    model = make_pipeline(models.Slow(), Ridge()).fit(X, flights.air_time.head(200))
    code = {"code_paths": [models.__file__], "trusted": ["models.Slow"]}
    info = trifold.log_model(model, X, registered_model_name="flights-slow", **code)
    report = check(registries.pin(f"flights-slow/{info.registered_model_version}"), trusted=["models.Slow"])
    return build(report).model


def departures(flights, count, seed):
    """Numbered events, keyed by the plane: departures as they are, and a thousandth that cannot be scored."""
    found = [(key.encode(), value) for key, value in example("data").events(flights.drop(columns="late"), count)]
    poisoned = random.Random(seed).sample(range(count), max(count // 1000, len(POISON)))  # noqa: S311
    for turn, number in enumerate(poisoned):
        found[number] = (found[number][0], POISON[turn % len(POISON)])
    return found


class Chaos:
    """What happens to three releases while their events come."""

    def __init__(self, streams, broker, database, seed):
        self.streams, self.broker, self.database = streams, broker, database
        self.random = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self.numbers = {stream.name: 0 for stream in streams}
        self.alive = {stream.name: [self.begin(stream)] for stream in streams}
        self.counts = dict.fromkeys(("kill", "broker", "database", "rebalance"), 0)

    def begin(self, stream, pod=None):
        """Start a consumer of a release, in a pod of its own or in one that was there."""
        self.numbers[stream.name] += 1
        pod = pod or f"pod-{self.numbers[stream.name]}"
        return pod, stream.start(TRIFOLD_POD=pod)

    def happen(self, what):
        """Let one thing happen, at a moment that nobody chose."""
        time.sleep(self.random.uniform(0, 1.5))
        getattr(self, f"_{what}")(self.random.choice(self.streams))
        self.counts[what] += 1

    def _kill(self, stream):
        there = self.alive[stream.name]
        number = self.random.randrange(len(there))
        pod, running = there[number]
        running.kill()
        there[number] = self.begin(stream, pod if self.random.random() < 0.5 else None)

    def _broker(self, _):
        self.random.choice((self.broker.kill, self.broker.stop))()
        self.broker.start()

    def _database(self, _):
        self.database.kill()
        self.database.start()

    def _rebalance(self, stream):
        there = self.alive[stream.name]
        if len(there) == 1:
            there += [self.begin(stream), self.begin(stream)]
            return
        while len(there) > 1:
            _, running = there.pop(self.random.randrange(len(there)))
            assert running.stop() == 0, running.said()


@pytest.mark.parametrize("sink", ["postgres", "kafka"])
def test_each_event_counts_once_for_each_model(
    sink, flights, built_flights, broker, postgres, postgres_server, topic_name
):
    """Whatever is killed: one prediction an event and model, as offline; poison is dead, byte by byte."""
    seed = int(os.environ.get("TRIFOLD_SEED", "0"))
    broker.create(topic_name)
    streams = [
        Stream(folder, broker, postgres, topic_name, name=name).migrate() for name, folder in built_flights.items()
    ]
    for stream in streams:
        stream.settings |= {"sink": sink, "maxEventBytes": 10_000, "maxEvents": 500}
    events = departures(flights, CAMPAIGN.events, seed)
    try:
        chaos = Chaos(streams, broker, postgres_server, seed)
        happenings = [
            *["kill"] * CAMPAIGN.kills,
            *["broker"] * CAMPAIGN.brokers,
            *["database"] * (CAMPAIGN.databases if sink == "postgres" else 0),
            *["rebalance"] * CAMPAIGN.rebalances,
        ]
        chaos.random.shuffle(happenings)
        for number, what in enumerate(happenings):
            first, last = (len(events) * at // len(happenings) for at in (number, number + 1))
            producing = threading.Thread(target=broker.produce, args=(topic_name, events[first:last]))
            producing.start()
            chaos.happen(what)
            producing.join()
        poisoned = sum(value in POISON for _, value in events)
        for stream in streams:
            stream.settled(len(events) - poisoned, poisoned, 300)
        for stream in streams:
            require_exact(stream, len(events))
            require_order(stream)
        print(f"{sink}: {len(events):,} events, {len(streams)} models, {poisoned} dead letters each, {chaos.counts}")
    finally:
        for stream in streams:
            stream.close()


def require_exact(stream, count):
    """One prediction for each event, of the model's own bits, and each poison event dead as it came."""
    model = Model.load(stream.folder)
    messages = stream.broker.consume(stream.topic)
    assert len(messages) == count
    places = [f"{stream.topic}/{message.partition()}/{message.offset()}" for message in messages]
    good = [number for number, message in enumerate(messages) if message.value() not in POISON]
    events = [json.loads(messages[number].value()) for number in good]
    rows = [{name: event[name] for name in COLUMNS} for event in events]
    answers = model.predict(model.contract.check_rows(rows).rows)
    scores = np.hstack(answers.probabilities).tolist() if answers.probabilities else [[]] * len(good)
    keys = [messages[number].key().decode() for number in good]
    expected = sorted(zip([places[number] for number in good], keys, answers.predictions.tolist(), scores, strict=True))
    found = stream.predictions()
    assert len(found) == len({place for place, *_ in found}) == len(expected)
    assert found == expected
    wanted = {
        place: (message.key(), message.value())
        for place, message in zip(places, messages, strict=True)
        if message.value() in POISON
    }
    assert {place: (key, value) for place, (key, value, _, _) in stream.letters().items()} == wanted


def require_order(stream):
    """What one key's events gave stands in the order of the events."""
    if stream.settings["sink"] == "postgres":
        [[wrong]] = stream.ask(
            'SELECT count(*) FROM (SELECT scored_at < lag(scored_at) OVER (PARTITION BY source ORDER BY "offset") AS '
            f"wrong FROM {stream.schema}.stream_predictions) AS looked WHERE wrong"
        )
        assert wrong == 0
        return
    last = {}
    for message in stream.broker.consume(f"{stream.topic}.predictions.{stream.release}"):
        partition, offset = map(int, dict(message.headers())["trifold.source"].decode().rsplit("/", 2)[1:])
        assert last.get((message.key(), partition), -1) < offset
        last[message.key(), partition] = offset


def test_a_slow_model_holds_up_nobody(broker, postgres, topic_name, built_flights, flights, slow_flights):
    """A second a batch: the fast model beside it stays less than two seconds behind."""
    broker.create(topic_name)
    fast = Stream(built_flights["air-time"], broker, postgres, topic_name, name="fast").migrate()
    slow = Stream(slow_flights, broker, postgres, topic_name, name="slow").migrate()
    slow.settings |= {"maxEvents": 100}
    events = [event for event in departures(flights, 4000, 0) if event[1] not in POISON]
    try:
        slow.start(SLOW_SECONDS="1").ready()
        running = fast.start().ready()
        began, latest = time.monotonic(), 0.0
        for number in range(0, len(events), 200):
            broker.produce(topic_name, events[number : number + 200])
            sent = time.monotonic()
            wanted = min(number + 200, len(events))
            wait("the fast one has scored it", lambda wanted=wanted: fast.scored() >= wanted, running.said)
            latest = max(latest, time.monotonic() - sent)
        assert latest < 2
        behind = len(events) - slow.scored()
        assert behind > 1000, f"the slow one was not slow: {behind} behind after {time.monotonic() - began:.0f} s"
    finally:
        fast.close()
        slow.close()
