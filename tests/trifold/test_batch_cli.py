"""Batch jobs by the command line: which Job a slot becomes, what is told of it, and what is refused in a sentence."""

import copy
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from trifold import exits
from trifold.batch.slots import slot_text
from trifold.errors import DeployError, JobError
from trifold.ops import backfill, batch, job_states, releases, runs
from trifold.ops.helm import Target
from trifold.ops.job_states import DONE, FAILED, GONE, RUNNING, STUCK, Seen
from trifold.ops.runs import Run

TRIFOLD = str(Path(sys.executable).parent / "trifold")
CRON = {
    "metadata": {
        "name": "churn-weekly",
        "uid": "0a-1b",
        "labels": {"app.kubernetes.io/instance": "churn", "trifold.dev/job": "weekly"},
    },
    "spec": {
        "schedule": "0 6 * * 1",
        "timeZone": "Europe/Berlin",
        "jobTemplate": {
            "metadata": {"labels": {"app.kubernetes.io/part-of": "trifold"}, "annotations": {"who": "chart"}},
            "spec": {
                "completions": 4,
                "aFieldOfTomorrow": True,
                "template": {
                    "metadata": {"labels": {"app.kubernetes.io/component": "batch"}},
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {
                                "name": "batch",
                                "command": ["python", "cronjobs/score.py"],
                                "env": [{"name": "TRIFOLD_JOB", "value": '{"name": "weekly"}'}],
                            }
                        ],
                    },
                },
            },
        },
    },
}
WEEKLY = batch.BatchJob.of(CRON)
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SLOT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def job_of(name="weekly", **spec):
    """A job whose CronJob differs in some fields."""
    cron = copy.deepcopy(CRON)
    cron["metadata"]["labels"]["trifold.dev/job"] = name
    cron["spec"].update(spec)
    return batch.BatchJob.of(cron)


def container_of(manifest):
    """The container of a Job's pods."""
    return manifest["spec"]["template"]["spec"]["containers"][0]


def test_a_job_is_made_as_the_controller_would_and_owned_by_its_cronjob():
    """Its name is the lock by which the schedule does not start the slot again; its owner cleans it up."""
    made = batch.make_job(WEEKLY, SLOT)
    metadata = made["metadata"]
    assert metadata["name"] == f"churn-weekly-{int(SLOT.timestamp()) // 60}"
    assert metadata["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "CronJob", "name": "churn-weekly", "uid": "0a-1b", "controller": True}
    ]
    assert metadata["annotations"] == {
        "who": "chart",
        "cronjob.kubernetes.io/instantiate": "manual",
        "trifold.dev/slot": "2026-11-23T05:00Z",
    }
    assert metadata["labels"] == {"app.kubernetes.io/part-of": "trifold", "trifold.dev/job": "weekly"}
    assert container_of(made)["command"] == ["python", "cronjobs/score.py", "--slot", "2026-11-23T05:00Z"]


def test_a_job_is_the_template_but_for_its_command():
    """Whatever the chart or Kubernetes says of it, known here or not, holds for a run by hand as well."""
    template = CRON["spec"]["jobTemplate"]["spec"]
    made = batch.make_job(WEEKLY, SLOT, replace=True, labels={batch.BACKFILL: "x"})
    assert container_of(made)["command"][-1] == "--replace"
    assert made["metadata"]["labels"][batch.BACKFILL] == "x"
    container_of(made)["command"] = container_of({"spec": template})["command"]
    assert made["spec"] == template


def test_an_image_with_its_own_command_is_given_arguments():
    """A command that is only arguments would replace what the image runs."""
    cron = copy.deepcopy(CRON)
    container = container_of({"spec": cron["spec"]["jobTemplate"]["spec"]})
    container["args"] = [*container.pop("command")]
    made = container_of(batch.make_job(batch.BatchJob.of(cron), SLOT))
    assert "command" not in made
    assert made["args"] == ["python", "cronjobs/score.py", "--slot", "2026-11-23T05:00Z"]


