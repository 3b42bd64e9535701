"""A job's slots are those at which Kubernetes starts it, to the minute, on days when clocks change as well."""

import json
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifold.batch.cron import read
from trifold.batch.cron_walk import following, offset
from trifold.batch.schedule import OFF_THE_HOUR, Schedule
from trifold.batch.slots import job_name, parse_slot, slot_of
from trifold.errors import JobError

VECTORS = json.loads(Path(__file__).with_name("schedules").joinpath("vectors.json").read_text())
STARTS = [asked for asked in VECTORS["starts"] if asked["zone"] not in OFF_THE_HOUR]
MINUTE = timedelta(minutes=1)


def instant(text):
    """An instant of the vectors."""
    return datetime.fromisoformat(text)


def instants(text):
    """Some, in a row."""
    return [instant(one) for one in text.split()]


def named(asked):
    """Of which vectors a test is."""
    return f"{asked['zone']} {asked['start']}"


# What robfig/cron says (schedules/README.md)


@pytest.mark.parametrize("asked", VECTORS["starts"], ids=named)
def test_walk_is_that_of_kubernetes(asked):
    """Step by step, and in every zone: also where no schedule of ours may be."""
    for expression, firings in asked["firings"].items():
        expected = instants(firings)
        zone, fields = zoneinfo.ZoneInfo(asked["zone"]), read(expression)
        found = [following(fields, after, zone) for after in (instant(asked["start"]), *expected[:-1])]
        assert found == expected, expression


@pytest.mark.parametrize("asked", STARTS, ids=named)
def test_firings_are_those_of_kubernetes(asked):
    """A slot that differs by a minute is a window that is scored twice, or never."""
    start = instant(asked["start"])
    for expression, firings in asked["firings"].items():
        schedule, expected = Schedule.parse(expression, asked["zone"]), instants(firings)
        assert list(schedule.between(start + MINUTE, expected[-1])) == expected, expression
        assert schedule.next(start) == expected[0], expression


@pytest.mark.parametrize("asked", STARTS, ids=named)
def test_firings_backwards_are_the_same(asked):
    """The window of a slot begins where the slot before it ended."""
    for expression, firings in asked["firings"].items():
        schedule, expected = Schedule.parse(expression, asked["zone"]), instants(firings)
        assert [schedule.previous(slot) for slot in expected[1:]] == expected[:-1], expression


@pytest.mark.parametrize("expression", [*VECTORS["refused"], *VECTORS["taken"], *VECTORS["never"]])
def test_expression_that_kubernetes_refuses_or_never_fires_is_refused(expression):
    """Else the chart would be refused by the cluster only, or the job would never run."""
    with pytest.raises(JobError, match=r"^The schedule '.*' cannot be used: .*\.$"):
        Schedule.parse(expression)


# Days when clocks change, in words


@pytest.mark.parametrize(
    ("zone", "expression", "day", "firings"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-29", []),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25", ["00:30", "01:30"]),
        ("America/New_York", "30 1 * * *", "2026-11-01", ["05:30", "06:30"]),
        ("Asia/Kathmandu", "0 6 * * *", "2026-11-01", ["00:15"]),
        ("Africa/Cairo", "0 12 * * FRI", "2026-04-24", []),
        ("America/Sao_Paulo", "30 1 * * SAT", "2018-11-04", ["03:30"]),
    ],
)
def test_day_of_a_change_has_the_firings_that_kubernetes_makes(zone, expression, day, firings):
    """An hour that is left out does not fire, one that comes twice fires twice; the last two are robfig's defects."""
    start = instant(f"{day}T00:00Z")
    found = Schedule.parse(expression, zone).between(start, start + timedelta(days=1))
    assert [f"{firing:%H:%M}" for firing in found] == firings


# Laws

ZONES = st.sampled_from([*sorted({asked["zone"] for asked in STARTS}), "America/Havana"])
ORDINARY = st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Asia/Gaza"])
CHANGES = st.sampled_from([asked["start"] for asked in STARTS]).map(instant)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)) | st.builds(
    lambda start, seconds: start + timedelta(seconds=seconds), CHANGES, st.integers(-90_000, 180_000)
)


def field(least, most):
    """A field of an expression: a star, steps, or numbers and ranges."""
    number = st.integers(least, most)
    between = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.builds("{}/{}".format, st.just("*") | number | between, st.integers(1, 9))
    listed = st.lists(number.map(str) | between | stepped, min_size=1, max_size=3).map(",".join)
    return st.just("*") | st.just("*") | listed


EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)


