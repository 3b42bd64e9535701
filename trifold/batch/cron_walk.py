"""The walk by which Kubernetes finds a schedule's next firing, step by step as it walks.

This is SpecSchedule.Next of github.com/robfig/cron v3.0.1 (spec.go; MIT licence, © 2012 Rob Figueiredo), which the
CronJob controller asks. On most days it ends at the next instant whose wall clock matches: twice where the clock goes
back, never in an hour that is left out. But on a day without midnight (Cairo, Havana, Santiago) it may fire unasked or
not at all. Where the clock moves by half an hour (Lord Howe Island) it may miss a firing weeks later, and where that
is not on the hour (Chatham Islands) even go back in time. So the steps themselves are the rule; mend none of them here.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from trifold.batch.cron import Fields

YEARS = 5
"""After so many without a firing, Kubernetes gives up."""


def following(fields: Fields, instant: datetime, zone: ZoneInfo) -> datetime | None:
    """The first firing after an instant, in UTC; None when there is none in five years."""
    walk = _Walk(fields, instant.replace(microsecond=0), zone)
    last = walk.wall.year + YEARS
    while walk.wall.year <= last:
        if walk.months() and walk.days() and walk.hours() and walk.minutes() and walk.seconds():
            return walk.instant
    return None


def offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    """By how much a zone's clock is ahead of UTC at an instant."""
    found = instant.astimezone(zone).utcoffset()
    assert found is not None
    return found


class _Walk:
    """Where the walk is.

    Each stage goes to where its field matches, and says False when it ran into the next greater field on its way, so
    that the walk has to begin again with the months.
    """

    def __init__(self, fields: Fields, instant: datetime, zone: ZoneInfo) -> None:
        self._fields = fields
        self._zone = zone
        self._cut = False
        self._go_to(instant.astimezone(UTC) + timedelta(seconds=1))

    def months(self) -> bool:
        while self.wall.month not in self._fields.months:
            self._cut_to(day=1, hour=0, minute=0, second=0)
            self._set(_month_later(self.wall))
            if self.wall.month == 1:
                return False
        return True

    def days(self) -> bool:
        while not self._fields.on(self.wall):
            self._cut_to(hour=0, minute=0, second=0)
            self._set(self.wall.replace(tzinfo=None) + timedelta(days=1))
            if self.wall.hour:  # no midnight on this day
                self._add(timedelta(hours=24 * (self.wall.hour > 12) - self.wall.hour))
            if self.wall.day == 1:
                return False
        return True

    def hours(self) -> bool:
        while self.wall.hour not in self._fields.hours:
            self._cut_to(minute=0, second=0)
            self._add(timedelta(hours=1))
            if self.wall.hour == 0:
                return False
        return True

    def minutes(self) -> bool:
        while self.wall.minute not in self._fields.minutes:
            if not self._cut:
                self._cut = True
                self._add(timedelta(seconds=-self.wall.second))
            self._add(timedelta(minutes=1))
            if self.wall.minute == 0:
                return False
        return True

    def seconds(self) -> bool:
        if self.wall.second == 0:
            return True
        self._cut = True
        self._add(timedelta(seconds=60 - self.wall.second))
        return False

    def _cut_to(self, **parts: int) -> None:
        """Go back to the beginning of a month, day or hour, the first time that something does not match."""
        if not self._cut:
            self._cut = True
            self._set(self.wall.replace(tzinfo=None, **parts))

    def _add(self, span: timedelta) -> None:
        """As Go's Add: by the time that goes by, not by the wall clock."""
        self._go_to(self.instant + span)

    def _set(self, wall: datetime) -> None:
        """As Go's Date, which takes a wall clock that comes twice, or never, for the instant that it finds first."""
        as_if_utc = wall.replace(tzinfo=UTC)
        near = as_if_utc - offset(as_if_utc, self._zone)
        self._go_to(as_if_utc - offset(near, self._zone))

    def _go_to(self, instant: datetime) -> None:
        self.instant = instant
        self.wall = instant.astimezone(self._zone)


def _month_later(wall: datetime) -> datetime:
    """As Go's AddDate: 31 January and a month is 3 March."""
    first = (wall.replace(tzinfo=None, day=1) + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=wall.day - 1)
