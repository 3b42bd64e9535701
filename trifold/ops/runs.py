"""A release's runs: what its database says of them, and what the Jobs in the cluster add to that."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trifold.batch.slots import parse_slot, slot_of, slot_text
from trifold.errors import DeployError
from trifold.ops import jobs as cluster
from trifold.ops.batch import RUNS_SECONDS, SLOT, BatchJob, make_runs_job
from trifold.ops.helm import Target
from trifold.ops.job_states import DONE, FAILED, RUNNING, shards_done, state, why
from trifold.ops.kube import asked, log

COMMITTED, OPEN, STOPPED = "committed", "open", "stopped"
COLUMNS = ("job", "slot", "state", "rows", "rejects", "duration", "version", "report")
RANK = {COMMITTED: 0, OPEN: 1}
"""Of several runs for one slot, the one that is told of; else the first that the database names, the newest."""
TRIES = 4
"""Runs for one slot, of which one is shown, that are reckoned with."""
ALL = 20_000
"""Runs enough for two years of an hourly job, and few enough for a pod's log, which the kubelet cuts at 10 MiB."""


@dataclass(frozen=True)
class Run:
    """A slot's run.

    Attributes:
        job: The job's name.
        slot: Its slot.
        state: committed, running, failed, stopped, or what the database calls it.
        rows: Rows that were read; None: not known yet.
        rejects: Rows of them that were refused.
        seconds: Time that it took.
        version: Version of the model.
        shards: Pods that share it.
        shards_done: How many of them are done.
        reason: Why it failed.
        report: Where its report is.
    """

    job: str
    slot: datetime
    state: str
    rows: int | None = None
    rejects: int | None = None
    seconds: float | None = None
    version: str = ""
    shards: int = 1
    shards_done: int = 0
    reason: str = ""
    report: str = ""

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Run":
        """Read what `python -m trifold.batch runs` prints of a run."""
        known = {name: entry[name] for name in cls.__dataclass_fields__ if entry.get(name) is not None}
        return cls(**{**known, "slot": parse_slot(entry["slot"]), "version": str(entry.get("version") or "")})


def collect(target: Target, jobs: Sequence[BatchJob], limit: int) -> list[Run]:
    """The newest runs of some jobs.

    Raises:
        DeployError: The cluster or the database does not answer.
    """
    names = {job.name for job in jobs}
    listed = [run for run in ask(target, jobs, limit * TRIES) if run.job in names]
    return merge(listed, works(target, jobs))[:limit]


def committed(target: Target, job: BatchJob) -> set[datetime]:
    """The slots of a job that have a committed run.

    Raises:
        DeployError: The cluster or the database does not answer.
    """
    return {run.slot for run in ask(target, [job], ALL) if run.job == job.name and run.state == COMMITTED}


def run_of(target: Target, job: BatchJob, slot: datetime) -> Run | None:
    """A slot's run as the database has it; None if there is none.

    Raises:
        DeployError: The cluster or the database does not answer.
    """
    found = merge(ask(target, [job], ALL), [])
    return next((run for run in found if (run.job, run.slot) == (job.name, slot)), None)


def merge(runs: Sequence[Run], jobs: Sequence[Run]) -> list[Run]:
    """One line a slot, the newest first: runs of the database, and the Jobs that tell of what it cannot know.

    Args:
        runs: From the database.
        jobs: From the Jobs (`works`): running, or failed.
    """
    busy = {one.job for one in jobs if one.state == RUNNING}  # a Job also does slots that were missed before its own
    found: dict[tuple[str, datetime], Run] = {}
    for run in sorted(runs, key=lambda run: RANK.get(run.state, len(RANK))):
        found.setdefault((run.job, run.slot), _now(run, run.job in busy))
    for one in jobs:
        there = found.get((one.job, one.slot), one)
        if one.state == RUNNING:
            merged = replace(there, state=RUNNING, shards=one.shards, shards_done=one.shards_done, reason="")
        elif there.state == COMMITTED:
            continue
        else:
            merged = replace(there, state=FAILED, reason=there.reason if there.state == FAILED else one.reason)
        found[one.job, one.slot] = merged
    return sorted(found.values(), key=lambda run: (run.slot, run.job), reverse=True)


