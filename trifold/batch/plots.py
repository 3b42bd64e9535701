"""Plots as SVG that needs no script: as wide as the page whatever its width, with letters of one size.

No library: matplotlib would add 40 MB to an image of 650 at most, and pygal's SVG carries a script, colours of its own
that know no dark page, a font that shrinks on a phone, and coordinates where a screen reader looks for words.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from trifold.batch.words import alike, number

HEIGHT = 220
"""Pixels; positions across are shares of the width, so that nothing is stretched but the lines."""
FLAT = 1e-9
"""Numbers that differ by less than this share of themselves are one on an axis."""
LEAST = 1e-300
"""What is less is 0 on an axis; its powers of ten are no numbers any more."""
LETTERS = 30
"""So many fit below a plot on a phone."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Words:
    """What a plot is called.

    Attributes:
        name: Its id in the page.
        title: What it shows.
        description: What there is to see, for who cannot.
    """

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram: what it holds in words, its height, and that of the line to compare it with."""

    words: str
    found: float
    expected: float | None = None


@dataclass(frozen=True)
class Point:
    """One point of a line: its name on the axis, its value, and how far the value may be off."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def histogram(words: Words, bars: Sequence[Bar], marks: Sequence[tuple[float, str]]) -> Markup:
    """Bars side by side, and a line of steps for what was expected.

    Args:
        words: Its title and description.
        bars: From left to right, with heights as shares.
        marks: Of the axis below: place in bars from the left, and text.
    """
    heights = [bar.found for bar in bars] + [bar.expected or 0.0 for bar in bars]
    marks_up = ticks(0, max(heights, default=0) or 1)
    up = _scale(0, marks_up[-1])
    wide = 100 / max(len(bars), 1)
    drawn = [_grid((up(mark), _share(mark)) for mark in marks_up)]
    for place, bar in enumerate(bars):
        top = up(bar.found)
        shape = {"x": _percent((place + 0.06) * wide), "y": top, "width": _percent(0.88 * wide), "height": HEIGHT - top}
        drawn.append(_tag("rect", _tag("title", bar.words), class_="found", **shape))
    if any(bar.expected is not None for bar in bars):
        corners = [
            (side * wide, up(bar.expected or 0.0)) for place, bar in enumerate(bars) for side in (place, place + 1)
        ]
        drawn.append(_path([(0, HEIGHT), *corners, (100, HEIGHT)], "expected"))
    drawn += [_mark_below(place * wide, text) for place, text in marks]
    return _plot(words, drawn, max(len(_share(mark)) for mark in marks_up))


def line(words: Words, history: Sequence[Point], forecast: Sequence[Point]) -> Markup:
    """A line of what was, and points with bars for what is to come and how far off it may be."""
    names = list(dict.fromkeys(point.name for point in (*history, *forecast)))
    across = {name: 100 * (place + 0.5) / len(names) for place, name in enumerate(names)}
    ends = [end for point in (*history, *forecast) for end in (point.value, point.low, point.high) if end is not None]
    marks = ticks(min(ends), max(ends))
    up = _scale(marks[0], marks[-1])
    drawn = [_grid((up(mark), number(mark)) for mark in marks)]
    drawn.append(_path([(across[point.name], up(point.value)) for point in history], "history"))
    for point, said in zip(forecast, in_words(forecast), strict=True):
        x, parts = _percent(across[point.name]), [_tag("title", f"{point.name}: {said}")]
        if point.low is not None and point.high is not None:
            parts.append(_tag("line", x1=x, x2=x, y1=up(point.low), y2=up(point.high)))
        parts.append(_tag("circle", cx=x, cy=up(point.value), r=5))
        drawn.append(_tag("g", Markup("").join(parts), class_="forecast"))
    shown = names[:: math.ceil(len(names) / most_marks(names))]
    drawn += [_mark_below(across[name], name) for name in shown]
    return _plot(words, drawn, max(len(number(mark)) for mark in marks))


def bar(share: float, kind: str = "found") -> Markup:
    """A bar across a cell; the words beside it say the same."""
    filled = _tag("rect", width=_percent(100 * min(max(share, 0.0), 1.0)), height="100%", class_=kind)
    return _tag("svg", filled, class_=f"bar {kind}", aria_hidden="true")


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`, at equal steps."""
    span, largest = high - low, max(abs(low), abs(high))
    if span <= max(FLAT * largest, LEAST):
        span = largest if largest > LEAST else 1.0
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in STEPS if power * each >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * place:.12g}") for place in range(first, max(last, first + 1) + 1)]  # 0.3, not 0.1 * 3


def most_marks(texts: Iterable[str]) -> int:
    """How many such texts stand side by side below a plot on a phone."""
    return max(2, LETTERS // (max(map(len, texts)) + 1))


def in_words(points: Sequence[Point]) -> list[str]:
    """Forecasts in words."""
    write = alike(point.value for point in points)
    return [
        write(point.value)
        if point.low is None or point.high is None
        else f"{write(point.value)}, likely between {write(point.low)} and {write(point.high)}"
        for point in points
    ]


def _plot(words: Words, drawn: Iterable[Markup], letters: int) -> Markup:
    head = [
        _tag("title", words.title, id=f"{words.name}-title"),
        _tag("desc", words.description, id=f"{words.name}-words"),
    ]
    named = {"aria_labelledby": f"{words.name}-title", "aria_describedby": f"{words.name}-words"}
    svg = _tag("svg", Markup("").join([*head, *drawn]), class_="plot", role="img", height=HEIGHT, **named)
    return _tag("div", svg, class_="plot-room", style=f"padding-left: {letters + 1}ch")


def _scale(low: float, high: float) -> Callable[[float], float]:
    """From values to pixels from the top."""
    return lambda value: round(HEIGHT * (1 - (value - low) / (high - low)), 1)


def _grid(marks: Iterable[tuple[float, str]]) -> Markup:
    parts = []
    for y, text in marks:
        parts.append(_tag("line", x1="0", x2="100%", y1=y, y2=y))
        parts.append(_tag("text", text, x=-8, y=y + 4, text_anchor="end"))
    return _tag("g", Markup("").join(parts), class_="grid")


def _mark_below(across: float, text: str) -> Markup:
    anchor = "start" if across < 3 else "end" if across > 97 else "middle"
    return _tag("text", text, x=_percent(across), y=HEIGHT + 20, text_anchor=anchor)


def _path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """A line through points, given as percent across and pixels down; a path knows no percent, its own canvas does."""
    corners = "L".join(f"{x:.2f} {y:g}" for x, y in points)
    path = _tag("path", d=f"M{corners}" if corners else "", class_=kind, vector_effect="non-scaling-stroke")
    canvas = {"viewBox": f"0 0 100 {HEIGHT}", "preserveAspectRatio": "none"}
    return _tag("svg", path, width="100%", height=HEIGHT, **canvas)


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _tag(tag: str, content: str = "", /, **attributes: Any) -> Markup:
    """An element; content and attributes are escaped unless they are markup."""
    named = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(tag, named, content)