def test_the_job_that_lists_runs_is_short_and_nobodys():
    """Owned, it would count in the CronJob's history; without the batch label no policy lets it reach the database."""
    made = batch.make_runs_job([WEEKLY, job_of("daily")], "churn-runs-1", 7)
    assert "ownerReferences" not in made["metadata"]
    assert made["metadata"]["labels"] == {"app.kubernetes.io/component": "batch"}
    spec = made["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 60, 60)
    assert not {"completions", "completionMode", "podFailurePolicy"} & spec.keys()
    container = container_of(made)
    assert container["command"] == ["python", "-m", "trifold.batch", "runs", "--limit", "7"]
    assert container["env"][-1] == {"name": "TRIFOLD_JOBS", "value": '[{"name": "weekly"}, {"name": "weekly"}]'}


def test_without_a_slot_it_is_the_last_firing_in_the_jobs_zone():
    """Berlin's Monday, 6 o'clock, is 5 o'clock in UTC in winter; a firing of this very minute has come."""
    assert batch.read_slot(WEEKLY, "", NOW) == SLOT
    assert batch.read_slot(WEEKLY, "", SLOT + timedelta(seconds=59)) == SLOT
    assert batch.read_slot(WEEKLY, "", SLOT - timedelta(seconds=1)) == SLOT - timedelta(days=7)


def test_a_slot_that_is_no_firing_names_those_beside_it():
    """Nobody computes cron expressions in the head."""
    with pytest.raises(DeployError, match=r"nearest to it are 2026-11-16T05:00Z and 2026-11-23T05:00Z\."):
        batch.read_slot(WEEKLY, "2026-11-23T06:00+02:00", NOW)
    with pytest.raises(DeployError, match=r"has not come to 2026-11-30T05:00Z yet; its last slot is 2026-11-23T05:00Z"):
        batch.read_slot(WEEKLY, "2026-11-30T05:00Z", NOW)
    with pytest.raises(JobError):
        batch.read_slot(WEEKLY, "yesterday", NOW)
    assert batch.read_slot(WEEKLY, "2026-11-23T06:00+01:00", NOW) == SLOT


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-11", "2026-11", "2026-10-31T23:00Z", "2026-11-30T22:59Z"),
        ("2026-11-02", "2026-11-02", "2026-11-01T23:00Z", "2026-11-02T22:59Z"),
        ("2026-03-29", "2026-03-29", "2026-03-28T23:00Z", "2026-03-29T21:59Z"),
        ("2026-12-31", "2026-12", "2026-12-30T23:00Z", "2026-12-31T22:59Z"),
        ("2024-02-29", "2026-11-02T05:00Z", "2024-02-28T23:00Z", "2026-11-02T05:00Z"),
    ],
)
def test_days_and_months_are_meant_whole_and_in_the_jobs_zone(start, end, first, last):
    """Who asks for July gets the 31st, at Berlin's midnight, also where the clock was changed on the day."""
    assert [*map(slot_text, batch.read_span(WEEKLY, start, end))] == [first, last]


@pytest.mark.parametrize("wrong", ["2026-13", "2026-02-30", "9999-12", "0000-01-01", "July", "2026", ""])
def test_what_is_no_time_is_refused(wrong):
    """Before anything is started."""
    with pytest.raises(JobError):
        batch.slots_between(WEEKLY, *batch.read_span(WEEKLY, wrong, wrong), NOW)


def test_a_backfill_does_no_slot_that_has_not_come():
    """Its window is not over; what would be committed lacks the rest for good."""
    slots = batch.slots_between(WEEKLY, *batch.read_span(WEEKLY, "2026-11", "2026-12"), NOW)
    assert [slot.day for slot in slots] == [2, 9, 16, 23]
    with pytest.raises(DeployError, match=r"did not fire between 2026-12-01 00:00 CET and 2026-12-31 23:59 CET\."):
        batch.slots_between(WEEKLY, *batch.read_span(WEEKLY, "2026-12", "2026-12"), NOW)
    with pytest.raises(DeployError, match="exchange them"):
        batch.read_span(WEEKLY, "2026-12", "2026-11-30")


def test_a_backfill_of_too_many_slots_names_a_part_that_fits():
    """A thousand Jobs by a typing error are a thousand too many; the part named is one of just a thousand."""
    hourly = job_of(schedule="0 * * * *")
    span = batch.read_span(hourly, "2026-01", "2026-06")
    with pytest.raises(DeployError, match=r"more than 1,000 times .* the first one --to (\S+)\.") as refused:
        batch.slots_between(hourly, *span, NOW)
    end = re.search(r"--to (\S+)\.", str(refused.value))[1]
    assert len(batch.slots_between(hourly, *batch.read_span(hourly, "2026-01", end), NOW)) == batch.MOST_SLOTS


