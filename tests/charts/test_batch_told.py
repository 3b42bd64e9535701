"""charts/model-serving, component batch: what its pods are told, and that the image reads it."""

import json

import pytest
import yaml

from tests.charts import leaves, render
from tests.charts.cronjobs import CHART, EVERYTHING, ONE, QUERY, batch, cron_jobs, environment, settings
from tests.charts.objects import job, of_kind, template, where
from trifold.batch.job import KEYS, MOST_SHARDS, Job
from trifold.contract.csv import ENCODINGS
from trifold.settings import THREAD_VARIABLES

EMPTY = {
    "suspend": False,
    "key": "",
    "keep": [],
    "maxRejectRate": 0,
    "catchUp": 0,
    "retries": 0,
    "sink": {"files": ""},
    "report": {"top": 0, "history": ""},
    "retentionDays": {"rejects": 0, "inputs": 0},
}
FULL = {
    "suspend": True,
    "key": "id",
    "keep": ["segment"],
    "maxRejectRate": 0.5,
    "catchUp": 9,
    "retries": 9,
    "sink": {"files": "s3://lake/predictions"},
    "report": {"top": 9, "history": "s3://lake/history.csv"},
    "retentionDays": {"rejects": 9, "inputs": 9, "predictions": 9},
}


@pytest.mark.parametrize("file", [ONE, EVERYTHING])
def test_a_job_is_told_what_its_values_say(file):
    """TRIFOLD_JOB has exactly the agreed keys, whatever a query holds, and the image reads it."""
    values = yaml.safe_load((render.CHARTS / CHART / "ci" / file).read_text())
    found = cron_jobs(file)
    assert found.keys() == values["batch"]["jobs"].keys()
    for name, item in found.items():
        told = environment(item)["TRIFOLD_JOB"]
        wanted = {"name": name, **settings(values, name)}
        assert json.loads(told) == {key: wanted[key] for key in KEYS}
        assert Job.from_text(told).name == name


def test_the_chart_takes_the_encodings_that_the_image_reads():
    """Not one more, which a run would refuse at night, and not one less."""
    schema = json.loads((render.CHARTS / CHART / "values.schema.json").read_text())
    assert json.dumps(["", *ENCODINGS]) in json.dumps(schema)


def test_a_job_reads_the_same_in_the_cluster_and_in_its_pod():
    """Whoever asks the API for a CronJob sees the text before Kubernetes expands it: no $ stands in it."""
    for item in cron_jobs(EVERYTHING).values():
        raw = {entry["name"]: entry.get("value") for entry in template(item)["spec"]["containers"][0]["env"]}
        assert raw["TRIFOLD_JOB"] == environment(item)["TRIFOLD_JOB"]
        assert "$" not in raw["TRIFOLD_JOB"]
    told = environment(cron_jobs(EVERYTHING)["hourly"])
    assert (
        '$$it\'s "new" & <old>$$ AS note -- $(TRIFOLD_DIGEST)\n' in json.loads(told["TRIFOLD_JOB"])["source"]["query"]
    )
    assert told["MLFLOW_EXPERIMENT_NAME"] == 'Berichte: "$(HOME)", $$'


@pytest.mark.parametrize(("own", "defaults"), [(EMPTY, FULL), (FULL, EMPTY), ({}, FULL)])
def test_a_jobs_own_values_stand_above_the_defaults(own, defaults):
    """Empty ones too: a job that keeps no column, or allows no reject, says so."""
    values = {"batch": {"defaults": {"schedule": "@daily", "source": QUERY, **defaults}, "jobs": {"one": own}}}
    found = batch(**values["batch"])["one"]
    wanted = {"name": "one", **settings(values, "one")}
    told = json.loads(environment(found)["TRIFOLD_JOB"])
    assert told == {key: wanted[key] for key in KEYS}
    assert (found["spec"]["suspend"], job(found)["backoffLimitPerIndex"]) == (wanted["suspend"], wanted["retries"])


def test_numbers_stay_whole_numbers():
    """A large one would be written 1e+06, which is no integer to the API server, nor to the image."""
    long = {"deadlineSeconds": 31_536_000, "startingDeadlineSeconds": 1_000_000, "schedule": "@daily", "source": QUERY}
    found = batch(jobs={"one": {**long, "shards": 1000, "retentionDays": {"predictions": 36_500}}})["one"]
    assert (job(found)["activeDeadlineSeconds"], found["spec"]["startingDeadlineSeconds"]) == (31_536_000, 1_000_000)
    told = environment(found)["TRIFOLD_JOB"]
    assert '"shards":1000' in told
    assert '"predictions":36500' in told


def test_as_many_shards_as_the_image_takes():
    """The schema lets through what it reads, and no more."""
    assert leaves.schema(CHART, "batch.defaults.shards")["maximum"] == MOST_SHARDS


