"""Send the events of rides onto Kafka at an even rate."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer
from events import TOPIC, events

from trifold.errors import Unavailable
from trifold.stream import client as kafka

DELIVERY_MS = 30_000
"""After so long an event that no broker took has failed."""


@dataclass
class Sent:
    """What the producer has sent so far."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    done: bool = False


def require_topic(bootstrap: str) -> None:
    """Make sure that events will be taken.

    Raises:
        Unavailable: No broker answers, or it has no such topic.
    """
    try:
        client = kafka.admin({"bootstrap.servers": bootstrap, "log_level": "0"})
        topics = client.list_topics(timeout=kafka.SECONDS).topics
    except KafkaException as error:
        raise Unavailable(
            f"Kafka does not answer at {bootstrap} ({kafka.words(error)}); run make up, or set --bootstrap."
        ) from None
    if TOPIC not in topics:
        raise Unavailable(f"Kafka at {bootstrap} has no topic {TOPIC}; run make up, whose values name it.")


def produce(bootstrap: str, run: str, pace: tuple[int, int], sent: Sent) -> None:
    """Send the events of a run, in order for each ride; what goes wrong stands in `sent`.

    Args:
        bootstrap: The broker.
        run: What the ids of the rides begin with.
        pace: Events a second, and for how many seconds.
        sent: Is told.
    """
    rate, seconds = pace
    settings = {"linger.ms": 5, "enable.idempotence": True, "delivery.timeout.ms": DELIVERY_MS, "log_level": 0}
    try:
        producer = Producer({"bootstrap.servers": bootstrap, **settings})
        began = 0.0
        for number, (key, value) in enumerate(events(run, rate * seconds)):
            began = began or time.monotonic()  # the trips are read by now
            serve(producer, began + number / rate)
            send(producer, key, value, sent)
            sent.counts[json.loads(value)["type"]] += 1
        producer.flush()
    except KafkaException as error:
        sent.failed.append(kafka.words(error))
    finally:
        sent.done = True


def serve(producer: Producer, until: float) -> None:
    """Let the producer say what was delivered, until it is time."""
    producer.poll(0)
    while (left := until - time.monotonic()) > 0:
        producer.poll(left)  # which ends as soon as something was delivered


def send(producer: Producer, key: str, value: bytes, sent: Sent) -> None:
    """Send an event, however many wait."""

    def delivered(error: Any, _: Any) -> None:
        if error:
            sent.failed.append(kafka.words(error))

    while True:
        try:
            producer.produce(TOPIC, value, key, on_delivery=delivered)
            return
        except BufferError:
            producer.poll(0.1)
