"""Values for columns, drawn at random: usual ones of each type, GAP where one is missing."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
GAP = object()
"""A value that is missing, before a kind puts its own marker there."""
WORDS = (
    "Ulm", "Bonn", "Kiel", " Private", " State-gov", "end ", "a,b", 'say "x"', "two\nlines", "NA", "nan", "None",
    "null", "true", "1", "1.50", "007", "0x10", "1e5", "inf", "yes", "x;y", "a\tb", "naïve", "🦆", "é", "e\u0301", "Ω",
    "#", "'q'", "=1+1", "-", "2024-01-01", "\\N", "?", "a", "A",
)  # fmt: skip
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SPRING, AUTUMN = 1_711_846_800, 1_729_990_800
"""Berlin's changes of the clock in 2024, in seconds since 1970."""


def floats(random: Random, count: int) -> list[float]:
    """Doubles of one scale."""
    scale = 10 ** random.integers(-2, 4)
    return [float(value) for value in np.round(random.normal(size=count) * scale, int(random.integers(0, 6)))]


def halves(random: Random, count: int) -> list[float]:
    """Numbers that float16 holds."""
    return [float(np.float16(value)) for value in random.normal(size=count)]


def singles(random: Random, count: int) -> list[float]:
    """Numbers that float32 holds."""
    return [float(np.float32(value)) for value in random.normal(size=count) * 10 ** random.integers(-2, 4)]


def whole(low: int, high: int) -> Callable[[Random, int], list[int]]:
    """Whole numbers, all or a few of a range."""

    def draw(random: Random, count: int) -> list[int]:
        few = random.random() < 0.4
        return [int(value) for value in random.integers(low, low + 5 if few else high, count)]

    return draw


def flags(random: Random, count: int) -> list[bool]:
    """True or False."""
    return [bool(value) for value in random.random(count) < 0.5]


def words(random: Random, count: int) -> list[str]:
    """A few texts, some of them rare."""
    pool = [str(word) for word in random.choice(WORDS, random.integers(3, 8), replace=False)]
    if random.random() < 0.1:
        pool.append("")
    rare = [str(word) for word in random.choice(WORDS, 3)]
    return [str(random.choice(rare if random.random() < 0.02 else pool)) for _ in range(count)]


def levels(random: Random, count: int) -> list[int]:
    """A few whole numbers."""
    return [int(value) for value in random.choice([3, 7, 10, 40], count)]


def instants(unit: str) -> Callable[[Random, int], list[int]]:
    """Ticks since 1970, around two changes of the clock and over some years."""

    def draw(random: Random, count: int) -> list[int]:
        ticks, place = TICKS[unit], random.integers(3)
        low, high = [
            (1_546_300_800, 1_767_225_600),
            (SPRING - 86_400, SPRING + 86_400),
            (AUTUMN - 9_000, AUTUMN + 9_000),
        ][place]
        fine = random.choice([1, 60, 3600])
        seconds = random.integers(low // fine, high // fine, count) * fine
        more = random.integers(0, ticks, count) if random.random() < 0.4 else np.zeros(count, int)
        return [int(second) * ticks + int(part) for second, part in zip(seconds, more, strict=True)]

    return draw


def dates(random: Random, count: int) -> list[dt.date]:
    """Days around 2024."""
    return [dt.date(2024, 1, 1) + dt.timedelta(days=int(day)) for day in random.integers(-400, 400, count)]


def moments(random: Random, count: int) -> list[dt.datetime]:
    """Python's times, without a zone."""
    start = dt.datetime(2024, 1, 1)
    return [start + dt.timedelta(minutes=int(minute)) for minute in random.integers(0, 500_000, count)]


def triples(random: Random, count: int) -> list[list[float]]:
    """Lists of three numbers."""
    return [[float(value) for value in row] for row in np.round(random.normal(size=(count, 3)), 3)]


def sets(random: Random, count: int) -> list[list[str]]:
    """Lists of no text or some."""
    return [[str(word) for word in random.choice(WORDS[:6], random.integers(0, 4))] for _ in range(count)]


def bytes(random: Random, count: int) -> list[bytes]:
    """A few bytes."""
    return [random.bytes(int(random.integers(0, 6))) for _ in range(count)]


def constant(value: Any) -> Callable[[Random, int], list[Any]]:
    """One value."""
    return lambda random, count: [value] * count


def nothing(random: Random, count: int) -> list[Any]:
    """Nothing but gaps."""
    return [GAP] * count
