"""What `helm test` runs of a release's stream: the model's example through a topic of its own, against its answers.

It goes the whole way: events, where, fields, contract, blocks, transaction. It leaves its last predictions in the
schema that belongs to tests, and takes its topics away again.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from trifold import bento
from trifold.answers import agrees, gathered
from trifold.batch.migrate import TEST
from trifold.batch.stores import schema_of
from trifold.database import Database, quoted
from trifold.errors import TrifoldError, Unavailable
from trifold.model import Model
from trifold.packed import Packed, read_expected
from trifold.settings import Settings
from trifold.stream import client as kafka
from trifold.stream.consumer import Consumer
from trifold.stream.sinks import open_sink
from trifold.stream.state import State
from trifold.stream.stream import KAFKA, Creation, Path, Stream
from trifold.versions import load

SECONDS = 60
"""For all of it; a consumer that waits longer for one transaction would not do."""

Found = Sequence[tuple[str, Any, list[float] | None]]
"""Key, prediction and probabilities of each row."""


def verify(environment: Mapping[str, str]) -> str:
    """Score the example as events; gives a sentence that says so.

    Raises:
        TrifoldError: It could not be scored, or the answers are others than at build.
    """
    settings, release = Settings.from_environment(environment), Stream.from_environment(environment)
    folder = settings.model or bento.packed_model()
    packed = Packed.read(folder)
    model, version = load(folder, settings)
    stream, properties = testing(release), kafka.properties(environment)
    told = {**environment, "TRIFOLD_DATABASE_SCHEMA": environment.get("TRIFOLD_DATABASE_SCHEMA", "") + TEST}
    sent = events(model, packed, release)
    with _topics(stream, properties), _consuming(stream, model, open_sink(stream, model, version, properties, told),
                                                 properties) as require_alive:  # fmt: skip
        _produce(stream, properties, sent)
        read = _from_kafka if stream.sink == KAFKA else _from_postgres
        found = read(stream, properties, told, len(sent), require_alive)
    answers = gathered([(prediction, scores) for _, prediction, scores in sorted(found)], model.labels)
    if not agrees(answers, read_expected(folder)):
        raise TrifoldError("The stream gave other answers to the model's example than scikit-learn gave at build.")
    where = "Kafka" if stream.sink == KAFKA else "PostgreSQL"
    return f"{packed.name} version {packed.version} scored its example ({len(sent)} events) into {where} as at build"


def testing(stream: Stream) -> Stream:
    """The stream of a test: the same events on topics of its own, which it may make."""
    topic = f"trifold.test.{secrets.token_hex(4)}"
    copies = stream.creation.replication if stream.creation else 1
    return replace(
        stream, topic=topic, release=f"{stream.release}-test", output=f"{topic}.predictions",
        start_at="earliest", keep=(), creation=Creation(1, copies),
    )  # fmt: skip


def events(model: Model, packed: Packed, stream: Stream) -> list[bytes]:
    """The input example as events of the release: what `where` asks for, and columns where `fields` says."""
    names = model.contract.signature.names
    made = []
    for row in packed.input_example:
        if not isinstance(row, dict):
            made.append(orjson.dumps(row))
            continue
        event: dict[str, Any] = {}
        for way, wanted in stream.where.items():
            _put(event, way, wanted)
        for name in names:
            if name in row:
                _put(event, stream.fields.get(name, (name,)), row[name])
        made.append(orjson.dumps(event))
    return made


def _put(event: dict[str, Any], way: Path, value: Any) -> None:
    for name in way[:-1]:
        event = event.setdefault(name, {})
    event[way[-1]] = value


@contextmanager
def _topics(stream: Stream, properties: Mapping[str, str]) -> Iterator[None]:
    admin: AdminClient = kafka.admin(properties)
    names = [*stream.needed, stream.redrive]
    try:
        kafka.ensure_topics(admin, names, stream)
        yield
    finally:
        for done in admin.delete_topics(names, request_timeout=SECONDS).values():
            try:
                done.result()
            except KafkaException as error:
                print(f"a topic of the test stays: {kafka.words(error)}", flush=True)


@contextmanager
def _consuming(stream: Stream, model: Model, sink: Any, properties: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """A consumer in a thread of its own; gives a function that raises what it ended with."""
    stopping, failed = threading.Event(), list[BaseException]()
    state = State()

    def run() -> None:
        try:
            Consumer(stream, model, sink, properties, state).run(stopping)
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits
            failed.append(error)

    def require_alive() -> None:
        if failed:
            raise failed[0]
        if time.monotonic() > ends:
            raise Unavailable(f"The example was not scored within {SECONDS} s: {state.reason or 'no prediction came'}.")

    ends = time.monotonic() + SECONDS
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield require_alive
    finally:
        stopping.set()
        thread.join()


def _produce(stream: Stream, properties: Mapping[str, str], sent: Sequence[bytes]) -> None:
    producer = Producer({"log_level": 2, **properties})
    for number, event in enumerate(sent):
        producer.produce(stream.topic, event, key=_key(number))
    if producer.flush(SECONDS):
        raise Unavailable("Kafka did not take the example's events.")


def _key(number: int) -> str:
    return f"{number:06d}"


def _from_postgres(
    stream: Stream, _: Mapping[str, str], told: Mapping[str, str], count: int, require_alive: Callable[[], None]
) -> Found:
    schema = quoted(schema_of(told))
    with Database(told.get("TRIFOLD_DATABASE_URI", ""), autocommit=True) as database:
        while True:
            require_alive()
            found = database.rows(
                f"SELECT key, prediction, probabilities FROM {schema}.event_predictions WHERE topic = $1", stream.topic
            )
            if len(found) >= count:
                return [(key, prediction, scores and list(scores)) for key, prediction, scores in found]
            time.sleep(0.1)


def _from_kafka(
    stream: Stream, properties: Mapping[str, str], _: Mapping[str, str], count: int, require_alive: Callable[[], None]
) -> Found:
    fixed = {
        "group.id": f"{stream.group}.read",
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    client = Client({"log_level": 2, **properties, **fixed})
    client.subscribe([stream.output])
    found: list[tuple[str, Any, list[float] | None]] = []
    try:
        while len(found) < count:
            require_alive()
            message = client.poll(0.1)
            if message is None or message.error():
                continue
            said = json.loads(message.value() or b"null")
            scores = said.get("probabilities")
            found.append(((message.key() or b"").decode(), said["prediction"], scores and _flat(scores)))
    finally:
        client.close()
    return found


def _flat(scores: Any) -> list[float]:
    """Probabilities in the order of the classes, one output after the other."""
    parts = scores if isinstance(scores, list) else [scores]
    return [value for part in parts for value in (part.values() if isinstance(part, dict) else [part])]
