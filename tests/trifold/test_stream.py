"""A stream with a real broker and database: each event once into either sink, whoever dies, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.stream import Stream, wait
from trifold.contract.contract import Contract
from trifold.model import Model
from trifold.packed import Packed

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
SESSION_SECONDS = 6


@pytest.fixture(scope="session")
def rows(customers):
    """The customers as JSON rows."""
    return json.loads(customers[0].to_json(orient="records"))


def events(rows, count, start=0):
    """Customers as events, numbered: (key, JSON)."""
    chosen = [rows[number % len(rows)] for number in range(start, start + count)]
    return [(f"c{start + at}".encode(), json.dumps(row).encode()) for at, row in enumerate(chosen)]


def offline(stream):
    """What the model answers to every event of the topic, by itself: as Stream.predictions gives them."""
    model = Model.load(stream.folder)
    messages = stream.broker.consume(stream.topic)
    answers = model.predict(model.contract.check_rows([json.loads(message.value()) for message in messages]).rows)
    return sorted(
        (f"{stream.topic}/{message.partition()}/{message.offset()}", message.key().decode(), said, scores)
        for message, said, scores in zip(
            messages, answers.predictions.tolist(), answers.probabilities[0].tolist(), strict=True
        )
    )


def test_each_event_is_predicted_once_and_as_offline(either, rows):
    """What waits when it starts and what comes later, in three partitions; every bit is the model's."""
    stream = either
    stream.broker.produce(stream.topic, events(rows, 250))
    with stream.consuming():
        stream.settled(250)
        stream.broker.produce(stream.topic, events(rows, 100, 250))
        stream.settled(350)
    with stream.consuming():
        stream.broker.produce(stream.topic, events(rows, 10, 350))
        stream.settled(360)
    assert stream.predictions() == offline(stream)


POISON = [
    ("json", b"{no JSON", None),
    ("json", b"\xff\xfe", None),
    ("row", b"[1, 2]", None),
    ("too_large", b'"' + b"x" * 5_000_000 + b'"', None),
    ("missing_column", lambda row: {name: value for name, value in row.items() if name != "tenure"}, "tenure"),
    ("type", lambda row: {**row, "tenure": "many"}, "tenure"),
    ("missing", lambda row: {**row, "tenure": None}, "tenure"),
    ("refused_by_model", lambda row: {**row, "region": "moon"}, None),
]


def poisoned(row, change):
    """A row's event, spoilt."""
    return change if isinstance(change, bytes) else json.dumps(change(row)).encode()


def test_a_bad_event_sinks_no_other_and_keeps_its_bytes(either, rows):
    """Every kind of poison between good events: dead with key, bytes, headers and HTTP's reasons."""
    stream, good = either, events(rows, 40)
    headers = [("trace", b"\x00\xff"), ("trace", b"2")]
    sent = [(b"\xff\x00", poisoned(rows[0], change), headers) for _, change, _ in POISON]
    not_finite = json.dumps({**rows[0], "charges": float("nan")}).encode()
    twice = json.dumps(rows[0])[:-1].encode() + b', "tenure": 3}'
    sent += [(None, not_finite, None), (None, twice, None)]
    stream.broker.produce(stream.topic, [*good[:20], *sent, (b"c1", None), *good[20:]])
    with stream.consuming() as running:
        stream.settled(40, len(sent))
        assert 'trifold_events_passed_total{reason="tombstone"} 1.0' in running.get("/metrics")[1]
        assert running.get("/readyz")[0] == 200
    letters = list(stream.letters().values())
    assert sorted((key or b"", value) for key, value, _, _ in letters) == sorted(
        (key or b"", value) for key, value, _ in sent
    )
    assert all(theirs == (headers if key else []) for key, _, theirs, _ in letters)
    wanted = {poisoned(rows[0], change): (rule, column) for rule, change, column in POISON}
    wanted |= {not_finite: ("not_finite", "charges"), twice: ("duplicate_column", "tenure")}
    contract = Contract.from_json(Packed.read(stream.folder).contract)
    for _, value, _, reasons in letters:
        assert (reasons[0]["rule"], reasons[0]["column"]) == wanted[value], reasons
        if wanted[value][0] in ("missing_column", "type", "missing"):  # in the words of HTTP's 422
            [reject] = contract.check_rows([json.loads(value)]).rejects
            assert reasons == [
                {"column": reject.column, "rule": reject.rule, "expected": reject.expected, "got": reject.got}
            ]


