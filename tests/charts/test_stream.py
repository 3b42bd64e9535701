"""charts/model-serving, component stream: what its consumers are, and that the image reads what they are told."""

import json

import pytest
import yaml

from tests.charts import leaves, render
from tests.charts.cronjobs import CHART, LOCK, environment
from tests.charts.objects import of_kind, pods, selects, template, where
from trifold.stream import client
from trifold.stream.stream import KEYS, NAME, Stream

ONE, EVERYTHING, SCALED = "stream-values.yaml", "stream-everything-values.yaml", "stream-scaled-values.yaml"


def consumer(file, **values):
    """The consumers' Deployment."""
    [found] = [item for item in of_kind(render.objects(CHART, file, values=values), "Deployment")
               if item["metadata"]["name"].endswith("-stream")]  # fmt: skip
    return found


def settings(file):
    """The stream's settings as the documentation has it: the file's over the chart's."""
    found = dict(yaml.safe_load((render.CHARTS / CHART / "values.yaml").read_text())["stream"])
    for key, value in yaml.safe_load((render.CHARTS / CHART / "ci" / file).read_text())["stream"].items():
        found[key] = {**found[key], **value} if isinstance(value, dict) else value
    return found


@pytest.mark.parametrize("file", [ONE, EVERYTHING, SCALED])
def test_a_consumer_is_told_what_its_values_say(file):
    """TRIFOLD_STREAM has exactly the agreed keys, and the image reads it, whatever stands in them."""
    told, wanted = environment(consumer(file)), settings(file)
    assert json.loads(told["TRIFOLD_STREAM"]) == {key: wanted[key] for key in KEYS}
    stream = Stream.from_environment(told)
    assert (stream.group, stream.topic) == ("trifold.models.churn", wanted["topic"])
    assert client.properties({"TRIFOLD_KAFKA": told["TRIFOLD_KAFKA"]}) == wanted["kafka"]["properties"]


def test_a_dollar_arrives():
    """Kubernetes would expand it; whoever asks the API for the Deployment sees the text before."""
    [container] = template(consumer(EVERYTHING))["spec"]["containers"]
    raw = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert "$" not in raw["TRIFOLD_STREAM"]
    assert json.loads(raw["TRIFOLD_STREAM"])["where"]["type"] == 'say "$(HOME)" $$'


def test_the_longest_names_are_topics():
    """What is made of the longest topic and the longest release is still a name to Kafka."""
    longest = "t" * 196
    values = {"topic": longest, "sink": "kafka"}
    stream = Stream.from_environment(environment(consumer(SCALED, stream=values)))
    for made in (f"{longest}.predictions.{render.LONGEST}", f"{longest}.redrive.{render.LONGEST}", stream.output):
        assert NAME.fullmatch(made)


def test_secrets_come_by_name_and_as_files():
    """The database's as a variable; Kafka's as a folder, since certificates are files."""
    told = environment(consumer(ONE))
    assert told["TRIFOLD_DATABASE_URI"] == ("churn-database", "uri")
    assert told["TRIFOLD_DATABASE_SCHEMA"] == "churn"
    assert "TRIFOLD_KAFKA_SECRET" not in told
    spec = template(consumer(EVERYTHING))["spec"]
    told = environment(consumer(EVERYTHING))
    assert not {"TRIFOLD_DATABASE_URI", "TRIFOLD_DATABASE_SCHEMA"} & told.keys()
    [mount] = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "kafka"]
    assert (mount["mountPath"], mount["readOnly"]) == (told["TRIFOLD_KAFKA_SECRET"], True)
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == "kafka"]
    assert volume["secret"]["secretName"] == "kafka-user"


def test_each_pod_has_a_name_of_its_own():
    """Kafka knows a transaction's producer by it; two pods of one name would fence each other."""
    assert environment(consumer(ONE))["TRIFOLD_POD"] == ("field", "metadata.name")


@pytest.mark.parametrize(("file", "fixed"), [(ONE, True), (EVERYTHING, False), (SCALED, False)])
def test_one_decides_on_the_number_of_pods(file, fixed):
    """The values, or an autoscaler."""
    assert ("replicas" in consumer(file)["spec"]) == fixed


