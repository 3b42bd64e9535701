"""Batch jobs on a cluster: the releases of `make up`, and one whose CronJob is disturbed each minute."""

import base64
import json
import os
import struct
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from tests.cluster import kube
from tests.cluster.ups import ROOT, up
from trifold.batch.slots import slot_of
from trifold.database import Database

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(2400)]
PROVE = bool(os.environ.get("TRIFOLD_PROVE"))
NAMESPACE = "models"
MINUTELY = "minutely"
MONDAY = "2026-11-23T05:00Z"
BIG = 1_000_000 if PROVE else 20_000


@pytest.fixture(scope="module")
def ready(cluster):
    """What `make up` leaves: platform, releases, tables."""
    up(cluster)
    return cluster


@pytest.fixture(scope="module")
def owner(ready):
    """The owner's address of the database `trifold`, from here."""
    secret = client.CoreV1Api().read_namespaced_secret("trifold-owner", "platform").data["uri"]
    user = base64.b64decode(secret).decode().partition("@")[0]
    return f"{user}@127.0.0.1:{os.environ.get('TRIFOLD_POSTGRES_PORT', '5432')}/trifold"


@pytest.fixture(scope="module")
def ask(owner):
    """Run a statement as the owner."""

    def rows(statement, *parameters):
        with Database(owner, autocommit=True) as database:
            return database.rows(statement, *parameters)

    return rows


@pytest.fixture(scope="module")
def command(ready, tmp_path_factory):
    """Run `trifold` as a user does; gives what it printed."""
    folder = tmp_path_factory.mktemp("shell")

    def run(*arguments, code=0):
        program = [str(Path(sys.executable).parent / "trifold"), *arguments]
        environment = {**os.environ, **ready.environment, "COLUMNS": "160"}
        done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def post(release, rows):
    """What the release answers to rows, through the gateway."""
    gateway = f"http://127.0.0.1:{os.environ.get('TRIFOLD_GATEWAY_PORT', '8080')}"
    body = json.dumps({"rows": rows}).encode()
    url = f"{gateway}/models/{release}/predict"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own cluster
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def bits(value):
    """A number as its bits; all else as it is."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def test_churn_is_the_same_by_http_and_by_cronjob(command, ask):
    """All 7,043 customers, once through a pod's socket and once through a Job's table: equal bit for bit."""
    said = command("run", "churn", "weekly", "--slot", MONDAY)
    assert "committed" in said
    table = ask("SELECT to_jsonb(c) FROM customers c ORDER BY customer_id")
    rows = [json.loads(row) for (row,) in table]
    answer = post("churn", [{name: value for name, value in row.items() if name != "customer_id"} for row in rows])
    found = ask(
        "SELECT key, prediction, probabilities, version FROM churn.predictions WHERE slot = $1 ORDER BY key",
        instant(MONDAY),
    )
    assert [key for key, *_ in found] == [row["customer_id"] for row in rows]
    assert {version for *_, version in found} == {answer["version"]}
    assert [prediction for _, prediction, *_ in found] == answer["predictions"]
    online = [[bits(value) for value in row.values()] for row in answer["probabilities"]]
    assert [[bits(value) for value in probabilities] for *_, probabilities, _ in found] == online
    print(f"\n{len(found):,} customers: equal bit for bit")


def test_sales_are_the_same_by_http_and_by_backfill(command, ask):
    """Three month ends of the past, each forecast from what was known then, equal to what it answers online."""
    said = command("backfill", "sales-forecast", "month-end", "--from", "2008-02", "--to", "2008-04")
    again = command("backfill", "sales-forecast", "month-end", "--from", "2008-02", "--to", "2008-04")
    assert "3 slots" in said
    assert "3 of them committed already" in again
    found = ask(
        "SELECT key, prediction, lower, upper FROM sales_forecast.predictions WHERE slot < '2009-01-01' ORDER BY key"
    )
    assert [key for key, *_ in found] == ["2008-02-01", "2008-03-01", "2008-04-01"]
    sys.path.insert(0, str(ROOT / "examples"))
    import tables

    frame = tables.data_of("sales-forecast").rows().set_index("month").loc[[key for key, *_ in found]]
    answer = post("sales-forecast", frame.to_dict("records"))
    assert [bits(prediction) for _, prediction, *_ in found] == [bits(value) for value in answer["predictions"]]
    assert all(lower < prediction < upper for _, prediction, lower, upper in found)


def test_the_report_is_kept_in_mlflow(command, open_page, complaints, axe, shot, tmp_path):
    """What a marketer opens: an artifact of the slot's MLflow run, self-contained, and looked at."""
    import mlflow

    command("run", "churn", "weekly", "--slot", MONDAY)
    address = f"http://127.0.0.1:{os.environ.get('TRIFOLD_MLFLOW_PORT', '5000')}"
    registry = mlflow.MlflowClient(address)  # the other tests of this process keep theirs
    experiment = registry.get_experiment_by_name("churn").experiment_id
    runs = registry.search_runs([experiment], filter_string="tags.`trifold.job` = 'weekly'")
    [run] = [run for run in runs if run.data.tags["trifold.slot"] == MONDAY]
    assert run.data.metrics["rows"] == 7043
    assert run.data.metrics["psi_max"] < 0.1
    file = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="report.html", dst_path=str(tmp_path), tracking_uri=address
    )
    page = open_page(Path(file).as_uri())
    assert "7,043" in page.inner_text("body")
    axe(page)
    shot(page, "report-churn")


