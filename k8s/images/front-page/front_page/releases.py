"""The releases in a namespace: what Services and CronJobs say of themselves, whatever else stands in them."""

import re
from dataclasses import dataclass, replace
from itertools import chain

from front_page.api import METADATA, Api, Look

MOST = 500
"""Releases on the page."""
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""What the gateway lets through (charts/platform, templates/gateway/_nginx.conf.tpl)."""
TITLE, DESCRIPTION, VERSION, SCHEDULE = 120, 600, 40, 80
"""Most characters of each text."""
JOINERS = "\u200c\u200d"
"""Of the characters that have no look of their own, those that make others one: in Persian, in emoji."""


@dataclass(frozen=True)
class Schedule:
    """When a batch job runs: a cron expression, its time zone ("" is the cluster's own), and whether it is held."""

    cron: str
    zone: str
    suspended: bool


@dataclass(frozen=True)
class Release:
    """What the page says of a release.

    Attributes:
        name: Its name.
        title: For people; its model's or its own name where it has none.
        description: What it answers, or empty.
        version: Its model's version, or empty.
        online: Whether it answers by HTTP, hence has a link.
        schedules: When it scores by itself.
    """

    name: str
    title: str
    description: str = ""
    version: str = ""
    online: bool = False
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True)
class Found:
    """The releases by title, and whether there are more than the page shows."""

    releases: tuple[Release, ...] = ()
    more: bool = False


def find(api: Api, namespace: str) -> Found:
    """List the releases in a namespace; an object that is not as it should be is left out, or a text of it.

    Raises:
        Unreadable: The API gave no list.
    """
    look, base = Look(api), f"namespaces/{namespace}"
    services = look.objects(f"/api/v1/{base}/services", _selector("online"), METADATA)
    jobs = look.objects(f"/apis/batch/v1/{base}/cronjobs", _selector("batch"))
    found: dict[str, Release] = {}
    more = False
    for release in filter(None, chain(map(_online, services), map(_batch, jobs))):
        known = found.get(release.name)
        if known is None and len(found) == MOST:
            more = True
            break
        found[release.name] = replace(known, schedules=known.schedules + release.schedules) if known else release
    return Found(tuple(sorted(found.values(), key=lambda one: (one.title.casefold(), one.name))), more)


def _selector(component: str) -> str:
    return f"app.kubernetes.io/part-of=trifold,app.kubernetes.io/component={component}"


def _online(item: object) -> Release | None:
    """A Service's release; the gateway reaches <release>-online and no other."""
    release = _release(item)
    if release is None or _text(_inner(item, "metadata"), "name", 63) != f"{release.name}-online":
        return None
    return replace(release, online=True)


def _batch(item: object) -> Release | None:
    """A CronJob's release."""
    release, spec = _release(item), _inner(item, "spec")
    cron = _text(spec, "schedule", SCHEDULE)
    if release is None or not cron:
        return None
    return replace(release, schedules=(Schedule(cron, _text(spec, "timeZone", SCHEDULE), spec.get("suspend") is True),))


def _release(item: object) -> Release | None:
    metadata = _inner(item, "metadata")
    labels, notes = _inner(metadata, "labels"), _inner(metadata, "annotations")
    name = labels.get("app.kubernetes.io/instance")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return None
    title = _text(notes, "trifold.dev/title", TITLE) or _text(notes, "trifold.dev/model", TITLE) or name
    description = _text(notes, "trifold.dev/description", DESCRIPTION)
    return Release(name, title, description, _text(labels, "app.kubernetes.io/version", VERSION))


def _inner(item: object, key: str) -> dict[str, object]:
    found = item.get(key) if isinstance(item, dict) else None
    return found if isinstance(found, dict) else {}


def _text(mapping: dict[str, object], key: str, most: int) -> str:
    """A text in one line, cut; without characters that end lines or turn the text around."""
    found = mapping.get(key)
    if not isinstance(found, str):
        return ""
    shown = (char if char.isprintable() or char in JOINERS else " " for char in found[: 4 * most])
    line = " ".join("".join(shown).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
