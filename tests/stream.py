"""A release's stream for the tests: a real broker, a real database, the real command as a process."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.postgres import free_port
from trifold.batch import __main__ as commands
from trifold.database import Database

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "models"
STREAM = {
    "topic": "",
    "where": {},
    "fields": {},
    "keep": [],
    "sink": "postgres",
    "output": "",
    "startAt": "earliest",
    "maxEvents": 5000,
    "maxDelayMs": 20,
    "maxEventBytes": 1_000_000,
    "maxRetries": 3,
    "createTopics": {"enabled": True, "partitions": 3, "replicationFactor": 1},
    "retentionDays": {"predictions": 400, "deadLetters": 30},
}


@dataclass
class Running:
    """A consumer's process."""

    process: subprocess.Popen
    port: int
    log: Path

    def get(self, path):
        """Status and body of one of its pages; None where nobody listens."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None, ""

    def said(self):
        """What it printed."""
        return self.log.read_text()

    def ready(self, seconds=60):
        """Wait until it is ready."""
        wait("the consumer is ready", lambda: self.get("/readyz")[0] == 200, self.said, seconds, self.process)
        return self

    def unready(self, words, seconds=60):
        """Wait until it says that it is not ready, with these words."""
        wait(
            f"unready: {words}",
            lambda: (said := self.get("/readyz"))[0] == 503 and words in said[1],
            lambda: f"{self.get('/readyz')}\n{self.said()}",
            seconds,
            self.process,
        )
        return self

    def kill(self):
        """End it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait(30)

    def stop(self):
        """End it as Kubernetes does; gives its exit code."""
        self.process.terminate()
        return self.process.wait(60)