def works(target: Target, jobs: Sequence[BatchJob]) -> list[Run]:
    """What the Jobs in the cluster say of their slots: those that run, and those that failed.

    Raises:
        DeployError: The cluster does not answer.
    """
    found = []
    for job, one in cluster.owned(target, jobs):
        now = state(one)
        noted = (one.metadata.annotations or {}).get(SLOT)
        slot = parse_slot(noted) if noted else slot_of(one.metadata.name)
        if slot and now != DONE:  # without a slot it is somebody's own, of whatever name
            reason = why(one, cluster.pods(target, one)) if now == FAILED else ""
            wanted = one.spec.completions or 1
            found.append(Run(job.name, slot, now, shards=wanted, shards_done=shards_done(one), reason=reason))
    return found


def ask(target: Target, jobs: Sequence[BatchJob], limit: int) -> list[Run]:
    """Let a Job in the cluster, where the database is, say which runs there are.

    Raises:
        DeployError: It could not, or said something else.
    """
    name = f"{target.release}-runs-{secrets.token_hex(3)}"
    try:
        said = _said(target, cluster.start(target, make_runs_job(jobs, name, limit)))
    finally:
        cluster.remove(target, name)
    try:
        return [Run.from_json(entry) for entry in json.JSONDecoder().raw_decode(said)[0]["runs"]]
    except (KeyError, TypeError, ValueError):
        raise DeployError(
            f"Release {target.release} does not list its runs as this version of Trifold expects; "
            f"build and deploy it anew. It said: {said[-300:]!r}"
        ) from None


def table(runs: Sequence[Run], jobs: Sequence[BatchJob]) -> list[tuple[str, ...]]:
    """Runs as the cells of a table, its head first; slots in their job's time zone."""
    by_name = {job.name: job for job in jobs}
    return [COLUMNS, *(_cells(run, by_name[run.job]) for run in runs)]


def advice(run: Run, target: Target) -> str:
    """Why a run is not there, and the command that does it."""
    reason = run.reason or ("no Job works on it" if run.state == STOPPED else "")
    again = f"trifold run {target.release} {run.job} --slot {slot_text(run.slot)} -n {target.namespace}"
    return f"{slot_text(run.slot)}: {f'{reason}; ' if reason else ''}again: {again}"


def _cells(run: Run, job: BatchJob) -> tuple[str, ...]:
    how = f"{run.state} {run.shards_done}/{run.shards}" if run.state == RUNNING and run.shards > 1 else run.state
    counts = ["-" if count is None else f"{count:,}" for count in (run.rows, run.rejects)]
    return (run.job, job.local(run.slot), how, *counts, _duration(run.seconds), run.version or "-", run.report or "-")


def _now(run: Run, busy: bool) -> Run:
    return replace(run, state=RUNNING if busy else STOPPED) if run.state == OPEN else run


def _said(target: Target, following: cluster.Following) -> str:
    """Wait for the Job; gives its log from the document on, before which there may be warnings."""
    ends = time.monotonic() + 2 * RUNS_SECONDS
    while (seen := following.look()).state == RUNNING and time.monotonic() < ends:
        time.sleep(cluster.POLL_SECONDS)
    if seen.state != DONE:
        reason = seen.says if seen.state != RUNNING else "it was not even started in time"
        words = f" Its pod's last words:\n{seen.words}" if seen.words else ""
        raise DeployError(f"The Job that reads the runs of {target.release}: {reason}.{words}")
    job = cluster.read(target, following.name)
    with asked(f"show the log of Job {following.name}"):
        lines = [line for pod in (cluster.pods(target, job) if job else ()) for line in log(target, pod, lines=None)]
    start = next((number for number, line in enumerate(lines) if line.startswith("{")), 0)
    return "\n".join(lines[start:])


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