def test_runs_and_status_say_what_there_is(command):
    """A table of slots, and the schedule beside the pods."""
    command("run", "churn", "weekly", "--slot", MONDAY)
    said = command("runs", "churn")
    assert "committed" in said
    assert "7,043" in said
    status = command("status")
    assert "0 6 * * 1" in status


@pytest.fixture(scope="module")
def minutely(ready, ask, command):
    """A release of the churn image whose job fires each minute, beside one of four shards; removed at the end."""
    remove_minutely(ready, ask)  # what a run that was ended has left: Helm may think that it is still at it
    subprocess.run([ROOT / "tools/release-database", MINUTELY], env={**os.environ, **ready.environment}, check=True)
    ask(
        "CREATE TABLE IF NOT EXISTS many_customers AS SELECT c.*, n FROM customers c "
        f"CROSS JOIN generate_series(1, {BIG // 7043 + 1}) AS n ORDER BY n, customer_id LIMIT {BIG}"
    )
    ask("UPDATE many_customers SET customer_id = customer_id || '-' || n WHERE customer_id NOT LIKE '%-%'")
    source = {"query": "SELECT * FROM customers LIMIT 500"}
    jobs = {
        "minute": {"schedule": "* * * * *", "source": source, "suspend": True, "catchUp": 3},
        "sharded": {
            "schedule": "@daily",
            "source": {"query": "SELECT * FROM many_customers"},
            "shards": 4,
            "suspend": True,
        },
    }
    values = {
        "online": {"enabled": False},
        "batch": {
            "enabled": True,
            "jobs": jobs,
            "database": {"existingSecret": f"{MINUTELY}-database", "ownerSecret": f"{MINUTELY}-owner"},
        },
    }
    lock = yaml.safe_load((ROOT / ".trifold/churn.lock.yaml").read_text())
    helm(
        ready,
        "upgrade",
        "--install",
        MINUTELY,
        str(ROOT / "charts/model-serving"),
        "--values",
        "-",
        "--wait",
        text=json.dumps(lock | values),
    )
    yield
    remove_minutely(ready, ask)
    for suffix in ("owner", "database"):
        client.CoreV1Api().delete_namespaced_secret(f"{MINUTELY}-{suffix}", NAMESPACE)


def remove_minutely(cluster, ask):
    """Take the release and its tables away, if they are there."""
    helm(cluster, "uninstall", MINUTELY, "--ignore-not-found", "--wait")
    ask(f"DROP SCHEMA IF EXISTS {MINUTELY}, {MINUTELY}__test CASCADE")