def test_only_the_events_that_are_asked_for_are_scored(either, rows):
    """By a field's value; columns from paths inside the event; null keys; what is kept stands beside."""
    stream = either
    stream.settings |= {
        "where": {"type": "booked"},
        "fields": {name: f"customer.{name}" for name in rows[0]},
        "keep": ["id", "customer.plan", "lacking"],
    }
    sent = [
        (None, json.dumps({"type": kind, "id": number, "customer": rows[number]}).encode())
        for number, kind in enumerate(["booked", "started"] * 10)
    ]
    stream.broker.produce(stream.topic, [*sent, (None, b"7")])
    with stream.consuming() as running:
        stream.settled(10, 1)
        assert 'trifold_events_passed_total{reason="where"} 10.0' in running.get("/metrics")[1]
    [(_, _, _, reasons)] = stream.letters().values()
    assert reasons[0]["rule"] == "row"
    if stream.settings["sink"] == "postgres":
        kept = [json.loads(text) for (text,) in stream.ask(f"SELECT kept::text FROM {stream.schema}.event_predictions")]
    else:
        kept = [
            json.loads(m.value())["kept"] for m in stream.broker.consume(f"{stream.topic}.predictions.{stream.release}")
        ]
    assert sorted(item["id"] for item in kept) == list(range(0, 20, 2))
    assert all(item["customer.plan"] == rows[item["id"]]["plan"] and item["lacking"] is None for item in kept)


COMMITS = ("before-commit", "after-commit")
FAILPOINTS = {
    "postgres": (
        "begun",
        "consumed",
        "scored",
        "offsets-written",
        "predictions-written",
        "before-commit",
        "after-commit",
    ),
    "kafka": ("begun", "consumed", "scored", "predictions-written", "offsets-written", "before-commit", "after-commit"),
}


def test_a_consumer_may_be_killed_anywhere(either, rows):
    """At each step once, with events before and behind; the same pod comes back, as Kubernetes lets it."""
    stream, sent = either, 0
    stream.settings["maxEvents"] = 50
    for name in FAILPOINTS[stream.settings["sink"]]:
        stream.broker.produce(stream.topic, events(rows, 120, sent))
        sent += 120
        running = stream.start(TRIFOLD_FAILPOINT=f"{name}@2" if name != "begun" else name, TRIFOLD_POD="pod")
        assert running.process.wait(60) == -signal.SIGKILL, running.said()
        assert f"failpoint {name} reached" in running.said()
    with stream.consuming(TRIFOLD_POD="pod"):
        stream.settled(sent)
    assert stream.predictions() == offline(stream)


def test_a_consumer_that_slept_through_its_end_writes_nothing(either, rows):
    """Stopped with a scored batch in hand, its partitions taken over, then woken: it is refused."""
    stream = either
    stream.broker.produce(stream.topic, events(rows, 100))
    asleep = stream.start(TRIFOLD_FAILPOINT="scored:stop")
    wait("it sleeps", lambda: "failpoint scored reached" in asleep.said(), asleep.said, 60, asleep.process)
    with stream.consuming():
        stream.settled(100)
        os.kill(asleep.process.pid, signal.SIGCONT)
        wait("it is fenced", lambda: "fenced" in asleep.said() or asleep.process.poll() is not None, asleep.said, 60)
        stream.broker.produce(stream.topic, events(rows, 100, 100))
        stream.settled(200)
        if asleep.process.poll() is None:
            assert asleep.stop() == 0
    assert stream.predictions() == offline(stream)


def test_consumers_share_and_hand_over(either, rows):
    """One becomes three and one again while events flow; leaving takes no session's time."""
    stream, sent = either, 0
    first = stream.start().ready()
    for more in range(2):
        stream.broker.produce(stream.topic, events(rows, 300, sent))
        stream.start().ready()
        sent += 300
        assert len(stream.running) == more + 2
    shared = [json.loads(one.get("/stream")[1])["lag"] for one in stream.running]
    wait("each has one", lambda: [len(json.loads(one.get("/stream")[1])["lag"]) for one in stream.running] == [1, 1, 1],
         lambda: str(shared), 30)  # fmt: skip
    stream.broker.produce(stream.topic, events(rows, 300, sent))
    began = time.monotonic()
    assert [one.stop() for one in stream.running[1:]] == [0, 0]
    stream.settled(sent + 300)
    wait("the first has all", lambda: len(json.loads(first.get("/stream")[1])["lag"]) == 3, first.said, 30)
    assert time.monotonic() - began < 2 * SESSION_SECONDS + 10
    assert first.stop() == 0
    assert stream.predictions() == offline(stream)


def test_the_broker_may_be_away(either, rows):
    """At start, and later: not ready, in words; nothing is lost when it is back."""
    stream = either
    stream.broker.produce(stream.topic, events(rows, 50))
    stream.broker.stop()
    try:
        running = stream.start().unready("Kafka does not answer")
        assert running.get("/livez")[0] == 200
    finally:
        stream.broker.start()
    running.ready(90)
    stream.settled(50)
    stream.broker.kill()
    try:
        running.unready("", 90)
    finally:
        stream.broker.start()
    stream.broker.produce(stream.topic, events(rows, 50, 50))
    running.ready(90)
    stream.settled(100)
    assert stream.predictions() == offline(stream)


