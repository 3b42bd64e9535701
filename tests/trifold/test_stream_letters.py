"""Dead letters with a real broker and database: listed, shown, sent back once; and what `helm test` runs."""

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stream import wait
from tests.trifold.test_stream import events, offline

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture(scope="session")
def rows(customers):
    """The customers as JSON rows."""
    return json.loads(customers[0].to_json(orient="records"))


def command(stream, *arguments, code=0, **environment):
    """Run a command of the image; gives what it printed last."""
    done = subprocess.run(
        [sys.executable, "-m", "trifold.stream", *arguments],
        env=stream.environment(PYTHONPATH=str(ROOT), **environment),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == code, done.stdout + done.stderr
    said = done.stdout if code == 0 else done.stdout + done.stderr
    return said.strip().splitlines()[-1] if said.strip() else ""


def letters(stream, *arguments):
    """The dead letters that `dead list` prints."""
    return json.loads(command(stream, "dead", "list", *arguments))["letters"]


def topics(stream):
    """All topics of the broker."""
    admin = stream.broker.admin()
    return set(admin.list_topics(timeout=10).topics)


def redrive(stream, **environment):
    """How many were sent back."""
    return json.loads(command(stream, "dead", "redrive", **environment))["redriven"]


@pytest.fixture
def dead(either, rows):
    """A stream of either sink with 40 events that were too large, and whose release takes them now."""
    either.settings["maxEventBytes"] = 10
    either.broker.produce(either.topic, events(rows, 40))
    with either.consuming():
        either.settled(0, 40)
    either.settings["maxEventBytes"] = 1_000_000
    return either


def test_letters_are_listed_and_shown(dead):
    """The newest, no more than asked for; each whole, by its position."""
    assert len(letters(dead)) == 20
    found = letters(dead, "--limit", "100")
    assert len(found) == 40
    assert {one["position"] for one in found} == dead.letters().keys()
    assert {one["reasons"][0]["rule"] for one in found} == {"too_large"}
    assert not any(one["redriven"] for one in found)
    one = json.loads(command(dead, "dead", "show", found[0]["position"]))
    key, value, _, reasons = dead.letters()[found[0]["position"]]
    assert (base64.b64decode(one["key"]), base64.b64decode(one["value"])) == (key, value)
    assert one["reasons"] == reasons
    assert (one["model"], one["redriven"]) == ("customers", False)
    assert "No event at rides/0/0" in command(dead, "dead", "show", "rides/0/0", code=70)


def test_what_is_sent_back_is_scored_once(dead):
    """By the release that runs now, as the event that it was; again and again changes nothing."""
    with dead.consuming():
        assert redrive(dead) == 40
        dead.settled(40, 40)
        assert redrive(dead) == 0
        assert all(one["redriven"] for one in letters(dead, "--limit", "100"))
        assert dead.predictions() == offline(dead)


def test_a_redrive_that_is_killed_is_done_by_the_next(dead):
    """Sent, and not yet noted: the next sends again, and each is scored once all the same."""
    command(dead, "dead", "redrive", code=-9, TRIFOLD_FAILPOINT="letters-sent")
    assert redrive(dead) == 40
    with dead.consuming():
        dead.settled(40, 40)
        dead.broker.produce(dead.topic, [(b"last", dead.letters().popitem()[1][1])])
        dead.settled(41, 40)
    assert len({at for at, *_ in dead.predictions()}) == 41


def test_what_cannot_be_scored_still_is_dead_again(either, rows):
    """With its new reason, and it waits again; its bytes and its position are the first ones."""
    either.settings["maxEventBytes"] = 2
    either.broker.produce(either.topic, [(b"k", b'{"plan": 7}'), *events(rows, 2)])
    with either.consuming():
        either.settled(0, 3)
    either.settings["maxEventBytes"] = 1_000_000
    with either.consuming():
        assert redrive(either) == 3

        def waiting():
            return [one for one in letters(either) if not one["redriven"]]

        [again] = wait("one is dead again", lambda: len(found := waiting()) == 1 and found)
        assert either.scored() == 2
    assert again["reasons"][0]["rule"] != "too_large"
    assert base64.b64decode(again["value"]) == b'{"plan": 7}'
    with either.consuming():
        assert redrive(either) == 1


def test_without_a_dead_letter_there_is_none(either):
    """Before a consumer ever ran, too."""
    assert letters(either) == []
    assert redrive(either) == 0


def test_the_example_goes_through_topics_of_its_own(either):
    """Events by the release's own rules; afterwards the topics are gone, and the release's tables as they were."""
    either.settings |= {"where": {"type": "booked", "meta.test": True}, "fields": {"plan": "customer.plan"}}
    before = topics(either)
    said = command(either, "verify")
    assert "customers version" in said
    assert "as at build" in said
    assert topics(either) == before
    assert either.scored() == either.dead() == 0


def test_other_answers_than_at_build_fail(stream, tmp_path):
    """A library that computes otherwise is found before anybody reads a prediction."""
    folder = tmp_path / "model"
    shutil.copytree(stream.folder, folder)
    file = folder / "expected.json"
    file.chmod(0o644)
    expected = json.loads(file.read_text())
    expected["predictions"] = list(reversed(expected["predictions"]))
    expected["probabilities"] = list(reversed(expected["probabilities"]))
    file.write_text(json.dumps(expected))
    other = replace(stream, folder=folder)
    assert "otherwise than at build" in command(other, "verify", code=70)


def test_a_consumer_says_how_far_it_is(stream, rows):
    """What `trifold status` asks in each pod; and a pod without one says so."""
    running = stream.start().ready()
    stream.broker.produce(stream.topic, events(rows, 30))
    stream.settled(30)
    said = json.loads(command(stream, "state", TRIFOLD_PORT=str(running.port)))
    assert (said["group"], said["topic"], said["ready"]) == (stream.group, stream.topic, True)
    assert {part["partition"] for part in said["lag"]} <= {0, 1, 2}
    assert running.stop() == 0
    assert "No consumer answers" in command(stream, "state", code=75, TRIFOLD_PORT=str(running.port))
