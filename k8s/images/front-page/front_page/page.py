"""The page: releases as cards, in words for people who never saw a terminal."""

import re
from datetime import datetime
from html import escape

from front_page.releases import MOST, Found, Release, Schedule

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Models</title>
<link rel="stylesheet" href="front-page.css">
</head>
<body>
<main>
<h1>What would you like to know?</h1>
{content}</main>
</body>
</html>
"""
LEAD = """\
<p class="lead">Each of these models answers one question. Choose one, fill in what you know, and read its answer.</p>
"""
UNASKED = '<p class="lead">These models run by themselves, and put their answers where they were told to.</p>\n'
NONE = """\
<div class="empty">
<p>There is no model here yet. As soon as one is released, it appears on this page by itself.</p>
<p>Whoever looks after the models releases one with <code>trifold deploy NAME@alias</code>.</p>
</div>
"""
PROGRAMS = """\
<details>
<summary>For programs</summary>
<p>Every model that has a link answers programs too, below the same address. What one takes and answers, here
<bdi>{title}</bdi>:</p>
<pre tabindex="0"><code>curl ADDRESS/models/{name}/model</code></pre>
<p>ADDRESS is the address of this page without the slash at its end. A browser shows the same at
<a href="models/{name}/model">models/{name}/model</a>.</p>
</details>
"""
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def render(found: Found, as_of: datetime | None = None) -> str:
    """The whole page.

    Args:
        found: What it shows.
        as_of: When the list was true (UTC), if it may have changed since.
    """
    parts = [] if as_of is None else [_outdated(as_of)]
    if not found.releases:
        return PAGE.format(content="".join([*parts, NONE]))
    online = next((release for release in found.releases if release.online), None)
    parts.append(LEAD if online else UNASKED)
    parts += ['<ul role="list" class="cards">\n', *map(_card, found.releases), "</ul>\n"]
    if found.more:
        parts.append(f'<p class="small">There are more models than the {MOST} that this page shows.</p>\n')
    if online:
        parts.append(PROGRAMS.format(title=escape(online.title), name=escape(online.name)))
    return PAGE.format(content="".join(parts))


def when(schedule: Schedule) -> str:
    """A schedule in words, as HTML; a cron expression that has no short ones stands as it is."""
    words = _words(schedule.cron)
    said = escape(words) if words else f"on the schedule <code>{escape(schedule.cron)}</code>"
    return f"{said} ({escape(schedule.zone) if schedule.zone else 'time of the cluster'})"


def _card(release: Release) -> str:
    title = escape(release.title)
    heading = f'<a href="models/{escape(release.name)}/">{title}</a>' if release.online else title
    lines = [f'<li class="card">\n<h2 dir="auto">{heading}</h2>\n']
    if release.description:
        lines.append(f'<p dir="auto">{escape(release.description)}</p>\n')
    lines += [f'<p class="small">{line}</p>\n' for line in map(_runs, release.schedules)]
    if release.version:
        lines.append(f'<p class="small">Version <bdi>{escape(release.version)}</bdi></p>\n')
    return "".join([*lines, "</li>\n"])


def _runs(schedule: Schedule) -> str:
    if schedule.suspended:
        return f"Runs by itself {when(schedule)}, but is paused at the moment"
    return f"Runs by itself {when(schedule)}"


def _outdated(as_of: datetime) -> str:
    said = f"{as_of.day} {as_of:%B %Y, %H:%M} UTC"
    return f'<p class="notice" role="status">This list may be out of date: it is of {said}.</p>\n'


def _words(cron: str) -> str:
    """The words for the four forms of schedules that nearly all have; empty for others."""
    found = re.fullmatch(r"([0-5]?\d) (\*|[01]?\d|2[0-3]) (\*|[1-9]|[12]\d|3[01]) \* (\*|[0-7])", cron)
    if not found:
        return ""
    minute, hour, day, weekday = found.groups()
    if hour == "*":
        return f"every hour at {int(minute)} past" if (day, weekday) == ("*", "*") else ""
    time = f"at {int(hour):02}:{int(minute):02}"
    if day != "*":
        return f"on day {int(day)} of every month {time}" if weekday == "*" else ""
    return f"every {'day' if weekday == '*' else DAYS[int(weekday)]} {time}"
