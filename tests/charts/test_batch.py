"""charts/model-serving, component batch: what its CronJobs are, and that nothing else changes."""

import re

import pytest
import yaml

from tests.charts import checks, jobs, render
from tests.charts.cronjobs import CHART, DATABASE, EVERYTHING, LOCK, ONE, QUERY, cron_jobs, settings
from tests.charts.objects import job, of_kind, pods, selects, template, where
from trifold import exits

NAME_LENGTH = 32


@pytest.mark.parametrize("file", [ONE, EVERYTHING])
def test_a_cron_job_is_what_its_values_say(file):
    """When it runs, in how many pods, how long, how often a shard is tried, and how long its Jobs stay."""
    values = yaml.safe_load((render.CHARTS / CHART / "ci" / file).read_text())
    history = {"succeeded": 3, "failed": 3, "keepSeconds": 604_800, **values["batch"].get("history", {})}
    for name, item in cron_jobs(file).items():
        wanted, spec, made = settings(values, name), item["spec"], job(item)
        assert {key: spec[key] for key in ("schedule", "timeZone", "suspend", "startingDeadlineSeconds")} == {
            key: wanted[key] for key in ("schedule", "timeZone", "suspend", "startingDeadlineSeconds")
        }
        kept = (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"], made["ttlSecondsAfterFinished"])
        assert kept == tuple(history.values())
        assert made["completions"] == made["parallelism"] == wanted["shards"]
        assert (made["backoffLimitPerIndex"], made["activeDeadlineSeconds"]) == (
            wanted["retries"],
            wanted["deadlineSeconds"],
        )
        assert template(item)["spec"]["containers"][0]["command"] == ["python", "cronjobs/score.py"]


def test_what_is_tried_again_is_what_may_help():
    """The exit codes are the image's own: of refused input a retry changes nothing, and a lost node is not counted."""
    lost, given_up, shard = job(cron_jobs(ONE)["weekly"])["podFailurePolicy"]["rules"]
    assert lost == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert (given_up["action"], shard["action"]) == ("FailJob", "FailIndex")
    assert given_up["onExitCodes"]["values"] == [exits.USAGE, exits.DATA, exits.CANNOT_CREATE, exits.CONFIGURATION]
    assert shard["onExitCodes"]["values"] == [exits.FAILURE]
    [migrate] = of_kind(render.objects(CHART, EVERYTHING), "Job")
    assert migrate["spec"]["podFailurePolicy"]["rules"] == [lost, given_up]


@pytest.mark.parametrize("shards", [1, 10, 11, 100, 101, 1000])
def test_the_longest_names_fit_and_differ(shards):
    """Of CronJobs, and of what Kubernetes makes of them; however much of the names is the same."""
    names = [f"{'j' * (NAME_LENGTH - 1)}{end}" for end in "abc"] + ["j" * length for length in range(1, NAME_LENGTH)]
    each = {name: {"schedule": "@daily", "source": QUERY, "shards": shards} for name in names}
    values = {"batch": {"enabled": True, "database": DATABASE, "jobs": each}}
    objects = render.objects(CHART, LOCK, release=render.LONGEST, values=values)
    assert checks.complaints(objects) == []
    found = {item["metadata"]["labels"]["trifold.dev/job"]: item for item in of_kind(objects, "CronJob")}
    for end in range(2):
        assert len({jobs.made(item)[end] for item in found.values()}) == len(names)
    most = min(52, 54 - len(f"-{shards - 1}"))
    for name, item in found.items():
        whole, made = f"{render.LONGEST}-{name}", item["metadata"]["name"]
        assert made == whole if len(whole) <= most else re.fullmatch(rf".{{,{most - 9}}}-[0-9a-f]{{8}}", made)
        assert len(jobs.made(item)[1]) <= 63


def test_batch_touches_no_online_pod():
    """To add a job, or change it, restarts nothing that serves; nor does it change any other object of online."""
    objects = render.objects(CHART, LOCK)
    there = {where(item): item for item in render.objects(CHART, ONE)}
    more = {"jobs": {"daily": {"schedule": "@daily", "source": QUERY}}, "database": {"schema": "other"}}
    changed = {where(item): item for item in render.objects(CHART, ONE, values={"batch": more})}
    assert changed.keys() - there.keys() == {"CronJob churn-daily"}
    for item in objects:
        assert there[where(item)] == changed[where(item)] == item


def test_online_values_touch_no_job():
    """Nor the other way round."""
    values = {"online": {"replicas": 7, "drainSeconds": 77, "limits": {"maxRows": 7}, "enabled": False}}
    assert cron_jobs(ONE, **values) == cron_jobs(ONE)


def test_new_words_change_no_pod():
    """They stand on the CronJob, where the front page reads them, and not in its Jobs."""
    before, after = cron_jobs(ONE), cron_jobs(ONE, model={"title": "Who stays?", "description": "Another sentence."})
    assert after["weekly"]["metadata"]["annotations"]["trifold.dev/title"] == "Who stays?"
    assert after["weekly"]["spec"] == before["weekly"]["spec"]


def test_the_default_policy_lets_out_to_the_platform():
    """To the pods and ports of charts/platform's PostgreSQL and MLflow, and lets nobody in."""
    [policy] = [item for item in of_kind(render.objects(CHART, ONE), "NetworkPolicy") if where(item).endswith("-batch")]
    assert (policy["spec"]["policyTypes"], "ingress" in policy["spec"]) == (["Ingress", "Egress"], False)
    dns, *rules = policy["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    platform = list(pods(render.objects("platform", "default-values.yaml")))
    reached = []
    for rule in rules:
        [peer], [port] = rule["to"], rule["ports"]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "platform"}
        behind = [pod for pod in platform if selects(peer["podSelector"], pod.labels)]
        assert all(port["port"] in pod.ports for pod in behind)
        reached += [pod.where for pod in behind]
    assert reached == ["StatefulSet postgres", "Deployment mlflow"]


def test_pods_can_be_found_by_their_job():
    """`kubectl logs -l trifold.dev/job=weekly`; Jobs and CronJobs too."""
    item = cron_jobs(ONE)["weekly"]
    for labels in (item["metadata"], item["spec"]["jobTemplate"]["metadata"], template(item)["metadata"]):
        assert labels["labels"]["trifold.dev/job"] == "weekly"
        assert labels["labels"]["app.kubernetes.io/instance"] == "churn"


def test_notes_have_a_command_for_each_job():
    """To run it now, with Trifold and without; the minutes at the end of the name are the slot."""
    notes = render.notes(CHART, EVERYTHING, namespace="shop")
    assert "trifold runs churn --namespace shop" in notes
    for name, item in cron_jobs(EVERYTHING).items():
        made = item["metadata"]["name"]
        assert f"trifold run churn {name} --namespace shop" in notes
        assert f"--from=cronjob/{made} {made}-$(($(date +%s) / 60))" in notes
    assert "port-forward" not in notes
    assert "migrate --print" not in notes


def test_notes_say_who_makes_the_tables():
    """Without the owner's Secret somebody has to, before the first slot."""
    assert "trifold/churn:v3-1a2b3c4d-5e6f7a8b python -m trifold.batch migrate --print" in render.notes(
        CHART, ONE, namespace="shop"
    )
    files = {"source": {"query": "", "files": "s3://lake/*.csv"}, "sink": {"files": "s3://lake/out"}}
    nowhere = {"batch": {"jobs": {"weekly": files}, "database": {"existingSecret": ""}}}
    assert "migrate" not in render.notes(CHART, ONE, namespace="shop", values=nowhere)