def test_every_pod_has_the_models_digest_one_thread_and_room():
    """As online: the same model, the same bits; and /tmp for a report or a file under way."""
    found = [item for item in render.objects(CHART, EVERYTHING) if template(item)]
    assert len(found) == 5
    for item in found:
        told = environment(item)
        assert {name: told[name] for name in THREAD_VARIABLES} == dict.fromkeys(THREAD_VARIABLES, "1")
        assert told["TRIFOLD_DIGEST"] == "1a2b3c4d" * 8
        assert template(item)["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}]


def test_a_pod_knows_its_release_its_job_and_its_database():
    """The slot is the end of its Job's name; what `--replace` asked for is known by the Job's own number."""
    told = environment(cron_jobs(ONE)["weekly"])
    assert {name: told[name] for name in told if name.startswith("TRIFOLD_") and name != "TRIFOLD_JOB"} == {
        "TRIFOLD_DIGEST": "1a2b3c4d" * 8,
        "TRIFOLD_RELEASE": "churn",
        "TRIFOLD_NAMESPACE": "models",
        "TRIFOLD_DATABASE_SCHEMA": "churn",
        "TRIFOLD_DATABASE_URI": ("churn-database", "uri"),
        "TRIFOLD_JOB_NAME": ("field", "metadata.labels['batch.kubernetes.io/job-name']"),
        "TRIFOLD_JOB_UID": ("field", "metadata.labels['batch.kubernetes.io/controller-uid']"),
    }
    assert (told["MLFLOW_TRACKING_URI"], told["MLFLOW_EXPERIMENT_NAME"]) == ("", "churn")
    assert not [name for name in told if name.startswith("AWS_")]


def test_a_schema_has_a_name_that_sql_likes():
    """A release's - would have to be quoted wherever people ask for predictions."""
    [item] = of_kind(render.objects(CHART, ONE, release="churn-eu"), "CronJob")
    assert environment(item)["TRIFOLD_DATABASE_SCHEMA"] == "churn_eu"


def test_secrets_come_by_name():
    """Each from where the values say; what may lack is only what MLflow is asked with."""
    [container] = template(cron_jobs(EVERYTHING)["weekly"])["spec"]["containers"]
    secrets = {
        entry["name"]: (*(entry["valueFrom"]["secretKeyRef"][key] for key in ("name", "key", "optional")),)
        for entry in container["env"]
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    asked = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    assert secrets == {
        "TRIFOLD_DATABASE_URI": ("churn-database", "uri", False),
        **{name: ("lake", name, False) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        **{name: ("mlflow-user", name, True) for name in asked},
    }
    told = environment(cron_jobs(EVERYTHING)["weekly"])
    assert (told["AWS_ENDPOINT_URL"], told["AWS_REGION"]) == ("https://s3.example.com:9000", "eu-central-1")


def test_files_need_no_secret():
    """A bucket may be open to the node, or to everybody."""
    files = {"schedule": "@daily", "source": {"files": "s3://lake/*.csv"}, "sink": {"files": "s3://lake/out"}}
    told = environment(batch(database={"existingSecret": ""}, jobs={"one": files})["one"])
    assert not [name for name, value in told.items() if isinstance(value, tuple) and value[0] != "field"]


def test_only_the_migration_is_the_owner():
    """What scores may not change its tables; and the hook needs no more than the two roles."""
    objects = render.objects(CHART, EVERYTHING)
    having = [where(item) for item in objects if template(item) and "TRIFOLD_OWNER_URI" in environment(item)]
    assert having == ["Job churn-migrate"]
    [migrate] = of_kind(objects, "Job")
    told = environment(migrate)
    assert {name: value for name, value in told.items() if isinstance(value, tuple)} == {
        "TRIFOLD_OWNER_URI": ("churn-owner", "uri"),
        "TRIFOLD_DATABASE_URI": ("churn-database", "uri"),
    }
    assert template(migrate)["spec"]["containers"][0]["command"] == ["python", "-m", "trifold.batch", "migrate"]
    assert migrate["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    assert migrate["spec"]["backoffLimit"] == 6


def test_hooks_know_all_jobs():
    """The migration and `helm test` are the release's, not a job's."""
    told = [json.loads(environment(item)["TRIFOLD_JOB"]) for item in cron_jobs(EVERYTHING).values()]
    objects = render.objects(CHART, EVERYTHING)
    for item in of_kind(objects, "Job", "Pod"):
        assert json.loads(environment(item)["TRIFOLD_JOBS"]) == sorted(told, key=lambda one: one["name"])
        assert not {"TRIFOLD_JOB", "TRIFOLD_JOB_NAME"} & environment(item).keys()


def test_helm_test_scores_with_a_jobs_own_means():
    """The same image, environment, memory and policy: what it lacks, a slot would lack."""
    objects = render.objects(CHART, EVERYTHING)
    [pod], weekly = of_kind(objects, "Pod"), of_kind(objects, "CronJob")[1]
    own, there = pod["spec"]["containers"][0], template(weekly)["spec"]["containers"][0]
    assert own["command"] == ["python", "-m", "trifold.batch", "verify"]
    assert (own["image"], own["resources"]) == (there["image"], there["resources"])
    asked, told = environment(pod), environment(weekly)
    assert told.keys() - asked.keys() == {"TRIFOLD_JOB", "TRIFOLD_JOB_NAME", "TRIFOLD_JOB_UID"}
    assert {name: asked[name] for name in asked.keys() & told.keys()} == {
        name: told[name] for name in asked.keys() & told.keys()
    }
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"


@pytest.mark.parametrize(
    "name", ["a: b", '"', "{{ .Values }}", "Zürich\n\t☃", "\\$$(X)", "x" * 250, "\x00\x7f\x85\u2028\ufeff"]
)
def test_texts_of_any_kind_arrive(name):
    """Columns, queries and experiments are anybody's text, and none of it becomes YAML, JSON or a template."""
    own = {"schedule": "@daily", "key": name, "keep": [name], "source": {"query": name}}
    [item] = batch(jobs={"one": own}, report={"experiment": name}).values()
    told = environment(item)
    assert told["MLFLOW_EXPERIMENT_NAME"] == name
    found = json.loads(told["TRIFOLD_JOB"])
    assert (found["key"], found["keep"], found["source"]["query"]) == (name, [name], name)
