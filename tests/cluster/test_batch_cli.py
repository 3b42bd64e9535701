"""trifold run, backfill and runs on the real API: with a stand-in for the image, which keeps its runs in another pod.

The stand-in takes the scorer's command line and prints the same document of runs; how a slot ends is set for each.
"""

import json
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.stream import stream

from tests.cluster import kube, releases
from trifold.batch.slots import job_name

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
TRIFOLD = str(Path(sys.executable).parent / "trifold")
RELEASE = "shop"
URL = f"http://store:{kube.PORT}/"
STORE = f"""
import http.server, json
runs, ends = [], {{}}
class Store(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({{"runs": runs}} if self.path == "/" else ends.get(self.path, "0"))
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ends.update(said) if self.path == "/ends" else runs.insert(0, said)
        self.answer("")
    def log_message(self, *_):
        pass
    def answer(self, said):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())
http.server.ThreadingHTTPServer(("", {kube.PORT}), Store).serve_forever()
"""
SCORE = f"""
import json, os, sys, time, urllib.request
job, slot = json.loads(os.environ["TRIFOLD_JOB"])["name"], sys.argv[sys.argv.index("--slot") + 1]
ask = lambda path, said=None: json.load(urllib.request.urlopen("{URL}" + path, said and json.dumps(said).encode()))
print("scoring", *sys.argv[1:], flush=True)
while (end := ask(f"{{job}}/{{slot}}")) == "wait":
    time.sleep(0.2)
if end != "0":
    print("trifold: The table lacks column 'x7', which the model requires; add it to the query.", file=sys.stderr)
    sys.exit(int(end))
if os.environ.get("JOB_COMPLETION_INDEX", "0") == "0":
    counts = {{"rows": 1200, "rejects": 3, "seconds": 1.5, "shards": 1, "shards_done": 1}}
    told = {{"version": "7", "reason": None, "report": "runs:/1/report.html"}}
    ask("", {{"job": job, "slot": slot, "state": "committed", **counts, **told}})
"""
RUNS = f"""
import json, os, sys, urllib.request
assert sys.argv[1:2] == ["runs"] and int(sys.argv[3]) > 0, sys.argv
names = [job["name"] for job in json.loads(os.environ["TRIFOLD_JOBS"])]
print("a warning", file=sys.stderr, flush=True)
runs = json.load(urllib.request.urlopen("{URL}"))["runs"]
print(json.dumps({{"runs": [run for run in runs if run["job"] in names]}}))
"""
REFUSED = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64, 65, 73, 78]}}]