@pytest.mark.parametrize("code", sorted({*exits.CODES.values(), exits.USAGE, exits.FAILURE, exits.TERMINATED}))
def test_every_exit_code_of_the_scorer_has_a_meaning(code):
    """A number alone sends people to the source."""
    assert re.fullmatch(rf"exit code {code}: [a-z].{{8,}}", job_states.describe(code))


def test_other_exit_codes_are_told_as_what_they_are():
    """Out of memory and signals have numbers that nobody knows."""
    assert "raise batch.resources.limits.memory" in job_states.describe(137, "OOMKilled")
    assert job_states.describe(139) == "exit code 139: killed by signal 11"
    assert job_states.describe(3) == "exit code 3: unknown"


def pod(shard, phase, code=None, *, name="p", minute=0, reason="Error"):
    """A pod of a Job, as the client gives it."""
    at = NOW + timedelta(minutes=minute)
    ended = client.V1ContainerStateTerminated(exit_code=code or 0, reason=reason, finished_at=at)
    state = client.V1ContainerState(terminated=ended if code is not None else None)
    container = client.V1ContainerStatus(image="", image_id="", name="batch", ready=False, restart_count=0, state=state)
    labels = {"batch.kubernetes.io/job-completion-index": str(shard)}
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels=labels, creation_timestamp=at),
        status=client.V1PodStatus(phase=phase, container_statuses=[container]),
    )


def cluster_job(completions=1, condition=None, **status):
    """A Job in the cluster, as the client gives it; `condition` is type, reason, message."""
    kind, reason, message = condition or ("Suspended", "", "")
    conditions = [client.V1JobCondition(type=kind, status="True", reason=reason, message=message)]
    return client.V1Job(
        metadata=client.V1ObjectMeta(name="churn-weekly-29736300"),
        spec=client.V1JobSpec(completions=completions, template=client.V1PodTemplateSpec()),
        status=client.V1JobStatus(conditions=conditions, **status),
    )


def test_shards_are_told_in_ranges():
    """Of 64 shards, a line must still say which one lags."""
    job = cluster_job(8, completed_indexes="0-2,5", failed_indexes="7")
    pods = [pod(3, "Failed", 75), pod(3, "Running"), pod(4, "Running"), pod(6, "Pending"), pod(0, "Succeeded", 0)]
    assert job_states.shards(job, pods) == "shards 0-2,5 done, 3 running (try 2), 4 running, 6 waiting, 7 failed"
    assert job_states.shards_done(job) == 4
    assert job_states.shards(cluster_job(), [pod(0, "Running")]) == "running"
    assert job_states.shards(cluster_job(), []) == "waiting"
    assert job_states.shards(cluster_job(), [pod(0, "Failed", 75), pod(0, "Succeeded", 0)]) == "done"


@given(st.sets(st.integers(0, 99), min_size=1))
def test_ranges_are_written_as_kubernetes_does(numbers):
    """What is written is read as the same."""
    written = job_states._ranges(sorted(numbers))
    assert job_states._numbers(written) == numbers
    assert len(written.split(",")) <= len(numbers)


def test_a_failure_is_told_by_the_pod_that_the_condition_names():
    """With several shards, another one's log would lead astray."""
    message = "Container batch for pod models/p-1 failed with exit code 65 matching FailJob rule at index 1"
    job = cluster_job(4, ("Failed", "PodFailurePolicy", message))
    pods = [pod(1, "Failed", 65, name="p-1"), pod(2, "Failed", 143, name="p-2", minute=1)]
    assert job_states.failed_pod(job, pods).metadata.name == "p-1"
    assert job_states.why(job, pods).startswith("shard 1, exit code 65: the input is refused")
    assert job_states.why(job, []).startswith("exit code 65: the input is refused")


