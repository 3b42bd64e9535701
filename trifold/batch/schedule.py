"""The schedule of a batch job: the slots at which Kubernetes starts it, as fixed instants that can be asked about."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import takewhile
from zoneinfo import ZoneInfo

from trifold.batch.cron import Fields, read
from trifold.batch.cron_walk import following, offset
from trifold.batch.slots import MINUTE, YEARS
from trifold.errors import JobError

CALM = timedelta(hours=30)
"""So long before and after a change of the clock it is another day."""
OFF_THE_HOUR = ("Australia/LHI", "Australia/Lord_Howe", "NZ-CHAT", "Pacific/Chatham")
"""Zones whose clock changes at 2:45 or by half an hour; there the walk loses firings, or goes in a circle for ever."""
SPANS = [timedelta(hours=4**power) for power in range(10)]
"""How far back to look for a firing: from an hour to 30 years."""


@dataclass(frozen=True)
class Schedule:
    """When a CronJob fires: an expression in a time zone.

    All instants have a zone, and those that come back are whole minutes in UTC. The window of a slot is from
    `previous(slot)` on, up to but without the slot.

    Attributes:
        expression: As in the CronJob's `.spec.schedule`.
        time_zone: As in its `.spec.timeZone`.
        fields: What the expression says.
        zone: The zone of that name.
    """

    expression: str
    time_zone: str
    fields: Fields
    zone: ZoneInfo

    @classmethod
    def parse(cls, expression: str, time_zone: str = "Etc/UTC") -> "Schedule":
        """Read an expression and the name of a zone.

        Raises:
            JobError: Kubernetes would refuse one of them, or the schedule would never fire.
        """
        return cls(expression, time_zone, read(expression), _zone(time_zone))

    def next(self, instant: datetime) -> datetime:
        """The first firing after an instant.

        Raises:
            JobError: There is none in five years, after which Kubernetes gives up, as in 2096 for 29 February.
        """
        after = _utc(instant)
        for firing in self._firings(after):
            if firing > after:
                return firing
        raise JobError(
            f"The schedule {self.expression!r} does not fire in the five years after {after:%Y-%m-%dT%H:%MZ}."
        )

    def previous(self, instant: datetime) -> datetime:
        """The last firing before an instant."""
        before = _utc(instant)
        for span in SPANS:
            last = deque(takewhile(before.__gt__, self._firings(before - span)), maxlen=1)
            if last:
                return last[0]
        raise JobError(f"The schedule {self.expression!r} did not fire in the years before {before:%Y-%m-%dT%H:%MZ}.")

    def fires_at(self, instant: datetime) -> bool:
        """Whether an instant is a firing, to the microsecond."""
        return any(self.between(instant, instant))

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The firings from one instant to another, both included, rising."""
        first, last = _utc(start), _utc(end)
        for firing in self._firings(first - MINUTE):
            if firing > last:
                return
            if firing >= first:
                yield firing

    def _firings(self, instant: datetime) -> Iterator[datetime]:
        """The firings after an instant, and some before it where a change of the clock is near.

        On the day of a change, the walk may depend on where it began. Kubernetes begins at the firing before, and from
        there it comes to the same as from any instant of another day before.
        """
        while offset(instant - CALM, self.zone) != offset(instant + CALM, self.zone):
            instant -= CALM
        firing = following(self.fields, instant, self.zone)
        while firing and firing > instant:
            yield firing
            instant, firing = firing, following(self.fields, firing, self.zone)


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise JobError(f"The time {instant.isoformat()} has no zone; a slot is an instant, such as 2026-11-01T06:00Z.")
    if instant.year not in YEARS:
        raise JobError(f"The time {instant.isoformat()} is not of the years {YEARS[0]} to {YEARS[-1]}.")
    return instant.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    """The zone of a name that the IANA database has, and no other file of the system's."""
    if name not in _zones():
        near = get_close_matches(name, _zones(), 1) or ["Europe/Berlin"]
        raise JobError(f"The time zone {name[:99]!r} is unknown; write a name of the IANA database, as {near[0]!r}.")
    if name in OFF_THE_HOUR:
        raise JobError(
            f"The time zone {name!r} does not change its clock on the hour, and Kubernetes goes wrong over that; "
            "write the schedule in another zone, such as 'Etc/UTC'."
        )
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text().split())
