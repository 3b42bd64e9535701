"""The cron expressions that Kubernetes takes, read as it reads them; what it would refuse or guess at is refused.

Kubernetes reads schedules by ParseStandard of github.com/robfig/cron v3.0.1 (parser.go), and so does this.
"""

import re
from dataclasses import dataclass
from datetime import date

from trifold.errors import JobError

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Most days that each month can have."""
ITEM = re.compile(
    r"(?:(?P<star>[*?])|(?P<low>[0-9]{1,3}|[A-Z]+)(?:-(?P<high>[0-9]{1,3}|[A-Z]+))?)(?:/(?P<step>[0-9]{1,3}))?"
)
OTHERS = re.compile(r"LW?|[0-9]{1,2}[LW]|.*[#~].*")
"""What other crons take for the last or the nth day, or for a minute of their choice."""


@dataclass(frozen=True)
class Fields:
    """When a schedule fires, in the wall clock of its zone.

    Attributes:
        minutes: From 0 to 59.
        hours: From 0 to 23.
        days: Of the month, from 1 to 31.
        months: From 1 to 12.
        weekdays: From 0, Sunday, to 6.
        either: One of day and weekday is enough, as when neither field is a star; else both must match.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def on(self, day: date) -> bool:
        """Whether the day of the month and of the week match."""
        matches = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return any(matches) if self.either else all(matches)


@dataclass(frozen=True)
class _Kind:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


MINUTE = _Kind("minute", 0, 59)
HOUR = _Kind("hour", 0, 23)
DAY = _Kind("day of the month", 1, 31)
MONTH = _Kind("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
WEEKDAY = _Kind("day of the week", 0, 6, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
KINDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class _Refused(Exception):
    """What is wrong with an expression, and what to write instead."""


def read(expression: str) -> Fields:
    """Read five fields, or a nickname such as @daily.

    Raises:
        JobError: Kubernetes would refuse the expression, or take it for something that nobody would guess, or it
            never fires.
    """
    try:
        texts = _split(NICKNAMES.get(expression, expression))
        minutes, hours, days, months, weekdays = map(_values, texts, KINDS)
        fields = Fields(minutes, hours, days, months, weekdays, either=not any(map(_is_star, texts[2::2])))
        if not fields.either and min(days) > max(MONTH_DAYS[month - 1] for month in months):
            raise _Refused("no month that it names has such a day, so it would never fire; name another day or month")
    except _Refused as refused:
        shown = expression if len(expression) <= 100 else expression[:99] + "…"
        raise JobError(f"The schedule {shown!r} cannot be used: {refused}.") from None
    return fields


def _split(expression: str) -> list[str]:
    if "TZ=" in expression:
        raise _Refused("a time zone does not go here; name it in timeZone, and write only the five fields here")
    if expression.startswith("@every"):
        raise _Refused(
            "@every counts from whenever the controller starts; write a step instead, such as '*/15 * * * *'"
        )
    if expression.startswith("@"):
        raise _Refused(f"the names that Kubernetes knows are {', '.join(NICKNAMES)}, in small letters")
    texts = re.split("[ \t]+", expression.strip(" \t"))
    if len(texts) != len(KINDS) or not texts[0]:
        found = len(texts) if texts[0] else "none"
        raise _Refused(
            "it must have five fields, minute, hour, day of the month, month and day of the week, as '30 6 * * 1-5', "
            f"and has {found}; Kubernetes knows neither seconds nor years"
        )
    return texts


def _is_star(text: str) -> bool:
    """Whether the field says `any day`: a step of its own takes that away, as in */2."""
    return any(item in ("*", "?") or re.fullmatch(r"[*?]/0*1", item) for item in text.split(","))


def _values(text: str, kind: _Kind) -> frozenset[int]:
    return frozenset(value for item in text.split(",") for value in _item(item, kind))


def _item(text: str, kind: _Kind) -> range:
    found = ITEM.fullmatch(text.upper()) if text.isascii() else None
    if found is None:
        raise _Refused(_why_not(text, kind))
    step = int(found["step"] or 1)
    if step == 0:
        raise _Refused(f"the {kind.name} {text[:40]!r} has a step of 0; leave the step out, or write 1 or more")
    if found["star"]:
        return range(kind.least, kind.most + 1, step)
    low = _number(found["low"], kind)
    # A step after one number goes on to the end: 5/15 is 5-59/15.
    high = _number(found["high"], kind) if found["high"] else kind.most if found["step"] else low
    if low > high:
        halves = f"{low}-{kind.most},{kind.least}-{high}"
        raise _Refused(f"the {kind.name} {text[:40]!r} runs backwards; write it as two ranges, {halves!r}")
    return range(low, high + 1, step)


def _number(text: str, kind: _Kind) -> int:
    if text in kind.names:
        return kind.names.index(text) + kind.least
    if text.isdigit() and kind.least <= int(text) <= kind.most:
        return int(text)
    if kind is WEEKDAY and text == "7":
        raise _Refused("Kubernetes has no day of the week 7; write Sunday as 0 or SUN")
    if OTHERS.fullmatch(text):
        raise _Refused(_why_not(text, kind))
    names = f" or a name from {', '.join(kind.names)}" if kind.names else ""
    raise _Refused(f"the {kind.name} {text[:40]!r} is not a number from {kind.least} to {kind.most}{names}")


def _why_not(text: str, kind: _Kind) -> str:
    if not text:
        return f"the {kind.name} has a comma too many; write a number on either side of each comma"
    if OTHERS.fullmatch(text.upper()):
        return f"the {kind.name} {text[:40]!r} is of another cron; Kubernetes knows no L, W, # or ~"
    return f"the {kind.name} {text[:40]!r} is no star, number, range such as 1-5 or step such as */2"