def test_a_failure_without_a_pod_named_is_told_by_the_last_that_failed():
    """Retries fail one after another; the last one's words count."""
    job = cluster_job(1, ("Failed", "FailedIndexes", "Job has failed indexes"), failed_indexes="0")
    pods = [pod(0, "Failed", 75, name="a", minute=2), pod(0, "Failed", 70, name="b", minute=1)]
    assert job_states.why(job, pods).startswith("exit code 75: ")
    assert job_states.why(job, []) == "FailedIndexes, Job has failed indexes"
    late = cluster_job(1, ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    assert job_states.why(late, []) == "it took longer than its deadlineSeconds"


def test_a_job_that_is_about_to_fail_still_runs():
    """FailureTarget comes before its pods have ended; the next Job of the name would meet them."""
    assert job_states.state(cluster_job(1, ("FailureTarget", "", ""))) == RUNNING
    assert job_states.state(cluster_job(1, ("Complete", "", ""))) == DONE
    assert job_states.state(cluster_job(1, ("Failed", "", ""))) == FAILED


def entry(slot="2026-11-23T05:00Z", state="committed", **more):
    """A run as the image prints it."""
    return {
        "job": "weekly", "slot": slot, "state": state, "rows": 1000, "rejects": 2, "seconds": 3.25, "version": "7",
        "shards": 4, "shards_done": 4, "reason": None, "report": None, **more,
    }  # fmt: skip


def test_runs_are_read_and_shown_in_the_jobs_zone():
    """Rows with their thousands, times as people of that zone know them."""
    shown = runs.table([Run.from_json(entry(rows=1234567)), Run.from_json(entry(seconds=125.0))], [WEEKLY])
    assert shown[1] == ("weekly", "2026-11-23 06:00 CET", "committed", "1,234,567", "2", "3.2 s", "7", "-")
    assert shown[2][5] == "2 min 05 s"
    assert len(shown[0]) == len(shown[1])


def test_the_jobs_tell_what_the_database_cannot_know():
    """A killed run never wrote that it failed; a slot that another Job caught up is no failure."""
    told = [
        Run.from_json(entry()),
        Run.from_json(entry("2026-11-16T05:00Z", "open", shards_done=1, rejects=None, seconds=None)),
        Run.from_json(entry("2026-11-09T05:00Z", "open")),
    ]
    day = timedelta(days=7)
    jobs = [
        Run("weekly", SLOT, FAILED, reason="exit code 137: killed"),
        Run("weekly", SLOT - day, FAILED, reason="exit code 137: killed"),
        Run("weekly", SLOT - 3 * day, FAILED, reason="exit code 78: set up wrongly"),
    ]
    merged = runs.merge(told, jobs)
    assert [(run.slot, run.state, run.reason) for run in merged] == [
        (SLOT, "committed", ""),
        (SLOT - day, "failed", "exit code 137: killed"),
        (SLOT - 2 * day, "stopped", ""),
        (SLOT - 3 * day, "failed", "exit code 78: set up wrongly"),
    ]
    assert merged[1].rows == 1000
    target = Target("churn", "models")
    assert runs.advice(merged[1], target) == (
        "2026-11-16T05:00Z: exit code 137: killed; again: trifold run churn weekly --slot 2026-11-16T05:00Z -n models"
    )
    assert "no Job works on it" in runs.advice(merged[2], target)


def test_a_job_that_runs_is_shown_running_with_its_shards():
    """Also one that does a missed slot first: its own Job is another's."""
    told = [Run.from_json(entry("2026-11-16T05:00Z", "open")), Run.from_json(entry("2026-11-23T05:00Z", "failed"))]
    merged = runs.merge(told, [Run("weekly", SLOT, RUNNING, shards=4, shards_done=3)])
    assert [(run.state, run.reason) for run in merged] == [(RUNNING, ""), (RUNNING, "")]
    assert runs.table(merged, [WEEKLY])[1][2] == "running 3/4"


def test_of_several_runs_for_a_slot_the_committed_one_is_shown():
    """What failed or was replaced before is history; the newest of those comes first."""
    older = [entry(state="failed", reason="new"), entry(state="failed", reason="old"), entry(state="replaced")]
    assert [run.reason for run in runs.merge([*map(Run.from_json, older)], [])] == ["new"]
    (shown,) = runs.merge([Run.from_json(one) for one in (*older, entry(rows=5))], [])
    assert (shown.state, shown.rows) == ("committed", 5)


def test_the_databases_own_reason_is_kept():
    """It says which column; the exit code only that there was one."""
    told = [Run.from_json(entry(state="failed", reason="column x7 is missing"))]
    (merged,) = runs.merge(told, [Run("weekly", SLOT, FAILED, reason="exit code 65")])
    assert merged.reason == "column x7 is missing"


class Cluster:
    """Jobs that end after some looks, and how many were active at once."""

    def __init__(self, ends):
        self.ends, self.begun, self.active, self.most = ends, [], 0, 0

    def begin(self, slot):
        """Start a slot's Job."""
        self.begun.append(slot)
        self.active += 1
        self.most = max(self.most, self.active)
        looks = iter([RUNNING] * (slot % 3) + [self.ends.get(slot, DONE)])

        def look():
            seen = Seen(next(looks))
            self.active -= seen.state != RUNNING
            return seen

        return SimpleNamespace(look=look)


@given(
    st.integers(1, 12), st.integers(1, 5), st.dictionaries(st.integers(0, 11), st.sampled_from([FAILED, STUCK, GONE]))
)
def test_a_backfill_does_every_slot_once_and_few_at_once(count, at_once, ends):
    """In their order; after a failure nothing is begun, and what is active is waited for."""
    cluster = Cluster(ends)
    done = dict(backfill.work(range(count), cluster.begin, at_once=at_once, seconds=0))
    assert cluster.begun == list(range(len(cluster.begun)))
    assert set(done) == set(cluster.begun)
    assert cluster.most <= at_once
    assert cluster.active == 0
    failed = [slot for slot in range(count) if ends.get(slot) in (FAILED, STUCK)]
    assert (len(done) == count) or failed
    if failed:
        assert len(cluster.begun) <= count
        assert set(failed) & set(done)
    kept = Cluster(ends)
    assert len(dict(backfill.work(range(count), kept.begin, at_once=at_once, keep_going=True, seconds=0))) == count


def test_one_at_a_time_stops_right_at_the_failure():
    """The default must not start the next slot on top of a broken one."""
    cluster = Cluster({2: FAILED})
    list(backfill.work(range(9), cluster.begin, seconds=0))
    assert cluster.begun == [0, 1, 2]


def test_a_release_of_batch_jobs_alone_is_a_line_of_status():
    """Without a Deployment it would be invisible."""
    cron = client.V1CronJob(
        metadata=client.V1ObjectMeta(
            name="churn-weekly",
            labels={**CRON["metadata"]["labels"], "app.kubernetes.io/component": "batch"},
            annotations={"trifold.dev/model": "churn", "trifold.dev/model-version": "7"},
        ),
        spec=client.V1CronJobSpec(
            schedule="0 6 * * 1", time_zone="Europe/Berlin", job_template=client.V1JobTemplateSpec()
        ),
        status=client.V1CronJobStatus(last_successful_time=SLOT),
    )
    line = releases._release_of_job(cron)
    assert (line.name, line.mode, line.version, line.digest) == ("churn", "batch", "7", "?")
    assert releases.readiness(line) == "weekly: 0 6 * * 1 Europe/Berlin, last 2026-11-23 06:00"
    cron.status.last_successful_time, cron.spec.suspend = None, True
    assert releases.readiness(releases._release_of_job(cron)).endswith("Europe/Berlin, not run yet, suspended")


def trifold(*arguments, **environment):
    """Run the real command."""
    variables = {**os.environ, **environment}
    return subprocess.run([TRIFOLD, *arguments], capture_output=True, text=True, check=False, env=variables)


@pytest.mark.parametrize("command", ["run", "backfill", "runs"])
def test_help_has_an_example(command):
    """Who forgets how a command is called asks it."""
    done = trifold(command, "--help")
    assert done.returncode == 0
    assert re.search(rf"Example: trifold {command} churn", done.stdout)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "churn", "weekly"),
        ("backfill", "churn", "weekly", "--from", "2026-01", "--to", "2026-02"),
        ("runs", "churn"),
    ],
    ids=lambda command: command[0],
)
def test_no_cluster_or_no_name_is_one_sentence(command, tmp_path):
    """As every other refusal."""
    for words, more in (
        ("No cluster is configured", command),
        ("is no name for a release", (command[0], "A_b", *command[2:])),
    ):
        done = trifold(*more, KUBECONFIG=str(tmp_path / "none"))
        assert done.returncode == 1
        assert re.search(f"^trifold: .*{words}", done.stderr), done.stderr
        assert "Traceback" not in done.stderr
