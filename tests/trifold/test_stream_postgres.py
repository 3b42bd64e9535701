"""A stream into PostgreSQL: each event once, refusals with their bytes, and what may be away."""

import json

import pytest

pytestmark = [pytest.mark.timeout(300)]


def events(customers, count=None):
    """The customers as events: (key, JSON)."""
    rows = json.loads(customers[0].to_json(orient="records")) if isinstance(customers, tuple) else customers
    return [(f"c{number}".encode(), json.dumps(row).encode()) for number, row in enumerate(rows[:count])]


@pytest.fixture(scope="session")
def rows(customers):
    """The customers as JSON rows."""
    X, _ = customers
    return json.loads(X.to_json(orient="records"))


def test_each_event_is_predicted_once(stream, rows):
    """What waits when it starts and what comes later, in three partitions."""
    stream.broker.produce(stream.topic, events(rows, 200))
    with stream.consuming():
        stream.settled(200)
        stream.broker.produce(stream.topic, events(rows, 100))
        stream.settled(300)
    with stream.consuming():
        stream.broker.produce(stream.topic, events(rows, 10))
        stream.settled(310)