def cron_job(job, schedule, *, release=RELEASE, image=kube.PYTHON, shards=1, succeeded=1, suspend=True):
    """A CronJob as the chart makes one, but for its image."""
    names = {"name": "model-serving", "instance": release, "component": "batch"}
    labels = {"trifold.dev/job": job, **{f"app.kubernetes.io/{key}": name for key, name in names.items()}}
    template = kube.pod("batch", ["python", "/stand-in/score.py"], labels=labels)
    (container,) = template["spec"]["containers"]
    container["image"] = image
    container["volumeMounts"] = [{"name": "code", "mountPath": "/stand-in"}]
    variables = {"TRIFOLD_JOB": json.dumps({"name": job}), "PYTHONPATH": "/stand-in"}
    container["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    files = [{"key": "score", "path": "score.py"}, {"key": "runs", "path": "trifold/batch/__main__.py"}]
    template["spec"]["volumes"] = [{"name": "code", "configMap": {"name": "stand-in", "items": files}}]
    template["metadata"].pop("name")
    spec = {
        "completionMode": "Indexed", "completions": shards, "parallelism": shards, "backoffLimitPerIndex": 0,
        "podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": REFUSED}, "template": template,
    }  # fmt: skip
    return {
        "metadata": {
            "name": f"{release}-{job}",
            "labels": labels,
            "annotations": {"trifold.dev/model": "shop", "trifold.dev/model-version": "7"},
        },
        "spec": {
            "schedule": schedule, "timeZone": "Europe/Berlin", "suspend": suspend, "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": succeeded, "failedJobsHistoryLimit": 3, "jobTemplate": {"spec": spec},
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def shop(models):
    """A release with some jobs, and one whose image is nowhere."""
    code = {"score": SCORE, "runs": RUNS}
    client.CoreV1Api().create_namespaced_config_map(models, {"metadata": {"name": "stand-in"}, "data": code})
    kube.start(models, kube.pod("store", kube.python(STORE)))
    kube.service(models, "store")
    kube.serves(models, "store")
    assert kube.fetch(models, URL) == "200"
    for cron in (
        cron_job("monthly", "0 0 1 * *", suspend=False),
        cron_job("yearly", "0 6 1 1 *", shards=3, succeeded=3),
        cron_job("never", "0 6 1 1 *"),
        cron_job("yearly", "0 6 1 1 *", release="torn", image="trifold/nosuch:v1"),
    ):
        client.BatchV1Api().create_namespaced_cron_job(models, cron)
    return models


@pytest.fixture
def ends(shop):
    """Set how the run of a job's slot ends: an exit code, or `wait` until another is set."""

    def set_end(job, slot, end):
        said = json.dumps({f"/{job}/{slot}": str(end)})
        code = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{kube.PORT}/ends', {said.encode()!r})"
        asked = stream(
            client.CoreV1Api().connect_get_namespaced_pod_exec, "store", shop,
            command=kube.python(code), stdout=True, stderr=True, _preload_content=False,
        )  # fmt: skip
        asked.run_forever(timeout=30)
        assert asked.returncode == 0, asked.read_all()

    return set_end


@pytest.fixture(scope="module")
def trifold(cluster):
    """The real command line in the session's cluster; it needs no registry."""
    return releases.Trifold(cluster, "")


@pytest.fixture
def command(trifold, shop, tmp_path):
    """Run a command on the namespace; gives what it printed."""
    return lambda *arguments, code=0: trifold(*arguments, "-n", shop, folder=tmp_path, code=code)


def name_of(job, *when):
    """The name that Kubernetes would give to the Job of a slot."""
    return job_name(f"{RELEASE}-{job}", datetime(*when, tzinfo=UTC))


def interruptible():
    """A shell lets what it starts in the background ignore Ctrl-C, and so would the tests' own children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def jobs_in(namespace):
    """The Jobs by name."""
    return {job.metadata.name: job for job in client.BatchV1Api().list_namespaced_job(namespace).items}


def test_status_shows_each_job_of_a_release_without_a_server(command):
    """A release of batch jobs only was nowhere to be seen."""
    shown = command("status")
    assert re.search(r"^shop +batch +shop +7 +\? +monthly: 0 0 1 \* \* Europe/Berlin, ", shown, re.MULTILINE), shown
    assert re.search(r"^shop +batch .* yearly: .*, suspended$", shown, re.MULTILINE), shown


def test_what_is_not_there_is_said_with_what_is(command):
    """A typing error costs a second."""
    assert "has no job 'weekly'; it has monthly, never, yearly." in command("run", RELEASE, "weekly", code=1)
    assert "There is no release ship in " in command("run", "ship", "monthly", code=1)
    said = command("run", RELEASE, "monthly", "--slot", "2026-11-01T00:00Z", code=1)
    assert "nearest to it are 2026-10-31T23:00Z and 2026-11-30T23:00Z." in said


def test_a_slot_runs_in_shards_and_shows_its_line(command, shop):
    """Without --slot it is the last firing; a job that is suspended runs all the same."""
    shown = command("run", RELEASE, "yearly")
    year = datetime.now(UTC).year
    assert "yearly is suspended" in shown
    pattern = rf"^yearly +{year}-01-01 06:00 CET +committed +1,200 +3 +1\.5 s +7 +runs:/1/report\.html$"
    assert re.search(pattern, shown, re.MULTILINE), shown
    job = jobs_in(shop)[name_of("yearly", year, 1, 1, 5)]
    (owner,) = job.metadata.owner_references
    assert (owner.kind, owner.name, owner.controller) == ("CronJob", "shop-yearly", True)
    assert job.status.completed_indexes == "0-2"
    assert not [name for name in jobs_in(shop) if "-runs-" in name], "the Job that listed them was left"


def test_a_failure_is_told_with_its_code_its_words_and_what_to_do(command, shop, ends):
    """The last line is the scorer's own; the run shows as failed though no database knows it; again is anew."""
    slot, name = "2020-01-01T05:00Z", name_of("yearly", 2020, 1, 1, 5)
    ends("yearly", slot, 65)
    said = command("run", RELEASE, "yearly", "--slot", slot, code=1)
    assert re.search(r"yearly of shop, slot 2020-01-01 06:00 CET: failed, shard \d, exit code 65: the input is", said)
    assert "trifold: The table lacks column 'x7'" in said
    shown = command("runs", RELEASE, "--job", "yearly")
    assert re.search(r"^yearly +2020-01-01 06:00 CET +failed +- ", shown, re.MULTILINE), shown
    assert f"again: trifold run shop yearly --slot {slot} -n {shop}" in shown
    before = jobs_in(shop)[name].metadata.uid
    ends("yearly", slot, 0)
    assert "committed" in command("run", RELEASE, "yearly", "--slot", slot)
    assert jobs_in(shop)[name].metadata.uid != before


def test_ctrl_c_leaves_the_job_and_the_next_run_waits_for_it(command, trifold, shop, ends, tmp_path):
    """Who closes the laptop must not end a run of hours, nor start it twice."""
    slot, name = "2021-01-01T05:00Z", name_of("yearly", 2021, 1, 1, 5)
    ends("yearly", slot, "wait")
    words = [TRIFOLD, "run", RELEASE, "yearly", "--slot", slot, "-n", shop]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": trifold.environment}

    def running():
        pods = client.CoreV1Api().list_namespaced_pod(shop, label_selector=f"batch.kubernetes.io/job-name={name}").items
        phases = [pod.status.phase for pod in pods]
        return phases == ["Running"] * 3, phases

    with subprocess.Popen(words, cwd=tmp_path, **pipes, preexec_fn=interruptible) as first:
        kube.wait("three shards run", running)
        first.send_signal(signal.SIGINT)
        said, _ = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert "The Job runs on; trifold runs shop" in said
    uid = jobs_in(shop)[name].metadata.uid
    assert re.search(r"^yearly +2021-01-01 06:00 CET +running 0/3 ", command("runs", RELEASE), re.MULTILINE)
    assert "does not replace anything" in command("run", RELEASE, "yearly", "--slot", slot, "--replace", code=1)
    with subprocess.Popen(words, cwd=tmp_path, **pipes) as second:
        assert "active already" in next(line for line in second.stdout if "start" in line)
        ends("yearly", slot, 0)
        said, _ = second.communicate(timeout=90)
    assert second.returncode == 0, said
    assert "committed" in said
    assert jobs_in(shop)[name].metadata.uid == uid


def test_a_job_that_cannot_start_is_said_at_once_and_removed(command, shop):
    """Its deadline is hours away; and left there, it would be found active after the image was mended."""
    start = time.monotonic()
    said = command("run", "torn", "yearly", code=1)
    assert "its pods do not start; the Job was removed." in said
    assert "ErrImageNeverPull" in said
    assert time.monotonic() - start < 60
    kube.wait("the Job is gone", lambda: (not [name for name in jobs_in(shop) if "torn" in name], jobs_in(shop)))
    said = command("runs", "torn", code=1)
    assert "The Job that reads the runs of torn: its pods do not start; the Job was removed." in said


def test_a_backfill_does_what_is_missing_once_and_stops_at_a_failure(command, shop, ends):
    """Also where the history limit removes a Job as soon as it has ended; the label tells which backfill it was."""
    assert "2007-03-01 00:00 CET  committed" in command("run", RELEASE, "monthly", "--slot", "2007-02-28T23:00Z")
    ends("monthly", "2007-03-31T22:00Z", 75)
    span = ("--from", "2007-02", "--to", "2007-05-01")
    said = command("backfill", RELEASE, "monthly", *span, "--parallel", "2", code=1)
    assert "slot 2007-04-01 00:00 CEST: failed, exit code 75: the database or the storage was away" in said
    ends("monthly", "2007-03-31T22:00Z", 0)
    shown = command("backfill", RELEASE, "monthly", *span, "--parallel", "2")
    done = int(re.search(r"4 slots, (\d) of them committed already", shown)[1])
    assert f"{4 - done} done, 0 failed" in shown
    assert done in (2, 3)
    labels = [job.metadata.labels.get("trifold.dev/backfill") for job in jobs_in(shop).values()]
    assert "20070131T2300Z-20070501T2159Z" in labels
    before = {job.metadata.uid for job in jobs_in(shop).values()}
    assert "4 slots, 4 of them committed already" in command("backfill", RELEASE, "monthly", *span)
    assert {job.metadata.uid for job in jobs_in(shop).values()} <= before
    shown = command("runs", RELEASE, "--job", "monthly", "--limit", "3")
    assert re.findall(r"^monthly +(\S+) ", shown, re.MULTILINE) == ["2007-05-01", "2007-04-01", "2007-03-01"]


def test_a_release_without_runs_says_what_to_do(command, shop):
    """An empty table would be a riddle."""
    shown = command("runs", RELEASE, "--job", "never")
    assert shown == f"shop has no runs of never yet; make one: trifold run shop never -n {shop}\n"


def test_the_schedule_goes_on_beside_a_run_by_hand(command, shop, ends):
    """Kubernetes' Forbid counts what the schedule started: --help of backfill says so."""
    batch = client.BatchV1Api()
    slot = "2026-01-01T00:00Z"
    ends("minutely", slot, "wait")
    batch.create_namespaced_cron_job(shop, cron_job("minutely", "* * * * *", suspend=False))
    try:
        command("run", RELEASE, "minutely", "--slot", slot, "--no-wait")
        name = name_of("minutely", 2026, 1, 1)
        ours = jobs_in(shop)[name].metadata

        def started():
            found = [job.metadata for job in jobs_in(shop).values() if "minutely" in job.metadata.name]
            return any(one.creation_timestamp > ours.creation_timestamp for one in found), [one.name for one in found]

        kube.wait("the schedule started a Job after ours", started, seconds=120)
        assert jobs_in(shop)[name].status.active == 1
    finally:
        batch.delete_namespaced_cron_job("shop-minutely", shop, propagation_policy="Foreground")
