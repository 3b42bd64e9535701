"""A release's batch jobs: their CronJobs, their slots, and the Jobs made from them."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from trifold.batch.schedule import Schedule
from trifold.batch.slots import job_name, parse_slot, slot_text
from trifold.errors import DeployError, JobError
from trifold.ops.kube import JOB

MOST_SLOTS = 1000
MANUAL = "cronjob.kubernetes.io/instantiate"
BACKFILL = "trifold.dev/backfill"
"""A label of Jobs that a backfill made; it says from when to when."""
SLOT = "trifold.dev/slot"
"""An annotation of the Jobs made here: names are read as slots only where Kubernetes gave them."""
RUNS_SECONDS = 60
"""For a Job that only reads, and for what is left of it."""
DAY = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")
MINUTE = timedelta(minutes=1)

Json = dict[str, Any]


@dataclass(frozen=True)
class BatchJob:
    """A batch job of a release.

    Attributes:
        name: Its name in the values.
        schedule: When it fires.
        cron: Its CronJob, as the API server gives it.
    """

    name: str
    schedule: Schedule
    cron: Json

    @classmethod
    def of(cls, cron: Json) -> "BatchJob":
        """Read a CronJob of the chart's.

        Raises:
            JobError: Its schedule is one that Trifold does not follow.
        """
        spec, metadata = cron["spec"], cron["metadata"]
        name = metadata["labels"].get(JOB, metadata["name"])
        return cls(name, Schedule.parse(spec["schedule"], spec.get("timeZone") or "Etc/UTC"), cron)

    @property
    def suspended(self) -> bool:
        """Whether it fires at all."""
        return bool(self.cron["spec"].get("suspend"))

    def local(self, slot: datetime) -> str:
        """A slot as people of its time zone write it."""
        return f"{slot.astimezone(self.schedule.zone):%Y-%m-%d %H:%M %Z}"


def last_slot(job: BatchJob, now: datetime) -> datetime:
    """The last firing that has come."""
    return job.schedule.previous(now.replace(second=0, microsecond=0) + MINUTE)


def read_slot(job: BatchJob, given: str, now: datetime) -> datetime:
    """Read what `--slot` was given; empty: the last firing.

    Raises:
        JobError: It is no instant.
        DeployError: It is no firing of the schedule, or has not come yet.
    """
    if not given:
        return last_slot(job, now)
    slot = parse_slot(given)
    if not job.schedule.fires_at(slot):
        near = [slot_text(found) for found in (job.schedule.previous(slot), job.schedule.next(slot))]
        raise DeployError(
            f"Job {job.name} does not fire at {given} ({job.schedule.expression}, {job.schedule.time_zone}); "
            f"the firings nearest to it are {near[0]} and {near[1]}."
        )
    if slot > now:
        raise DeployError(
            f"Job {job.name} has not come to {given} yet; its last slot is {slot_text(last_slot(job, now))}."
        )
    return slot


def read_span(job: BatchJob, start: str, end: str) -> tuple[datetime, datetime]:
    """Read `--from` and `--to`: instants, or days and months in the job's time zone, of which all is meant.

    Raises:
        JobError: One of them is neither.
        DeployError: The end is before the start.
    """
    first, _ = _bounds(job, start)
    _, last = _bounds(job, end)
    if last < first:
        raise DeployError(f"--to {end} is before --from {start}; exchange them.")
    return first, last


def slots_between(job: BatchJob, start: datetime, end: datetime, now: datetime) -> list[datetime]:
    """The firings from `start` to `end`, both inclusive, that have come.

    Raises:
        DeployError: There are none, or more than 1,000.
    """
    slots = list(islice(job.schedule.between(start, min(end, now)), MOST_SLOTS + 1))
    if not slots:
        raise DeployError(f"Job {job.name} did not fire between {job.local(start)} and {job.local(end)}.")
    if len(slots) > MOST_SLOTS:
        raise DeployError(
            f"Job {job.name} fires more than {MOST_SLOTS:,} times between {job.local(start)} and {job.local(end)}; "
            f"take it in parts, the first one --to {slot_text(slots[-2])}."
        )
    return slots


def make_job(job: BatchJob, slot: datetime, *, replace: bool = False, labels: Mapping[str, str] | None = None) -> Json:
    """The Job for a slot, as `kubectl create job --from` makes one, but of the name that the controller gives it."""
    template = copy.deepcopy(job.cron["spec"]["jobTemplate"])
    metadata = template.get("metadata", {})
    container = template["spec"]["template"]["spec"]["containers"][0]
    place = "command" if container.get("command") and not container.get("args") else "args"
    container[place] = [*container.get(place, ()), "--slot", slot_text(slot), *(["--replace"] if replace else [])]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "controller": True}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(job.cron["metadata"]["name"], slot),
            "labels": {**metadata.get("labels", {}), JOB: job.name, **(labels or {})},
            "annotations": {**metadata.get("annotations", {}), MANUAL: "manual", SLOT: slot_text(slot)},
            "ownerReferences": [{**owner, **{key: job.cron["metadata"][key] for key in ("name", "uid")}}],
        },
        "spec": template["spec"],
    }


def make_runs_job(jobs: Sequence[BatchJob], name: str, limit: int) -> Json:
    """A Job that prints the runs of some jobs: with a job's image, settings and rights, but no CronJob's own."""
    template = copy.deepcopy(jobs[0].cron["spec"]["jobTemplate"]["spec"]["template"])
    container = template["spec"]["containers"][0]
    container.pop("args", None)
    container["command"] = ["python", "-m", "trifold.batch", "runs", "--limit", str(limit)]
    described = [json.loads(found) for job in jobs if (found := _setting(job, "TRIFOLD_JOB"))]
    others = [entry for entry in container.get("env", ()) if entry["name"] != "TRIFOLD_JOBS"]
    container["env"] = [*others, {"name": "TRIFOLD_JOBS", "value": json.dumps(described).replace("$", r"\u0024")}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(template["metadata"].get("labels", {}))},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": RUNS_SECONDS,
            "ttlSecondsAfterFinished": RUNS_SECONDS,
            "template": template,
        },
    }


def _setting(job: BatchJob, name: str) -> str:
    container = job.cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return next((entry.get("value", "") for entry in container.get("env", ()) if entry["name"] == name), "")


def _bounds(job: BatchJob, given: str) -> tuple[datetime, datetime]:
    """The first and the last minute of a month or day, or an instant twice."""
    found = DAY.fullmatch(given)
    if not found:
        instant = parse_slot(given)
        return instant, instant
    year, month, day = int(found[1]), int(found[2]), int(found[3] or 1)
    try:
        first = datetime(year, month, day)  # a wall clock, which gets its zone below
        after = first + timedelta(days=1 if found[3] else 32)
    except (ValueError, OverflowError):
        raise JobError(f"{given!r} is no day or month; write it as 2026-11-01 or 2026-11.") from None
    if not found[3]:
        after = after.replace(day=1)
    first, after = (wall.replace(tzinfo=job.schedule.zone).astimezone(UTC) for wall in (first, after))
    return first, after - MINUTE
