"""The events of rides: a booking and, a little later, the start of the same ride, as JSON."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from data import load

TOPIC = "rides"
BOOKED, STARTED = "booking.created", "ride.started"
BEFORE = 40
"""Bookings that are made before the first of them starts."""


def events(run: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Key and value of `count` events: real trips over and over, each booked and started once, at the time of asking.

    Args:
        run: What the ids of the rides begin with.
        count: Events.
    """
    trips, _ = load()
    rows = trips.to_dict("records")
    for number in range(count):
        turn, is_start = divmod(number, 2)
        ride = turn - BEFORE if is_start else turn
        if is_start and ride < 0:  # nobody has a cab yet: another one is booked
            ride, is_start = -ride + count, 0
        key = f"{run}-{ride:07d}"
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"type": STARTED if is_start else BOOKED, "id": key, "at": at, **rows[ride % len(rows)]}
        yield key, json.dumps(event).encode()
