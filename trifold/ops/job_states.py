"""What a Job's conditions and pods say of it: how far it is, and why it failed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trifold.ops.kube import Object

RUNNING, DONE, FAILED, STUCK, GONE = "running", "done", "failed", "stuck", "gone"
MEANINGS = {
    1: "an unexpected error, a defect of Trifold or of the model",
    64: "wrong command line",
    65: "the input is refused (wrong columns, too many rejects, a key missing or twice)",
    70: "the model or a shard failed in itself",
    73: "another version has committed this slot (--replace does it anew)",
    75: "the database or the storage was away (try again)",
    78: "set up wrongly (no schema, no right, a bad query or job)",
    137: "killed (with its node, or for its memory)",
    143: "stopped by SIGTERM, as when a node is emptied",
}
"""Exit codes of cronjobs/score.py."""


@dataclass(frozen=True)
class Seen:
    """A Job at a moment.

    Attributes:
        state: running, done, failed, stuck (its pods will not start) or gone (somebody removed it).
        says: How far its shards are; or what went wrong.
        words: The last lines of the pod that failed or does not start, indented; or nothing.
    """

    state: str
    says: str = ""
    words: str = ""


def state(job: Object) -> str:
    """running, done or failed, as the Job's conditions say."""
    found = {condition.type for condition in job.status.conditions or () if condition.status == "True"}
    return DONE if "Complete" in found else FAILED if "Failed" in found else RUNNING


def shards(job: Object, found: Sequence[Object]) -> str:
    """How far a Job is: `shards 0-2 done, 3 running (try 2), 4-7 waiting`; or of a single one, `running`."""
    wanted = job.spec.completions or 1
    done, failed = _numbers(job.status.completed_indexes), _numbers(job.status.failed_indexes)
    said: dict[str, list[int]] = {}
    for shard in range(wanted):
        phases = [pod.status.phase for pod in found if _shard(pod) == shard]
        if shard in done or "Succeeded" in phases:  # which the Job counts a moment later
            how = "done"
        elif shard in failed:
            how = "failed"
        else:
            tries = phases.count("Failed")
            how = ("running" if "Running" in phases else "waiting") + (f" (try {tries + 1})" if tries else "")
        said.setdefault(how, []).append(shard)
    if wanted == 1:
        return next(iter(said))
    return "shards " + ", ".join(f"{_ranges(numbers)} {how}" for how, numbers in said.items())


def shards_done(job: Object) -> int:
    """How many of a Job's shards are done."""
    return len(_numbers(job.status.completed_indexes)) if job.status.completed_indexes else job.status.succeeded or 0


def why(job: Object, found: Sequence[Object]) -> str:
    """Why a Job failed: its pod's exit code and what that means, or what the Job's condition says."""
    condition = _failure(job)
    if condition.reason == "DeadlineExceeded":
        return "it took longer than its deadlineSeconds"
    pod = failed_pod(job, found)
    if pod:
        end = _end(pod)
        shard = f"shard {_shard(pod)}, " if (job.spec.completions or 1) > 1 else ""
        return f"{shard}{describe(end.exit_code, end.reason or '')}"
    code = re.search(r"failed with exit code (\d+)", condition.message or "")
    return describe(int(code[1])) if code else f"{condition.reason}, {condition.message}"


def failed_pod(job: Object, found: Sequence[Object]) -> Object | None:
    """The pod for which a Job failed: the one that its condition names, else the last that failed."""
    named = re.search(r"for pod \S+/(\S+) failed", _failure(job).message or "")
    ended = [pod for pod in found if (end := _end(pod)) and end.exit_code]
    last = max(ended, key=lambda pod: _end(pod).finished_at or pod.metadata.creation_timestamp, default=None)
    return next((pod for pod in ended if named and pod.metadata.name == named[1]), last)


def describe(code: int, reason: str = "") -> str:
    """An exit code and its meaning."""
    if reason == "OOMKilled":
        return f"exit code {code}: out of memory (raise batch.resources.limits.memory)"
    return f"exit code {code}: {MEANINGS.get(code, f'killed by signal {code - 128}' if code > 128 else 'unknown')}"


def _failure(job: Object) -> Object:
    return next(condition for condition in job.status.conditions if condition.type == "Failed")


def _end(pod: Object) -> Object:
    return next(
        (found.state.terminated for found in pod.status.container_statuses or () if found.state.terminated), None
    )


def _shard(pod: Object) -> int:
    return int((pod.metadata.labels or {}).get("batch.kubernetes.io/job-completion-index", 0))


def _numbers(ranges: str | None) -> set[int]:
    """Read `0-2,5`."""
    ends = [part.split("-") for part in (ranges or "").split(",") if part]
    return {number for part in ends for number in range(int(part[0]), int(part[-1]) + 1)}


def _ranges(numbers: Sequence[int]) -> str:
    """Write rising numbers as 0-2,5."""
    there = set(numbers)
    starts = [number for number in numbers if number - 1 not in there]
    ends = [number for number in numbers if number + 1 not in there]
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in zip(starts, ends, strict=True))