def helm(cluster, *arguments, text=None):
    """Run Helm in the releases' namespace."""
    argv = ["helm", *arguments, "--namespace", NAMESPACE]
    done = subprocess.run(
        argv, env={**os.environ, **cluster.environment}, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_four_shards_share_a_slot(minutely, command, ask):
    """Each customer in one of four pods, the run committed by the last of them."""
    began = time.monotonic()
    said = command("run", MINUTELY, "sharded", "--slot", "2026-11-23T00:00Z")
    print(f"\n{said}\n{BIG:,} customers in four shards: {time.monotonic() - began:.0f} s")
    assert "committed" in said
    [(rows, shards)] = ask(
        f"SELECT sum(s.rows)::bigint, count(*) FROM {MINUTELY}.batch_shards s JOIN {MINUTELY}.batch_runs r USING (run) "
        "WHERE job = 'sharded'"
    )
    assert (rows, shards) == (BIG, 4)
    assert ask(f"SELECT count(DISTINCT key) FROM {MINUTELY}.predictions WHERE job = 'sharded'") == [(BIG,)]


def test_helm_test_scores_a_tiny_slot(minutely, ready):
    """The way from a frozen input to a commit, in a schema of its own."""
    helm(ready, "test", MINUTELY, "--timeout", "120s")


def instant(text):
    """A slot as a datetime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def suspend(yes):
    """Hold the schedule, or let it go on."""
    client.BatchV1Api().patch_namespaced_cron_job(f"{MINUTELY}-minute", NAMESPACE, {"spec": {"suspend": yes}})


def minute_jobs():
    """The minute job's Jobs by slot."""
    found = client.BatchV1Api().list_namespaced_job(NAMESPACE, label_selector="trifold.dev/job=minute").items
    return {slot_of(job.metadata.name): job for job in found}


def delete_pods(count):
    """Delete the working pod of so many Jobs of the minute job, each once; gives their slots."""
    deleted, ends = set(), time.monotonic() + 60 * count + 120
    while len(deleted) < count:
        assert time.monotonic() < ends, deleted
        for pod in client.CoreV1Api().list_namespaced_pod(NAMESPACE, label_selector="trifold.dev/job=minute").items:
            slot = slot_of(pod.metadata.labels["batch.kubernetes.io/job-name"])
            if slot not in deleted and pod.status.phase == "Running" and not pod.metadata.deletion_timestamp:
                client.CoreV1Api().delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
                deleted.add(slot)
    return sorted(deleted)


def miss_a_minute():
    """Hold the schedule over one whole minute; gives the slot that is missed."""
    suspend(True)
    missed = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    ends = missed + timedelta(seconds=30)
    kube.wait("a minute is missed", lambda: (datetime.now(UTC) > ends, datetime.now(UTC)), seconds=120)
    suspend(False)
    return missed


def test_slots_whose_pod_is_deleted_and_a_missed_one_are_each_committed_once(minutely, ask):
    """`* * * * *`: pods are deleted while they work, one minute is held back, and every slot is there once."""
    ask(f"INSERT INTO {MINUTELY}.batch_jobs VALUES ('minute', now()) ON CONFLICT DO NOTHING")
    suspend(False)
    deleted = delete_pods(2)
    missed = miss_a_minute()
    deleted += delete_pods(1)
    first, last = deleted[0], deleted[-1]
    expected = [first + timedelta(minutes=number) for number in range(int((last - first).total_seconds()) // 60 + 1)]

    def committed():
        found = ask(
            f"SELECT slot, count(*) FROM {MINUTELY}.batch_runs WHERE job = 'minute' AND state = 'committed' "
            "GROUP BY 1 ORDER BY 1"
        )
        mine = [(slot, count) for slot, count in found if first <= slot <= last]
        return mine == [(slot, 1) for slot in expected], mine

    kube.wait("every slot is committed", committed, seconds=300)
    suspend(True)
    jobs = minute_jobs()
    for slot, job in jobs.items():
        assert instant(job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]) == slot
    assert missed in expected
    rows = ask(
        f"SELECT slot, count(*), count(DISTINCT key) FROM {MINUTELY}.predictions WHERE job = 'minute' "
        "GROUP BY 1 ORDER BY 1"
    )
    assert all(count == distinct == 500 for _, count, distinct in rows)
    print(f"\n{len(expected)} slots, pods of {len(deleted)} deleted, {missed:%H:%M} missed: each committed once")