def test_the_database_may_be_away(stream, rows, postgres_server):
    """In the middle: tried again, unready after some failures, and nothing is lost or twice."""
    stream.settings["maxRetries"] = 1
    running = stream.start().ready()
    postgres_server.kill()
    try:
        stream.broker.produce(stream.topic, events(rows, 50))
        running.unready("PostgreSQL")
        assert running.get("/livez")[0] == 200
    finally:
        postgres_server.start()
    running.ready(90)
    stream.settled(50)
    assert stream.predictions() == offline(stream)


def test_a_missing_topic_is_named_and_waited_for(either):
    """Made only when the values say so; when somebody makes it, it goes on by itself."""
    stream = either
    stream.settings["createTopics"] = {"enabled": False, "partitions": 1, "replicationFactor": 1}
    stream.broker.delete(stream.topic)
    wait("it is gone", lambda: stream.topic not in stream.broker.admin().list_topics(timeout=10).topics)
    running = stream.start().unready(f"Topic {stream.topic}")
    assert "stream.createTopics.enabled" in running.get("/readyz")[1]
    stream.broker.create(stream.topic)
    if stream.settings["sink"] == "kafka":
        running.unready(f"Topic {stream.topic}.predictions.{stream.release}, {stream.topic}.dead.{stream.release}")
        for end in ("predictions", "dead"):
            stream.broker.create(f"{stream.topic}.{end}.{stream.release}")
    running.ready()


def test_latest_begins_behind_what_waits_but_loses_nothing_afterwards(either, rows):
    """Where a new release begins is written down at once."""
    stream = either
    stream.settings["startAt"] = "latest"
    stream.broker.produce(stream.topic, events(rows, 50))
    with stream.consuming():
        pass
    stream.broker.produce(stream.topic, events(rows, 30, 50))
    with stream.consuming():
        stream.settled(30)


def test_expired_events_are_not_passed_over_in_silence(either, rows):
    """Those that were never read and are gone: not ready until somebody decides."""
    from confluent_kafka import TopicPartition

    stream = either
    stream.broker.produce(stream.topic, events(rows, 60))
    with stream.consuming():
        stream.settled(60)
    stream.broker.produce(stream.topic, events(rows, 60, 60))
    ends = stream.broker.ends(stream.topic)
    gone = [TopicPartition(stream.topic, partition, end) for partition, end in ends.items()]
    admin = stream.broker.admin()
    for done in admin.delete_records(gone).values():
        done.result(10)
    running = stream.start().unready("have expired before they were read")
    assert running.get("/livez")[0] == 200


def test_a_topic_made_anew_is_noticed(either, rows):
    """Its offsets mean other events, even where as many are there again; Kafka forgets a deleted topic's by itself."""
    stream = either
    stream.broker.produce(stream.topic, events(rows, 30))
    with stream.consuming():
        stream.settled(30)
    stream.broker.delete(stream.topic)
    wait("it is gone", lambda: stream.topic not in stream.broker.admin().list_topics(timeout=10).topics)
    stream.broker.create(stream.topic)
    stream.broker.produce(stream.topic, events(rows, 90))
    running = stream.start()
    if stream.settings["sink"] == "postgres":
        running.unready("was made anew")
        assert stream.scored() == 30
        statement, _ = running.get("/readyz")[1].split("; ")[1].rstrip(".").rsplit(" ", 1)
        for partition in range(3):
            stream.ask(f"{statement} {partition}")
    running.ready(90)
    stream.settled(120)


def test_two_releases_of_one_name_are_refused(stream, rows, postgres_server):
    """With another database behind it the second would take half of the first one's events."""
    other = Stream(stream.folder, stream.broker, postgres_server.fresh(), stream.topic).migrate()
    try:
        with stream.consuming():
            refused = other.start().unready("another release of this name")
            stream.broker.produce(stream.topic, events(rows, 30))
            stream.settled(30)
        refused.ready(90)  # when the first has ended
    finally:
        other.close()


def test_versions_change_while_events_flow(stream, built_other_customers, rows):
    """Old and new together: each event is scored by one of them, and says by which."""
    new = Stream(built_other_customers.model, stream.broker, stream.uri, stream.topic).migrate()
    try:
        old = stream.start().ready()
        for turn in range(6):
            stream.broker.produce(stream.topic, events(rows, 200, turn * 200))
            if turn == 2:
                new.start().ready()
            if turn == 4:
                assert old.stop() == 0
        stream.settled(1200)
        found = stream.ask(
            'SELECT version, count(*), count(DISTINCT (topic, partition, "offset")) '
            f"FROM {stream.schema}.event_predictions GROUP BY 1 ORDER BY 1"
        )
        assert len(found) == 2
        assert sum(count for _, count, _ in found) == sum(places for _, _, places in found) == 1200
    finally:
        new.close()


