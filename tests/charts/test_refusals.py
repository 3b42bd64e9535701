"""charts/model-serving: what it refuses, before anything is sent to the cluster."""

import re

import pytest

from tests.charts import render

CHART = "model-serving"
LOCK = "minimal-values.yaml"
JOB = {"schedule": "@daily", "source": {"query": "SELECT 1"}}
LAKE = {"schedule": "@daily", "source": {"files": "s3://lake/*.csv"}, "sink": {"files": "s3://lake/out"}}


def batch(job=JOB, *, name="weekly", **values):
    """Values of a release with a job."""
    return {"batch": {"enabled": True, "jobs": {name: job}, "database": {"existingSecret": "database"}, **values}}


def stream(**values):
    """Values of a release with a stream."""
    return {"stream": {"enabled": True, "topic": "rides", "database": {"existingSecret": "database"}, **values}}


RULES = {
    "another interface": (
        {"interface": 2},
        "This chart speaks interface 1 and the lock file 2: build the model again with this Trifold, or take the chart "
        "that belongs to it.",
    ),
    "no image": (
        {"image": {"repository": ""}},
        "image.repository not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "no digest": (
        {"model": {"digest": ""}},
        "model.digest not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "no name and no version": (
        {"model": {"name": "", "version": ""}},
        "model.name, model.version not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "no tag and no digest": (
        {"image": {"tag": ""}},
        "image.tag not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "latest": (
        {"image": {"tag": "latest"}},
        "image.tag is latest, which is another image every day: set the tag of the lock file, or image.digest.",
    ),
    "fewest pods above most": (
        {"online": {"autoscaling": {"minReplicas": 5}}},
        "online.autoscaling.minReplicas is 5 and maxReplicas 4: set maxReplicas to no less.",
    ),
    "Ingress without host": (
        {"online": {"ingress": {"enabled": True}}},
        "The Ingress has no host, and a release answers at the root of one: set online.ingress.host.",
    ),
    "HTTPRoute without Gateway": (
        {"online": {"httpRoute": {"enabled": True}}},
        "No Gateway takes the HTTPRoute: set online.httpRoute.parentRefs, "
        "such as [{name: public, namespace: gateways}].",
    ),
    "a label of the chart's": (
        {"podLabels": {"app.kubernetes.io/component": "web"}},
        "podLabels sets app.kubernetes.io/component, and app.kubernetes.io/… is the chart's: take another prefix.",
    ),
    "an annotation of the chart's": (
        {"podAnnotations": {"trifold.dev/digest": ""}},
        "podAnnotations sets trifold.dev/digest, and trifold.dev/… is the chart's: take another prefix.",
    ),
    "a label of ours": (
        {"podLabels": {"trifold.dev/job": "weekly"}},
        "podLabels sets trifold.dev/job, and trifold.dev/… is the chart's: take another prefix.",
    ),
    "batch without a job": (
        {"batch": {"enabled": True}},
        "batch.enabled is true and there is no job: set batch.jobs, such as "
        "{weekly: {schedule: '0 6 * * 1', source: {query: …}}}.",
    ),
    "a job's name": (
        batch(name="Weekly"),
        "No CronJob can be named after batch.jobs.Weekly: take at most 32 of a-z, 0-9 and -, without - at an end.",
    ),
    "a long name of a job": (
        batch(name="w" * 33),
        f"No CronJob can be named after batch.jobs.{'w' * 33}: take at most 32 of a-z, 0-9 and -, without - at an end.",
    ),
    "a job without a schedule": (
        batch({**JOB, "schedule": ""}),
        "batch.jobs.weekly never runs: set its schedule, such as '0 6 * * 1'; to hold it, set suspend as well.",
    ),
    "two sources": (
        batch({**LAKE, "source": {"query": "SELECT 1", "files": "s3://lake/*.csv"}}),
        "batch.jobs.weekly has two sources: leave out source.query or source.files, or empty that of batch.defaults.",
    ),
    "a source of the defaults beside a job's own": (
        batch(JOB, defaults={"source": {"files": "s3://lake/*.csv"}}),
        "batch.jobs.weekly has two sources: leave out source.query or source.files, or empty that of batch.defaults.",
    ),
    "no source": (
        batch({"schedule": "@daily"}),
        "batch.jobs.weekly has no rows to score: set source.query or source.files.",
    ),
    "an encoding of Parquet": (
        batch({**LAKE, "source": {"files": "s3://lake/*.parquet", "encoding": "windows-1252"}}),
        "batch.jobs.weekly.source.encoding is windows-1252, which only CSV files have: "
        "leave it out, or set source.files to such.",
    ),
    "rows of the pod's own disk": (
        batch({**LAKE, "source": {"files": "file:///data/*.csv"}}),
        "batch.jobs.weekly.source.files is file:///data/*.csv, and a pod keeps no files of its own: "
        "set it to s3://bucket/path.",
    ),
    "predictions on the pod's own disk": (
        batch({**LAKE, "sink": {"files": "/data/out"}}),
        "batch.jobs.weekly.sink.files is /data/out, and a pod keeps no files of its own: set it to s3://bucket/path.",
    ),
    "a history on the pod's own disk": (
        batch({**LAKE, "report": {"history": "file:///history.csv"}}),
        "batch.jobs.weekly.report.history is file:///history.csv, and a pod keeps no files of its own: "
        "set it to s3://bucket/path.",
    ),
    "keys in a path": (
        batch({**LAKE, "sink": {"files": "s3://key:secret@lake/out"}}),
        "batch.jobs.weekly.sink.files is s3://key:secret@lake/out, and a pod keeps no files of its own: "
        "set it to s3://bucket/path.",
    ),
    **{
        f"{what} without a database": (
            batch(job, database={}),
            "batch.jobs.weekly reads from PostgreSQL or writes there: set batch.database.existingSecret, "
            "or s3://… as its source, sink and history.",
        )
        for what, job in {
            "a query": {**LAKE, "source": {"query": "SELECT 1"}},
            "predictions": {**LAKE, "sink": {}},
            "a history": {**LAKE, "report": {"history": "SELECT 1"}},
        }.items()
    },
    "an owner alone": (
        batch(LAKE, database={"ownerSecret": "owner"}),
        "batch.database.ownerSecret makes tables that no role may use: set batch.database.existingSecret, "
        "or leave both out.",
    ),
    "MLflow's password": (
        batch(report={"trackingUri": "https://me:hunter2@mlflow.example.com"}),
        "batch.report.trackingUri holds a password, which everybody who reads the release would see: "
        "put it into the Secret beside it.",
    ),
    "the store's password": (
        batch(s3={"endpointUrl": "https://me:hunter2@s3.example.com"}),
        "batch.s3.endpointUrl holds a password, which everybody who reads the release would see: "
        "put it into the Secret beside it.",
    ),
    "a stream without a topic": (
        stream(topic=""),
        "stream.enabled is true and there is nothing to consume: set stream.topic.",
    ),
    "predictions among the events": (
        stream(sink="kafka", output="rides"),
        "stream.output is the topic that is read, so that predictions would be taken for events: set another.",
    ),
    "a topic for the database": (
        stream(output="fares"),
        "stream.output is fares, and predictions go to PostgreSQL: leave it out, or set stream.sink to kafka.",
    ),
    "a stream without a database": (
        stream(database={}),
        "Predictions go to PostgreSQL, and no role may write there: set stream.database.existingSecret, "
        "or stream.sink to kafka.",
    ),
    **{
        f"Kafka's {name}": (
            stream(kafka={"properties": {name: "hunter2"}}),
            f"stream.kafka.properties holds {name}, which everybody who reads the release would see: "
            "put it into stream.kafka.existingSecret.",
        )
        for name in ("sasl.password", "ssl.key.pem", "sasl.oauthbearer.client.secret")
    },
    "what exactness rests on": (
        stream(kafka={"properties": {"isolation.level": "read_uncommitted"}}),
        "stream.kafka.properties sets isolation.level, on which it rests that each event is scored once: leave it out.",
    ),
    "two autoscalers": (
        stream(autoscaling={"enabled": True}, keda={"enabled": True}),
        "stream.autoscaling and stream.keda would both choose the number of pods: turn one of them off.",
    ),
    "fewest consumers above most": (
        stream(keda={"enabled": True, "minReplicas": 5}),
        "stream.keda.minReplicas is 5 and maxReplicas 3: set maxReplicas to no less.",
    ),
    "more than a program is given": (
        batch(jobs={f"job-{number}": {**JOB, "source": {"query": "x" * 20_000}} for number in range(7)}),
        "batch.jobs are too long for a variable of the environment, which Linux ends at 131072 bytes: "
        "put long queries into views of the database.",
    ),
}
REFUSED_NAME = (
    "The gateway lets no release through that is named {}: take at most 40 of a-z, 0-9 and -, without - at an end."
)
SCHEMA = {
    "a version that is a number": {"model": {"version": 3}},
    "a digest that is none": {"model": {"digest": "abc"}},
    "a tag in the repository": {"image": {"repository": "trifold/churn:v3"}},
    "no budget at all": {"online": {"podDisruptionBudget": {"maxUnavailable": 0}}},
    "pods without limits": {"online": {"resources": {"limits": None}}},
    "a peer that is everybody": {"online": {"networkPolicy": {"gateway": [{}]}}},
    **{
        f"a job's {what}": batch({**JOB, **values})
        for what, values in {
            "typing error": {"shard": 4},
            "typing error further down": {"source": {"sql": "SELECT 1"}},
            "encoding that is none": {"source": {"files": "s3://lake/*.csv", "encoding": "rot13"}},
            "shards, none": {"shards": 0},
            "shards, too many": {"shards": 1001},
            "schedule with seconds": {"schedule": "0 0 6 * * 1"},
            "schedule by the controller's start": {"schedule": "@every 1h"},
            "zone with a space": {"timeZone": "Europe/ Berlin"},
            "rejects above all": {"maxRejectRate": 1.5},
            "deadline that Kubernetes overlooks": {"startingDeadlineSeconds": 9},
            "column twice": {"keep": ["segment", "segment"]},
        }.items()
    },
    "a sink that is none": stream(sink="redis"),
    "a topic that is none": stream(topic="rides/1"),
    "a topic of which no other can be named": stream(topic="t" * 197),
    "a property that is no text": stream(kafka={"properties": {"linger.ms": 5}}),
    "no broker": stream(kafka={"properties": {"bootstrap.servers": None}}),
    "a value that is no plain one": stream(where={"type": ["a"]}),
    "consumers without limits": stream(resources={"limits": None}),
    "a schema that is none": batch(database={"existingSecret": "database", "schema": "a-b"}),
    "a Secret's name": batch(database={"existingSecret": "Database"}),
    "batch pods without limits": batch(resources={"limits": None}),
    "an address that is none": batch(report={"trackingUri": "mlflow:5000"}),
    "a path that is none": {"online": {"httpRoute": {"path": "churn/"}}},
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_what_is_wrong_and_what_to_set(name):
    """Refused before anything is sent, in a sentence."""
    values, message = RULES[name]
    with pytest.raises(render.Refused) as refused:
        render.text(CHART, LOCK, values=values)
    assert message in str(refused.value)


@pytest.mark.parametrize("release", ["a" * 41, "churn.v2", "a.b"])
def test_a_name_that_the_gateway_lets_not_through_is_refused(release):
    """It would be installed and never be reached."""
    with pytest.raises(render.Refused, match=re.escape(REFUSED_NAME.format(release))):
        render.text(CHART, LOCK, release=release)


def test_every_rule_is_tested():
    """All that a chart refuses stands in one folder, and each of its messages above."""
    folder = render.CHARTS / CHART / "templates"
    calls = {path: re.findall(r'\bfail (?:\(printf )?"([^"]+)"', path.read_text()) for path in folder.rglob("*.*")}
    rules = [rule for path in (folder / "validate").iterdir() for rule in calls.pop(path)]
    assert not any(calls.values())
    said = [message for _, message in RULES.values()] + [REFUSED_NAME.format("a.b")]
    for rule in rules:
        pattern = re.sub(r"%[sd]", ".*", re.escape(rule))
        assert any(re.fullmatch(pattern, message) for message in said), rule


@pytest.mark.parametrize(
    "values",
    [
        batch(LAKE, database={}),
        batch({**LAKE, "report": {"history": "s3://lake/history.csv"}}, database={}),
        batch({**LAKE, "source": {"files": "s3://lake"}}, database={}),
        batch({**JOB, "report": {"history": "SELECT 's3://x'"}}),
        batch({"source": {"query": "SELECT 1", "files": ""}}, defaults=LAKE),
        {"batch": {"enabled": False, "jobs": {"weekly": {}}, "database": {"ownerSecret": "owner"}}},
    ],
)
def test_what_a_rule_could_mistake_is_taken(values):
    """Files need no database and no keys; a query may speak of an address; what is switched off is not looked at."""
    assert render.text(CHART, LOCK, values=values)


@pytest.mark.parametrize("name", SCHEMA)
def test_the_schema_refuses(name):
    """What would fail later, or worse not at all, is refused where it is written."""
    with pytest.raises(render.Refused, match="values don't meet the specifications of the schema"):
        render.text(CHART, LOCK, values=SCHEMA[name])


def test_without_a_lock_file_the_message_names_it():
    """`helm install churn charts/model-serving` is what people try first."""
    with pytest.raises(render.Refused, match="give the lock file that `trifold build` writes"):
        render.text(CHART, None)
