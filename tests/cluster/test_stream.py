"""Streams on a cluster: `make taxi`, rides that are predicted as they come, their lag and their dead letters."""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kubernetes import client

from tests.cluster.ups import ROOT, up
from tests.stream import wait
from trifold.database import Database

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]
BROKER = f"127.0.0.1:{os.environ.get('TRIFOLD_KAFKA_PORT', '9092')}"
RELEASES = ("taxi-fare", "tip", "trip-duration")


@pytest.fixture(scope="module")
def said(cluster):
    """What `make taxi` prints, on top of `make up`."""
    up(cluster)
    return up(cluster, "taxi")[0]


@pytest.fixture(scope="module")
def shell(said, cluster, tmp_path_factory):
    """Run a program as a user does after `eval "$(make -s env)"`; gives exit code and what it printed."""
    environment = {**os.environ, **cluster.environment, "COLUMNS": "160"}

    def run(*argv):
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False,
                              cwd=tmp_path_factory.getbasetemp())  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def trifold(shell):
    """Run `trifold`; gives what it printed."""

    def run(*arguments, code=0):
        ended, printed = shell(Path(sys.executable).parent / "trifold", *arguments)
        assert ended == code, printed
        return printed

    return run


@pytest.fixture(scope="module")
def ask(shell):
    """Run a query with the rights of a release."""

    def rows(release, statement, *parameters):
        secret = client.CoreV1Api().read_namespaced_secret(f"{release}-database", "models").data["uri"]
        user = base64.b64decode(secret).decode().partition("@")[0]
        uri = f"{user}@127.0.0.1:{os.environ.get('TRIFOLD_POSTGRES_PORT', '5432')}/trifold"
        with Database(uri, autocommit=True) as database:
            return database.rows(statement, *parameters)

    return rows


def produce(*events):
    """Send events onto the topic rides, by the port of this machine."""
    producer = Producer({"bootstrap.servers": BROKER, "log_level": 0})
    for key, value in events:
        producer.produce("rides", value, key)
    assert producer.flush(30) == 0


