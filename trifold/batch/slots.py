"""How a slot, the instant at which a batch job was to start, is written: by Kubernetes and by people."""

import re
from datetime import UTC, datetime, timedelta

from trifold.errors import JobError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YEARS = range(1970, 2100)
"""Of which a slot can be."""
OF_A_CRONJOB = re.compile(r".+-([1-9][0-9]{7})")
FIRST = datetime(2015, 1, 1, tzinfo=UTC)
"""Kubernetes is no older; and a name that ends in a date, as 20261101, would be a slot of 2008."""
EXAMPLE = "2026-11-01T06:00Z"


def slot_of(job_name: str) -> datetime | None:
    """The slot of a Job that a CronJob made, which ends its name in minutes since 1970; None for any other Job."""
    found = OF_A_CRONJOB.fullmatch(job_name)
    slot = EPOCH + int(found[1]) * MINUTE if found else EPOCH
    return slot if slot >= FIRST else None


def job_name(cronjob: str, slot: datetime) -> str:
    """The name that Kubernetes gives to a CronJob's Job (getJobName in its pkg/controller/cronjob)."""
    return f"{cronjob}-{(slot - EPOCH) // MINUTE}"


def slot_text(slot: datetime) -> str:
    """A slot as `parse_slot` reads it."""
    return f"{slot.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def parse_slot(text: str) -> datetime:
    """Read a slot as people write it: a date and time to the minute, in ISO 8601, with its zone.

    Raises:
        JobError: It is none, or has no zone, or seconds.
    """
    try:
        slot = datetime.fromisoformat(text)
    except ValueError:
        raise JobError(f"The slot {text[:50]!r} is no date and time; write it as {EXAMPLE}.") from None
    if slot.tzinfo is None:
        raise JobError(f"The slot {text!r} has no time zone; write it as {EXAMPLE} or 2026-11-01T07:00+01:00.")
    if slot.year not in YEARS:
        raise JobError(f"The slot {text!r} is not of the years {YEARS[0]} to {YEARS[-1]}; write it as {EXAMPLE}.")
    if (slot - EPOCH) % MINUTE:
        raise JobError(f"The slot {text!r} has seconds; a slot is a whole minute, as {EXAMPLE}.")
    return slot.astimezone(UTC)
