"""Numbers, shares and times as people write them."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

LEAST, LONGEST = 1e-3, 1e15
"""Beyond these a number is written with an exponent."""


def number(value: float) -> str:
    """A number: whole from a thousand on, of four digits below."""
    whole = float(value).is_integer() or abs(value) >= 1_000
    return f"{value:,.0f}" if whole and abs(value) < LONGEST else f"{value:.4g}"


def alike(values: Iterable[float]) -> Callable[[float], str]:
    """How to write numbers that stand below each other: all with as many digits after the point."""
    known = [abs(value) for value in values if math.isfinite(value)]
    if all(value.is_integer() for value in known) or not LEAST <= max(known) < LONGEST:
        return number
    digits = min(max(3 - math.floor(math.log10(max(known))), 0), 6)
    return lambda value: f"{value:,.{digits}f}"


def percent(share: float) -> str:
    """A share; all and nothing are said only where they are."""
    if share in (0, 1):
        return whole_percent(share)
    if share < 0.001:
        return "under 0.1 %"
    if share > 0.999:
        return "over 99.9 %"
    return f"{100 * share:.1f} %" if share < 0.1 or share > 0.99 else whole_percent(share)


def whole_percent(share: float) -> str:
    """A share without digits after the point."""
    return f"{100 * share:.0f} %"


def rows(count: int) -> str:
    """A number of rows."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def moment(when: datetime, zone: str) -> str:
    """A time as it is in a time zone."""
    local = when.astimezone(ZoneInfo(zone))
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M}"


def duration(seconds: float) -> str:
    """How long something took."""
    if seconds < 0.1:
        return "under 0.1 s"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def bins(cuts: Sequence[float], write: Callable[[float], str] | None = None) -> list[str]:
    """What lies in each bin that cuts make; between a number and the next lower one lies the number itself."""
    alone = [math.nextafter(low, math.inf) == high for low, high in pairwise(cuts)]
    numbers = [high if one else low for one, low, high in zip(alone, cuts, cuts[1:], strict=False)] + [cuts[-1]]
    texts = list(map(write or alike(numbers), numbers))
    between = [high if one else f"{low} to {high}" for one, low, high in zip(alone, texts, texts[1:], strict=False)]
    below = "under" if any(alone[:1]) else "up to"
    return [f"{below} {texts[0]}", *between, f"over {texts[-1]}"]