def test_what_is_too_old_is_removed(stream, rows):
    """By the retention of predictions and dead letters, in pieces."""
    from trifold.stream.postgres import PostgresSink
    from trifold.stream.stream import Stream as Described

    stream.broker.produce(stream.topic, [*events(rows, 20), (None, b"{")])
    with stream.consuming():
        stream.settled(20, 1)
    sink = PostgresSink(stream.uri, stream.schema, Described.from_environment(stream.environment()), None)
    sink.retire()
    assert (stream.scored(), stream.dead()) == (20, 1)
    stream.ask(
        f"UPDATE {stream.schema}.stream_predictions SET scored_at = now() - interval '401 days' WHERE \"offset\" < 2"
    )
    stream.ask(f"UPDATE {stream.schema}.stream_dead_letters SET dead_at = now() - interval '31 days'")
    old = stream.ask(f'SELECT count(*) FROM {stream.schema}.stream_predictions WHERE "offset" < 2')[0][0]
    sink.retire()
    sink.close()
    assert (stream.scored(), stream.dead()) == (20 - old, 0)


def test_settings_that_make_no_sense_end_it_in_a_sentence(stream):
    """An exit code of its own, nothing on standard output but that."""
    for change, words in (
        ({"sink": "file"}, "stream.sink"),
        ({"startAt": "now"}, "stream.startAt"),
        ({"output": stream.topic}, "stream.output"),
        ({"maxEvents": "many"}, "stream.maxEvents"),
    ):
        stream.settings |= change
        running = stream.start()
        assert running.process.wait(60) == 78
        assert words in running.said()
        stream.settings |= {"sink": "postgres", "startAt": "earliest", "output": "", "maxEvents": 5000}
    running = stream.start(TRIFOLD_KAFKA='{"bootstrap.servers": "127.0.0.1:1", "no.such.property": "1"}')
    assert running.process.wait(60) == 78
    assert "no.such.property" in running.said()


def test_the_command_helps():
    """--help says what it does."""
    done = subprocess.run(
        [sys.executable, "-m", "trifold.stream", "--help"], capture_output=True, text=True, check=True
    )
    assert "TRIFOLD_STREAM" in done.stdout


def test_numbers_of_latency_come_out_as_they_went_in():
    """A histogram of many observations at once counts as one by one."""
    from prometheus_client import CollectorRegistry, Histogram, generate_latest

    from trifold.metrics import Seconds

    random = np.random.default_rng(0).exponential(0.1, 1000)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    buckets = (0.01, 0.05, 0.1, 1)
    seconds = Seconds("x_seconds", "words", buckets)
    ours.register(seconds)
    one_by_one = Histogram("x_seconds", "words", buckets=buckets, registry=theirs)
    seconds.observe(random[:400])
    seconds.observe(random[400:])
    for value in random:
        one_by_one.observe(value)
    counted = [line for line in generate_latest(ours).decode().splitlines() if "bucket" in line or "count" in line]
    assert counted == [
        line for line in generate_latest(theirs).decode().splitlines() if "bucket" in line or "count" in line
    ]


def test_a_consumer_that_the_group_has_lost_joins_anew(stream, rows, monkeypatch, capfd):
    """Whatever librdkafka thinks: one that left the group without a word, which nobody told it, is back in seconds."""
    from trifold.model import Model
    from trifold.packed import Packed
    from trifold.stream import client, consumer
    from trifold.stream.sinks import open_sink
    from trifold.stream.state import State
    from trifold.stream.stream import Stream as Described
    from trifold.versions import Version

    monkeypatch.setattr(consumer, "ALONE_SECONDS", 1.0)
    environment = stream.environment()
    described, model = Described.from_environment(environment), Model.load(stream.folder)
    version = Version.of(model, Packed.read(stream.folder))
    properties = client.properties(environment)
    sink = open_sink(described, model, version, properties, environment)
    made, stopping = consumer.Consumer(described, model, sink, properties, State()), threading.Event()
    leaving, look = threading.Event(), made._look

    def leave():
        """Leave the group, give all back and ask no more; in its own thread, for a client has only one."""
        if leaving.is_set():
            leaving.clear()
            made._client.unsubscribe()
        look()

    made._look = leave
    running = threading.Thread(target=made.run, args=(stopping,))
    running.start()
    try:
        wait("it has partitions", lambda: len(made.state.lag) == 3)
        leaving.set()
        wait("it has left", lambda: not leaving.is_set())
        stream.broker.produce(stream.topic, events(rows, 30))
        stream.settled(30)
    finally:
        stopping.set()
        running.join(60)
    assert "does not know this consumer: it joins anew" in capfd.readouterr().out