def post(release, rows):
    """What a release answers by HTTP."""
    url = f"http://127.0.0.1:{os.environ.get('TRIFOLD_GATEWAY_PORT', '8080')}/models/{release}/predict"
    request = urllib.request.Request(url, json.dumps({"rows": rows}).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def test_rides_are_predicted_as_they_come(shell, trifold):
    """drive.py: each event counts once for each model, and nothing waits at the end."""
    code, printed = shell(sys.executable, ROOT / "examples/taxi/drive.py", "--rate", "200", "--seconds", "10")
    assert code == 0, printed
    assert "2,000 events, 3,040 predictions: each event counts once for each model." in printed
    lines = [line for line in trifold("status").splitlines() if " stream " in line]
    assert sorted(line.split()[0] for line in lines) == sorted(RELEASES)
    assert all(line.endswith("1 of 1; lag 0") for line in lines), lines


def test_a_ride_is_worth_the_same_by_http(ask):
    """The consumer's bits are the server's, for rides that just came."""
    sys.path.insert(0, str(ROOT / "examples/taxi"))
    import events as rides

    run = f"same-{secrets.token_hex(3)}"
    sent = list(rides.events(run, 400))
    produce(*sent)
    for release in RELEASES:
        kind = rides.STARTED if release == "trip-duration" else rides.BOOKED
        mine = [event for _, value in sent if (event := json.loads(value))["type"] == kind]
        query = f"SELECT key, prediction FROM {release.replace('-', '_')}.event_predictions WHERE key LIKE $1 || '-%'"
        found = wait(
            f"{len(mine)} predictions of {release}",
            lambda release=release, query=query, mine=mine: len(rows := ask(release, query, run)) == len(mine) and rows,
        )
        taken = [name for name in mine[0] if name not in ("type", "id")]
        with_columns = {column for column in taken if column in columns(release)}
        answer = post(release, [{name: event[name] for name in with_columns} for event in mine])
        assert dict(found) == dict(zip((event["id"] for event in mine), answer["predictions"], strict=True))


def columns(release):
    """The columns that a release takes."""
    sys.path.insert(0, str(ROOT / "examples/taxi"))
    import train

    return train.EXAMPLES[release].columns


def test_dead_letters_from_the_shell(trifold, ask):
    """Listed with their reason, shown whole, sent back; what cannot be scored still is dead again."""
    key = f"dead-{secrets.token_hex(3)}"
    event = json.dumps({"type": "booking.created", "distance": key})
    produce((key, event.encode()))

    def listed():
        return [line for line in trifold("dead", "list", "taxi-fare").splitlines() if key in line]

    [line] = wait("the letter is listed", listed)
    assert "distance: expected" in line
    assert " waits " in line
    position = line.split()[0]
    shown = trifold("dead", "show", "taxi-fare", position)
    assert event in shown
    assert "No event at rides/0/99999999" in trifold("dead", "show", "taxi-fare", "rides/0/99999999", code=1)
    dead_at = "SELECT dead_at FROM taxi_fare.dead_letters WHERE topic || '/' || partition || '/' || \"offset\" = $1"
    [[before]] = ask("taxi-fare", dead_at, position)
    assert "sent back" in trifold("dead", "redrive", "taxi-fare")
    wait("it is dead again", lambda: ask("taxi-fare", dead_at, position)[0][0] > before, seconds=90)
    assert "has no dead letters" in trifold("dead", "list", "trip-duration")


def test_a_killed_consumer_loses_nothing(ask, shell):
    """Its pod is deleted without warning while rides come; the next one goes on where the database says."""
    sys.path.insert(0, str(ROOT / "examples/taxi"))
    import events as rides

    def status():  # its exit code says that a pod is missing, as it should for a while
        return shell(Path(sys.executable).parent / "trifold", "status")[1]

    run = f"killed-{secrets.token_hex(3)}"
    sent = list(rides.events(run, 1000))
    core = client.CoreV1Api()
    produce(*sent[:500])
    [pod] = core.list_namespaced_pod(
        "models", label_selector="app.kubernetes.io/instance=taxi-fare,app.kubernetes.io/component=stream"
    ).items
    core.delete_namespaced_pod(pod.metadata.name, "models", grace_period_seconds=0)
    produce(*sent[500:])
    wanted = sum(json.loads(value)["type"] == rides.BOOKED for _, value in sent)
    query = "SELECT count(*), count(DISTINCT key) FROM taxi_fare.event_predictions WHERE key LIKE $1 || '-%'"
    wait("all are predicted", lambda: ask("taxi-fare", query, run) == [(wanted, wanted)], seconds=120)
    wait("nothing waits", lambda: re.search(r"^taxi-fare +stream .*1 of 1; lag 0$", status(), re.MULTILINE), status)


def test_the_broker_keeps_what_it_took(said):
    """Its pod is deleted, and the topic is as it was: the volume stays, and the consumers find it again."""
    core = client.CoreV1Api()
    before = _ends()
    core.delete_namespaced_pod("kafka-0", "platform")
    wait("another pod is ready", lambda: _is_ready("kafka-0", "platform"), seconds=180)
    assert wait("the broker answers", _ends, seconds=60) == before


def _ends():
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "tests", "log_level": 0})
    try:
        return [consumer.get_watermark_offsets(TopicPartition("rides", part), timeout=5)[1] for part in range(3)]
    except KafkaException:
        return None
    finally:
        consumer.close()


def _is_ready(name, namespace):
    try:
        pod = client.CoreV1Api().read_namespaced_pod(name, namespace)
    except client.ApiException:  # between the old one and the new
        return False
    ready = any(found.type == "Ready" and found.status == "True" for found in pod.status.conditions or ())
    return ready and not pod.metadata.deletion_timestamp