def wait(what, probe, state=lambda: "", seconds=60, process=None):
    """Call `probe` until it gives something; its value is given back."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = probe()
        if found:
            return found
        assert process is None or process.poll() is None, f"it ended with {process.returncode}: {state()}"
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s\n{state()}")


@dataclass
class Stream:
    """A release's stream."""

    folder: Path
    broker: object
    uri: str
    topic: str
    settings: dict = field(default_factory=lambda: dict(STREAM))
    running: list = field(default_factory=list)
    name: str = "scores"

    def environment(self, **more):
        """What the chart would set."""
        told = {
            "TRIFOLD_RELEASE": self.release,
            "TRIFOLD_NAMESPACE": NAMESPACE,
            "TRIFOLD_POD": "pod",
            "TRIFOLD_STREAM": json.dumps({**self.settings, "topic": self.topic}),
            "TRIFOLD_KAFKA": json.dumps(
                {"bootstrap.servers": self.broker.bootstrap, "reconnect.backoff.max.ms": "500"}
            ),
            "TRIFOLD_DATABASE_URI": self.uri,
            "TRIFOLD_OWNER_URI": self.uri,
            "TRIFOLD_DATABASE_SCHEMA": self.schema,
            "TRIFOLD_MODEL": str(self.folder),
            "TRIFOLD_HOST": "127.0.0.1",
        }
        return {**os.environ, **told, **more}

    @property
    def release(self):
        """The release's name; one of its own for each topic, so that no test meets another's group."""
        return f"{self.topic}-{self.name}"

    @property
    def schema(self):
        """The release's schema."""
        return self.release.replace("-", "_")

    @property
    def group(self):
        """Its consumer group."""
        return f"trifold.{NAMESPACE}.{self.release}"

    def migrate(self):
        """Make the schema."""
        assert commands.main(["migrate"], self.environment()) == 0
        return self

    def start(self, **more):
        """Start a consumer."""
        port = free_port()
        descriptor, name = tempfile.mkstemp(prefix="trifold-stream-")
        pod = more.pop("TRIFOLD_POD", f"pod-{len(self.running)}")
        environment = self.environment(TRIFOLD_PORT=str(port), PYTHONPATH=str(ROOT), TRIFOLD_POD=pod, **more)
        process = subprocess.Popen(
            [sys.executable, "-m", "trifold.stream"], env=environment, stdout=descriptor, stderr=descriptor, cwd="/"
        )
        os.close(descriptor)
        self.running.append(Running(process, port, Path(name)))
        return self.running[-1]

    @contextmanager
    def consuming(self, **more):
        """A consumer that is ready, ended in order afterwards."""
        running = self.start(**more).ready()
        yield running
        assert running.stop() == 0, running.said()

    def close(self):
        """End what runs still."""
        for running in self.running:
            if running.process.poll() is None:
                running.kill()
            running.log.unlink(missing_ok=True)

    def ask(self, statement, *parameters):
        """Rows of a query."""
        with Database(self.uri, autocommit=True) as database:
            return database.rows(statement, *parameters)

    def predictions(self):
        """Every prediction that a reader sees, as (position, key, prediction, probabilities), by position."""
        if self.settings["sink"] == "postgres":
            found = self.ask(
                "SELECT topic || '/' || partition || '/' || \"offset\", key, prediction, probabilities "
                f"FROM {self.schema}.event_predictions"
            )
            return sorted((at, key, said, list(scores or ())) for at, key, said, scores in found)
        return sorted(
            (
                dict(message.headers())["trifold.source"].decode(),
                message.key() and message.key().decode(),
                (said := json.loads(message.value()))["prediction"],
                list(said.get("probabilities", {}).values()),
            )
            for message in self._read(f"{self.topic}.predictions.{self.release}")
        )

    def letters(self):
        """Every dead letter, as position -> (key, value, headers, reasons)."""
        if self.settings["sink"] == "postgres":
            found = self.ask(
                "SELECT topic || '/' || partition || '/' || \"offset\", key, value, headers::text, reasons::text "
                f"FROM {self.schema}.dead_letters"
            )
            return {
                at: (
                    key and bytes(key),
                    bytes(value),
                    [(name, base64.b64decode(data)) for name, data in json.loads(headers)],
                    json.loads(reasons),
                )
                for at, key, value, headers, reasons in found
            }
        found = {}
        for message in self._read(f"{self.topic}.dead.{self.release}"):
            headers = message.headers()
            ours = dict(headers)
            theirs = [(name, data) for name, data in headers if not name.startswith("trifold.")]
            at = ours["trifold.source"].decode()
            assert at not in found, f"{at} is dead twice"
            found[at] = (message.key(), message.value(), theirs, json.loads(ours["trifold.reasons"]))
        return found

    def _read(self, topic):
        there = self.broker.admin().list_topics(timeout=10).topics
        return self.broker.consume(topic) if topic in there else []

    def scored(self):
        """How many predictions there are."""
        if self.settings["sink"] == "kafka":
            return len(self.predictions())
        return self.ask(f"SELECT count(*) FROM {self.schema}.stream_predictions")[0][0]

    def dead(self):
        """How many dead letters there are."""
        if self.settings["sink"] == "kafka":
            return len(self.letters())
        return self.ask(f"SELECT count(*) FROM {self.schema}.stream_dead_letters")[0][0]

    def settled(self, predictions, dead=0, seconds=60):
        """Wait until there are so many predictions and dead letters, no more and no less."""
        wait(
            f"{predictions} predictions, {dead} dead letters",
            lambda: (self.scored(), self.dead()) == (predictions, dead),
            lambda: f"{self.scored()} and {self.dead()}\n" + "\n".join(one.said() for one in self.running),
            seconds,
        )


@pytest.fixture
def stream(built_customers, broker, postgres, topic_name):
    """A migrated release of the customers' model on a topic of three partitions, without a consumer."""
    broker.create(topic_name)
    made = Stream(built_customers.model, broker, postgres, topic_name).migrate()
    yield made
    made.close()


@pytest.fixture(params=["postgres", "kafka"])
def either(request, stream):
    """The same, into each kind of sink."""
    stream.settings["sink"] = request.param
    return stream
