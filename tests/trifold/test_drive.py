"""drive.py of the taxi example: events at an even rate, and predictions that are compared with them."""

import json
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml

from tests.stream import Stream
from tests.trifold.test_examples import TAXI, imported
from trifold.database import Database
from trifold.errors import Unavailable

RELEASES = ("taxi-fare", "tip", "trip-duration")


class Release(Stream):
    """One of the releases, named as on the cluster."""

    @property
    def release(self):
        """Its name."""
        return self.name


@pytest.fixture(scope="module")
def taxi():
    """The example's modules."""
    with imported(TAXI, "data", "events", "sending", "showing", "drive") as modules:
        yield modules


@pytest.fixture
def rides(broker):
    """The topic, as long as a test takes."""
    broker.create("rides")
    yield "rides"
    broker.delete("rides")


@pytest.fixture
def releases(registry, make, broker, postgres, rides):
    """The three models, trained and built as people do, each migrated with its values."""
    argv = [sys.executable, TAXI / "train.py", "--if-missing"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {name: Release(make(f"{name}@champion").model, broker, postgres, rides, name=name) for name in RELEASES}
    for name, release in made.items():
        values = yaml.safe_load((TAXI / f"{name}.values.yaml").read_text())["stream"]
        release.settings = {**release.settings, "where": values["where"], "keep": values["keep"]}
        release.migrate()
    yield made
    for release in made.values():
        release.close()


def drive(broker, database, *options):
    """Run it as people do; gives exit code, what it printed and what it complained of."""
    argv = [sys.executable, TAXI / "drive.py", "--bootstrap", broker, "--database", database, *options]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, timeout=200)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_each_ride_has_its_predictions(releases, broker, postgres, tmp_path):
    """Three consumers on one topic, from bookings and starts to counts that are equal."""
    for one in [release.start() for release in releases.values()]:
        one.ready()
    picture = tmp_path / "view.svg"
    code, printed, said = drive(broker.bootstrap, postgres, "--rate", 200, "--seconds", 7, "--picture", picture)
    assert (code, said) == (0, ""), printed
    assert "1,400 events, 2,140 predictions: each event counts once for each model." in printed
    assert [line.split() for line in printed.splitlines() if line.endswith("equal")] == [
        ["taxi-fare", "740", "740", "equal"],
        ["tip", "740", "740", "equal"],
        ["trip-duration", "660", "660", "equal"],
    ]
    assert " s  taxi-fare " in printed  # how far it is, where no terminal shows tables
    drawn = picture.read_text()
    assert "&#160;min" in drawn
    assert "@font-face" not in drawn
    assert [release.dead() for release in releases.values()] == [0, 0, 0]


def test_who_does_not_answer_is_said_at_once(broker, postgres, rides):
    """And what to do, before anything is sent."""
    code, _, said = drive("127.0.0.1:1", postgres, "--seconds", 600)
    assert code == 1
    assert "Kafka does not answer at 127.0.0.1:1" in said
    assert "--bootstrap" in said
    code, _, said = drive(broker.bootstrap, postgres, "--seconds", 600)
    assert (code, said) == (1, "error: The database has no view taxi_fare.event_predictions; run make taxi.\n")
    code, _, said = drive(broker.bootstrap, postgres, "--rate", 0)
    assert code == 2
    assert "0 is not positive" in said
    assert broker.consume(rides) == []


def test_a_missing_topic_is_said(broker, taxi):
    """No topic is made by accident."""
    with pytest.raises(Unavailable, match="no topic rides"):
        taxi["sending"].require_topic(broker.bootstrap)


def test_events_come_at_an_even_rate(broker, rides, taxi):
    """A delivery that is reported sends nothing early: at 40 a second the last of 80 is sent after two seconds."""
    sending, sent = taxi["sending"], taxi["sending"].Sent()
    sending.produce(broker.bootstrap, "run-1", (40, 2), sent)
    found = broker.consume(rides)
    times = sorted(message.timestamp()[1] for message in found)
    assert times[-1] - times[0] > 1900
    assert sent.done
    assert not sent.failed
    assert sent.counts == Counter(json.loads(message.value())["type"] for message in found)
    assert all(message.key().decode() == json.loads(message.value())["id"] for message in found)


def test_a_full_queue_is_waited_for(taxi):
    """A client refuses an event when 100,000 wait; the event is sent nevertheless, once."""
    taken, polled = [], []

    class Full:
        def produce(self, *event, on_delivery):
            if not polled:
                raise BufferError
            taken.append(event)

        def poll(self, seconds):
            polled.append(seconds)

    taxi["sending"].send(Full(), "key", b"{}", taxi["sending"].Sent())
    assert taken == [("rides", b"{}", "key")]


def test_what_is_not_sent_ends_it(monkeypatch, taxi):
    """A broker that is gone is told, and nobody waits for its predictions."""
    sending, showing = taxi["sending"], taxi["showing"]
    monkeypatch.setattr(sending, "DELIVERY_MS", 1000)
    sent, began = sending.Sent(), time.monotonic()
    sending.produce("127.0.0.1:1", "run-1", (100, 1), sent)
    assert time.monotonic() - began < 20
    assert sent.done
    assert len(sent.failed) == 100
    with pytest.raises(showing.Unfinished, match="100 events were not sent: Local: Message timed out"):
        showing.report(sent, {name: showing.Seen() for name in RELEASES})


def test_a_prediction_that_is_missing_is_not_made_up_for_by_one_that_is_there_twice(postgres, taxi, capsys):
    """As many predictions as events, and still not one each; what another run sent counts for nothing."""
    columns = "topic text, key text, prediction text, kept json, event_at timestamptz, scored_at timestamptz"
    row = """('rides', '{}-{}', '7.5', '{{"distance": 2.5}}', now() - interval '20 ms', now())"""
    keys = {"taxi-fare": "aab", "tip": "abc", "trip-duration": "ab"}
    showing, seen = taxi["showing"], {name: taxi["showing"].Seen() for name in RELEASES}
    with Database(postgres, autocommit=True) as database:
        for name, own in keys.items():
            schema = taxi["drive"].schema(name)
            rows = [row.format(run, key) for run, of in (("mine", own), ("other", "xyz")) for key in of]
            database.run(f"CREATE SCHEMA {schema}")
            database.run(f"CREATE TABLE {schema}.event_predictions ({columns})")
            database.run(f"INSERT INTO {schema}.event_predictions VALUES {', '.join(rows)}")  # noqa: S608
            taxi["drive"].look(database, (name, "mine"), 5, seen[name])
    assert seen["tip"].latest == {f"mine-{key}": (2.5, "7.5") for key in "abc"}
    assert (seen["tip"].p50, seen["tip"].p99) == (20, 20)
    sent = taxi["sending"].Sent(Counter({taxi["events"].BOOKED: 3, taxi["events"].STARTED: 2}))
    with pytest.raises(showing.Unfinished, match="taxi-fare 1 missing, 1 more than once"):
        showing.report(sent, seen)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:]] == ["equal", "equal"]