@given(EXPRESSIONS, ZONES, INSTANTS)
@settings(deadline=None, max_examples=30)
def test_next_and_previous_enclose_an_instant(expression, zone, moment):
    """Every instant is in one window, and only one."""
    schedule = Schedule.parse(expression, zone)
    slot = schedule.next(moment)
    assert schedule.previous(slot) <= moment < slot
    assert schedule.next(schedule.previous(slot)) == slot


@given(EXPRESSIONS, ZONES, INSTANTS)
@settings(deadline=None, max_examples=30)
def test_windows_follow_one_another(expression, zone, moment):
    """Between two slots there is neither a gap nor an overlap, so each row is scored once."""
    schedule = Schedule.parse(expression, zone)
    slots = list(islice(schedule.between(moment, moment + timedelta(days=3000)), 12))
    assert slots == sorted(set(slots))
    assert all(slot.tzinfo is UTC and not slot.second and not slot.microsecond for slot in slots)
    assert all(schedule.fires_at(slot) for slot in slots)
    assert all(schedule.previous(after) == before for before, after in pairwise(slots))


@given(EXPRESSIONS, ORDINARY, INSTANTS)
@settings(deadline=None, max_examples=200)
def test_firing_is_every_minute_whose_wall_clock_matches(expression, zone, moment):
    """Where clocks change by whole hours and not at midnight, the steps of the walk make no difference."""
    schedule = Schedule.parse(expression, zone)
    fields, wall = schedule.fields, moment.replace(second=0, microsecond=0).astimezone(zoneinfo.ZoneInfo(zone))
    matches = (
        wall.minute in fields.minutes and wall.hour in fields.hours and wall.month in fields.months and fields.on(wall)
    )
    assert schedule.fires_at(wall) == matches


# What is refused, and how


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "it must have five fields"),
        ("0 0 6 * * *", "and has 6; Kubernetes knows neither seconds nor years"),
        ("@every 5m", "write a step instead, such as '*/15 * * * *'"),
        ("@Daily", "@daily, @midnight, @hourly, in small letters"),
        ("CRON_TZ=Europe/Berlin 0 6 * * *", "name it in timeZone"),
        ("0 6 * * 7", "write Sunday as 0 or SUN"),
        ("0 6 * * FRI-MON", "write it as two ranges, '5-6,0-1'"),
        ("0 22-4 * * *", "write it as two ranges, '22-23,0-4'"),
        ("0 6 L * *", "Kubernetes knows no L, W, # or ~"),
        ("0 6 * * FRI#2", "Kubernetes knows no L, W, # or ~"),
        ("60 6 * * *", "the minute '60' is not a number from 0 to 59"),
        ("0 6 * * MONDAY", "the day of the week 'MONDAY' is not a number from 0 to 6 or a name from SUN, MON"),
        ("*/0 * * * *", "a step of 0"),
        ("1,,2 * * * *", "a comma too many"),
        ("*-5 * * * *", "the minute '*-5' is no star"),
        ("0 0 30 2 *", "no month that it names has such a day"),
        ("x" * 5000, "…"),
    ],
)
def test_refusal_says_what_to_write(expression, said):
    """The sentence is read by somebody whose release was just refused."""
    with pytest.raises(JobError) as refused:
        Schedule.parse(expression)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "zone", ["", "Local", "localtime", "right/UTC", "../etc/passwd", "Europe", "Nowhere/Town", "UTC\0"]
)
def test_unknown_zone_is_refused(zone):
    """A file of the system's is no zone of Kubernetes'."""
    with pytest.raises(JobError, match="is unknown; write a name of the IANA database"):
        Schedule.parse("@daily", zone)


@pytest.mark.parametrize("zone", OFF_THE_HOUR)
def test_zone_whose_clock_does_not_change_on_the_hour_is_refused(zone):
    """Kubernetes passes over Sundays of @weekly in one, and hangs in the other (schedules/README.md)."""
    with pytest.raises(JobError, match="does not change its clock on the hour, and Kubernetes goes wrong over that"):
        Schedule.parse("@weekly", zone)


def test_zones_whose_clock_does_not_change_on_the_hour_are_all_known():
    """A release of tzdata may bring another."""
    found = [name for name in sorted(zoneinfo.available_timezones()) if changes_off_the_hour(zoneinfo.ZoneInfo(name))]
    assert tuple(found) == OFF_THE_HOUR


def changes_off_the_hour(zone):
    """Whether the clock of a zone changes to another time than a full hour, in 2031."""
    days = [datetime(2031, 1, 1, tzinfo=UTC) + timedelta(days=count) for count in range(366)]
    for day in (day for day, after in pairwise(days) if offset(day, zone) != offset(after, zone)):
        half_hours = [(day + timedelta(minutes=30 * count)).astimezone(zone) for count in range(49)]
        if any(before.utcoffset() != after.utcoffset() and after.minute for before, after in pairwise(half_hours)):
            return True
    return False