def test_keda_looks_at_the_releases_own_group():
    """The group's lag at the broker that the consumers use."""
    [item] = of_kind(render.objects(CHART, EVERYTHING), "ScaledObject")
    [trigger] = item["spec"]["triggers"]
    stream = Stream.from_environment(environment(consumer(EVERYTHING)))
    assert trigger["metadata"] == {
        "bootstrapServers": "kafka-0.example.com:9093,kafka-1.example.com:9093",
        "consumerGroup": stream.group,
        "topic": stream.topic,
        "lagThreshold": "1000000",
        "offsetResetPolicy": "latest",
    }
    assert trigger["authenticationRef"] == {"name": "kafka-user"}
    assert item["spec"]["scaleTargetRef"]["name"] == consumer(EVERYTHING)["metadata"]["name"]


def test_tables_are_there_before_a_consumer_is():
    """`helm install --wait` waits for consumers, and consumers for their tables; only the hook is their owner."""
    objects = render.objects(CHART, ONE)
    hooks = {where(item): item["metadata"]["annotations"] for item in objects if "migrate-stream" in where(item)}
    assert {each["helm.sh/hook"] for each in hooks.values()} == {"pre-install,pre-upgrade"}
    weights = {kind.split()[0]: int(each.get("helm.sh/hook-weight", 0)) for kind, each in hooks.items()}
    assert weights["ServiceAccount"] < weights["Job"]
    assert weights["NetworkPolicy"] < weights["Job"]
    having = [where(item) for item in objects if template(item) and "TRIFOLD_OWNER_URI" in environment(item)]
    assert having == ["Job churn-migrate-stream"]


def test_the_default_policy_lets_out_to_the_platform():
    """To the pods and ports of charts/platform's PostgreSQL and Kafka; helm test too, and the hook."""
    platform = list(pods(render.objects("platform", "default-values.yaml")))
    policies = [item for item in of_kind(render.objects(CHART, ONE), "NetworkPolicy") if "-stream" in where(item)]
    assert len(policies) == 3
    for policy in policies:
        _, *rules = policy["spec"]["egress"]
        reached = []
        for rule in rules:
            [peer], [port] = rule["to"], rule["ports"]
            behind = [pod for pod in platform if selects(peer["podSelector"], pod.labels)]
            assert all(port["port"] in pod.ports for pod in behind)
            reached += [pod.where for pod in behind]
        assert reached == ["StatefulSet postgres", "StatefulSet kafka"]


def test_helm_test_has_a_consumers_own_means():
    """The same image, environment and memory: what it lacks, a consumer would lack."""
    for file in (ONE, EVERYTHING):
        [pod] = [item for item in of_kind(render.objects(CHART, file), "Pod") if "stream" in where(item)]
        [own], [there] = pod["spec"]["containers"], template(consumer(file))["spec"]["containers"]
        assert own["command"] == ["python", "-m", "trifold.stream", "verify"]
        assert environment(pod) == environment(consumer(file))
        assert (own["image"], own["resources"]) == (there["image"], there["resources"])


def test_streams_touch_no_online_pod():
    """To add a stream, or to change it, restarts nothing that serves; nor the other way round."""
    objects = render.objects(CHART, LOCK)
    there = {where(item): item for item in render.objects(CHART, ONE)}
    assert all(there[where(item)] == item for item in objects)
    assert consumer(ONE, online={"replicas": 7, "drainSeconds": 77}) == consumer(ONE)


def test_what_the_image_sets_itself_is_refused_in_values():
    """The chart refuses each of the properties that the consumer would override."""
    stream = Stream.from_environment(environment(consumer(ONE)))
    ours = client.consumer_properties({}, stream, "x").keys()
    free = {name for name in ours if client.consumer_properties({name: "other"}, stream, "x")[name] == "other"}
    rule = (render.CHARTS / CHART / "templates/validate/stream.yaml").read_text()
    assert [name for name in sorted(ours - free) if f'"{name}"' not in rule] == []


def test_notes_say_where_predictions_are():
    """And who makes the tables, where nobody does."""
    notes = render.notes(CHART, ONE, namespace="shop")
    assert "SELECT * FROM churn.event_predictions" in notes
    assert "migrate --print" not in notes
    notes = render.notes(CHART, EVERYTHING, namespace="shop")
    assert "topic fares" in notes
    assert "trifold dead list churn --namespace shop" in notes
    assert "churn migrate" not in notes
    by_hand = {"stream": {"database": {"ownerSecret": ""}}}
    assert "python -m trifold.batch migrate --print" in render.notes(CHART, ONE, namespace="shop", values=by_hand)


def test_values_say_what_the_image_takes():
    """Whatever the schema lets through the image reads."""
    properties = leaves.schema(CHART, "stream")["properties"]
    for key, wanted in KEYS.items():
        assert key in properties, wanted