def test_walk_in_a_circle_ends():
    """A zone that is not known to be such a one must not hang whoever asks."""
    expression, zone = "*/10 3 * * *", zoneinfo.ZoneInfo("Pacific/Chatham")
    schedule = Schedule(expression, zone.key, read(expression), zone)
    assert len(list(schedule.between(instant("2026-04-04T13:14Z"), instant("2026-05-01T00:00Z")))) == 6


def test_misspelled_zone_is_answered_with_the_nearest():
    """Kubernetes minds capitals."""
    with pytest.raises(JobError, match=r"'europe/berlin' is unknown; .* as 'Europe/Berlin'"):
        Schedule.parse("@daily", "europe/berlin")


def test_zone_is_known_without_files_of_the_system():
    """A slim image has none; then the package tzdata has them."""
    try:
        zoneinfo.reset_tzpath([])
        zoneinfo.ZoneInfo.clear_cache()
        schedule = Schedule.parse("30 6 * * *", "Asia/Kathmandu")
        assert schedule.next(instant("2026-11-01T00:00Z")) == instant("2026-11-01T00:45Z")
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize(
    ("moment", "said"),
    [(datetime(2026, 11, 1), "has no zone"), (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "of the years")],
)
@pytest.mark.parametrize("ask", ["next", "previous", "fires_at"])
def test_time_that_is_no_slot_is_refused(ask, moment, said):
    """A time without a zone would be that of whatever machine asks."""
    with pytest.raises(JobError, match=said):
        getattr(Schedule.parse("@daily"), ask)(moment)


def test_schedule_on_which_kubernetes_gives_up_is_refused():
    """After February 2096 there is no 29th for eight years."""
    schedule = Schedule.parse("0 0 29 2 *")
    last = instant("2096-02-29T00:00Z")
    assert schedule.previous(instant("2099-01-01T00:00Z")) == last
    with pytest.raises(JobError, match="does not fire in the five years after 2096-02-29T00:00Z"):
        schedule.next(last)


def test_seconds_are_never_a_firing():
    """Whoever asks with the time of day, to the second, is between two slots."""
    schedule = Schedule.parse("* * * * *")
    slot = instant("2026-11-01T06:00Z")
    assert schedule.fires_at(slot)
    assert not schedule.fires_at(slot + timedelta(microseconds=1))
    assert schedule.previous(slot + timedelta(seconds=1)) == slot == schedule.next(slot - timedelta(microseconds=1))


# How slots are written


def test_slot_is_read_from_the_name_that_kubernetes_gives():
    """A Job's name is all that a pod is told of its slot."""
    slot = instant("2026-11-01T06:00Z")
    assert job_name("churn-batch-daily", slot) == "churn-batch-daily-29891880"
    assert slot_of("churn-batch-daily-29891880") == slot


@pytest.mark.parametrize(
    "name", ["churn", "churn-1", "churn-20261101", "churn-29891880-x", "29891880", "churn-029891880"]
)
def test_job_made_by_hand_has_no_slot(name):
    """`kubectl create job` takes any name; a number at its end need not be minutes."""
    assert slot_of(name) is None


@given(st.datetimes(datetime(2015, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)))
def test_slot_survives_the_name_and_the_text(moment):
    """A slot is the same however it is written."""
    slot = moment.replace(second=0, microsecond=0)
    assert slot_of(job_name("a-1", slot)) == slot
    assert parse_slot(f"{slot:%Y-%m-%dT%H:%MZ}") == slot == parse_slot(slot.isoformat())


def test_slot_is_read_in_any_zone_and_given_in_utc():
    """People write their own time."""
    slot = parse_slot("2026-11-01T07:00+01:00")
    assert (slot, slot.tzinfo) == (instant("2026-11-01T06:00Z"), UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-01T06:00", "has no time zone; write it as 2026-11-01T06:00Z"),
        ("2026-11-01", "has no time zone"),
        ("2026-11-01T06:00:30Z", "has seconds"),
        ("2026-11-01T06:00:00.5Z", "has seconds"),
        ("2026-11-01T06:00+00:00:30", "has seconds"),
        ("2026-02-30T06:00Z", "is no date and time; write it as 2026-11-01T06:00Z"),
        ("yesterday", "is no date and time"),
        ("", "is no date and time"),
        ("0001-01-01T00:00+14:00", "is not of the years 1970 to 2099"),
    ],
)
def test_slot_that_is_none_is_refused(text, said):
    """A slot that is guessed wrong scores the wrong rows."""
    with pytest.raises(JobError, match=f"^The slot {text!r}".replace("+", "[+]")) as refused:
        parse_slot(text)
    assert said in str(refused.value)
