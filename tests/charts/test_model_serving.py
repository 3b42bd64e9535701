"""charts/model-serving: what a release consists of, and what it tells the image."""

import re
from types import SimpleNamespace

import pytest
import yaml

from tests.charts import leaves, render
from tests.charts.objects import of_kind, pods, template, where
from trifold.online.server import STOP_SECONDS
from trifold.ops import lockfile
from trifold.packed import INTERFACE, Packed
from trifold.settings import LEAST, MOST, THREAD_VARIABLES, Settings

CHART = "model-serving"
LOCK = "minimal-values.yaml"
ALWAYS = {f"{kind} churn-online" for kind in ("Deployment", "NetworkPolicy", "Service", "ServiceAccount")} | {
    "NetworkPolicy churn-test",
    "Pod churn-test",
}
SCALED = {"HorizontalPodAutoscaler churn-online", "PodDisruptionBudget churn-online"}
BATCH = {f"{kind} churn-batch" for kind in ("NetworkPolicy", "ServiceAccount")} | {"Pod churn-test-batch"}
STREAM = {f"{kind} churn-stream" for kind in ("Deployment", "NetworkPolicy", "ServiceAccount")} | {
    "NetworkPolicy churn-test-stream",
    "PodDisruptionBudget churn-stream",
    "Pod churn-test-stream",
}
MIGRATE = {f"{kind} churn-migrate-stream" for kind in ("Job", "NetworkPolicy", "ServiceAccount")}
OBJECTS = {
    "minimal-values.yaml": ALWAYS | SCALED,
    "fixed-replicas-values.yaml": ALWAYS,
    "digest-values.yaml": ALWAYS | SCALED,
    "ingress-values.yaml": ALWAYS | SCALED | {"Ingress churn-online"},
    "httproute-values.yaml": ALWAYS | SCALED | {"HTTPRoute churn-online"},
    "batch-values.yaml": ALWAYS | SCALED | BATCH | {"CronJob churn-weekly"},
    "batch-everything-values.yaml": BATCH
    | {f"CronJob churn-{name}" for name in ("hourly", "weekly", "yearly-and-with-the-longest-name")}
    | {"Job churn-migrate"},
    "stream-values.yaml": ALWAYS | SCALED | STREAM | MIGRATE,
    "stream-everything-values.yaml": STREAM | {"ScaledObject churn-stream"},
    "stream-scaled-values.yaml": STREAM | {"HorizontalPodAutoscaler churn-stream"},
    "everything-values.yaml": ALWAYS | SCALED | {"Ingress churn-online", "HTTPRoute churn-online"},
}


online = pytest.mark.parametrize("file", [file for file, objects in OBJECTS.items() if objects >= ALWAYS])


@pytest.mark.parametrize("file", OBJECTS)
def test_a_release_has_exactly_these_objects(file):
    """An object more or less is a decision, and stands here."""
    objects = render.objects(CHART, file)
    assert sorted(where(item) for item in objects) == sorted(OBJECTS[file])


def test_every_supported_mode_has_a_values_file():
    """What stands in ci/ is what is tested, and the other way round."""
    assert set(OBJECTS) == {case.values[1] for case in render.cases(CHART)}


def test_a_switched_off_mode_leaves_nothing():
    """Without `online` there is nothing to test either, and its rules ask nothing."""
    assert render.objects(CHART, LOCK, values={"online": {"enabled": False, "ingress": {"enabled": True}}}) == []


def test_a_lock_file_is_enough(tmp_path):
    """ci/minimal-values.yaml is what `trifold build` writes, and no more; chart and code speak the same interface."""
    found = yaml.safe_load((render.CHARTS / CHART / "ci" / LOCK).read_text())
    model = {_snake(key): value for key, value in found["model"].items()}
    contract = {"profile": {name: model.pop(name) for name in ("title", "description")}}
    packed = Packed(**model, contract=contract, file="model.skops", file_format="skops")
    written = tmp_path / "churn.lock.yaml"
    lockfile.write(written, packed, SimpleNamespace(**found["image"]))
    assert yaml.safe_load(written.read_text()) == found
    annotations = yaml.safe_load((render.CHARTS / CHART / "Chart.yaml").read_text())["annotations"]
    assert annotations["trifold.dev/interface"] == str(INTERFACE)


@online
def test_the_image_understands_what_it_is_told(file):
    """The server reads every TRIFOLD_ variable of its container and takes its value; pods predict with one thread."""
    deployment, told = _told(render.objects(CHART, file))
    settings = Settings.from_environment(told)
    for name in told.keys() - set(THREAD_VARIABLES):
        assert str(getattr(settings, name.removeprefix("TRIFOLD_").lower())) == told[name]
    assert {name: told[name] for name in THREAD_VARIABLES} == dict.fromkeys(THREAD_VARIABLES, "1")
    pod = template(deployment)["spec"]
    assert settings.port == pod["containers"][0]["ports"][0]["containerPort"]
    assert pod["terminationGracePeriodSeconds"] == settings.drain_seconds + STOP_SECONDS + 5


def test_limits_are_those_of_the_server():
    """The schema lets through what the server takes, and the defaults are its own."""
    for path in [path for path in leaves.leaves(CHART) if path.startswith("online.limits.")] + ["online.drainSeconds"]:
        name = _snake(path.rpartition(".")[2])
        found = leaves.schema(CHART, path)
        assert (found["minimum"], found["maximum"]) == (LEAST.get(name, 1), MOST[name])
        if name != "drain_seconds":  # without Kubernetes nobody waits for the end of a server
            assert leaves.leaves(CHART)[path].default == getattr(Settings(), name)


def test_the_test_pod_asks_the_service_and_expects_the_digest():
    """`helm test` runs in the release's own image, which holds the example and its answers."""
    objects = render.objects(CHART, LOCK)
    [pod], [service] = of_kind(objects, "Pod"), of_kind(objects, "Service")
    deployment, told = _told(objects)
    [container] = pod["spec"]["containers"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert container["command"][-1] == f"http://{service['metadata']['name']}"
    assert [port["port"] for port in service["spec"]["ports"]] == [80]
    assert container["image"] == template(deployment)["spec"]["containers"][0]["image"]
    assert {item["name"]: item["value"] for item in container["env"]}["TRIFOLD_DIGEST"] == told["TRIFOLD_DIGEST"]


def test_everything_runs_the_digest_where_there_is_one():
    """A tag can be moved in a registry; a digest names the bytes."""
    lock = yaml.safe_load((render.CHARTS / CHART / "ci" / "digest-values.yaml").read_text())["image"]
    found = {pod.spec["containers"][0]["image"] for pod in pods(render.objects(CHART, "digest-values.yaml"))}
    assert found == {f"{lock['repository']}@{lock['digest']}"}


def test_another_version_changes_what_names_it_and_nothing_else():
    """An upgrade to version 4 moves labels, annotations, the image and the digest; no selector, no name, no size."""
    newer = {"model": {"version": "4", "digest": "4" * 64, "runId": "4" * 32}, "image": {"tag": "v4-44444444-5e6f7a8b"}}
    before, after = (dict(_flat(render.objects(CHART, LOCK, values=values))) for values in ({}, newer))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path[-1] for path in changed} == {
        "app.kubernetes.io/version",
        "trifold.dev/model-version",
        "trifold.dev/digest",
        "trifold.dev/run-id",
        "image",
        "TRIFOLD_DIGEST",
    }
    assert not any("selector" in str(key).lower() for path in changed for key in path)


def test_new_words_change_the_service_and_no_pod():
    """A better description is seen on the front page, and restarts nothing."""
    newer = {"model": {"title": "Who stays?", "description": "Another sentence."}}
    before, after = (dict(_flat(render.objects(CHART, LOCK, values=values))) for values in ({}, newer))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path[1:] for path in changed} == {
        ("metadata", "annotations", f"trifold.dev/{name}") for name in ("title", "description")
    }
    assert {render.objects(CHART, LOCK)[path[0]]["kind"] for path in changed} == {"Service"}


def test_a_service_without_words_has_none():
    """A lock file of before has no title: the front page takes the model's name."""
    [service] = of_kind(render.objects(CHART, "digest-values.yaml"), "Service")
    assert not {"trifold.dev/title", "trifold.dev/description"} & set(service["metadata"]["annotations"])
    assert service["metadata"]["annotations"]["trifold.dev/model"] == "churn"


def test_the_chart_takes_the_longest_words_that_a_lock_file_has():
    """What is longer is cut where it is written, not refused where it is installed."""
    for name, most in (("title", lockfile.TITLE), ("description", lockfile.DESCRIPTION)):
        assert leaves.schema(CHART, f"model.{name}")["maxLength"] == most


def test_an_autoscaler_chooses_the_number_of_pods():
    """With one, `replicas` would take pods back at every upgrade; without one it is needed."""
    [scaled] = of_kind(render.objects(CHART, LOCK), "Deployment")
    [fixed] = of_kind(render.objects(CHART, "fixed-replicas-values.yaml"), "Deployment")
    assert "replicas" not in scaled["spec"]
    assert fixed["spec"]["replicas"] == 1


def test_no_hook_can_begin_the_end():
    """The server drains of itself; a route for it would be a route by which a stranger stops a pod."""
    assert not any(
        "lifecycle" in container for pod in pods(render.objects(CHART, LOCK)) for container in pod.containers
    )


def test_only_known_peers_reach_the_pods():
    """With no peers at all in the values, the policy still names one: an empty list would let everybody in."""
    nobody = {"online": {"networkPolicy": {"gateway": [], "monitoring": []}}}
    policies = {
        where(item): item["spec"] for item in of_kind(render.objects(CHART, LOCK, values=nobody), "NetworkPolicy")
    }
    [rule] = policies["NetworkPolicy churn-online"]["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert "ingress" not in policies["NetworkPolicy churn-test"]


def test_a_spread_without_selector_counts_its_own_pods():
    """Values are for all components, so that nobody can write the selector there; a selector of one's own stays."""
    [deployment] = of_kind(render.objects(CHART, "everything-values.yaml"), "Deployment")
    own, others = template(deployment)["spec"]["topologySpreadConstraints"]
    assert own["labelSelector"] == deployment["spec"]["selector"]
    assert set(others["labelSelector"]) == {"matchExpressions"}


@pytest.mark.parametrize(("path", "expected"), [("", "/models/churn"), ("/", "/"), ("/v1/churn", "/v1/churn")])
def test_an_http_route_cuts_its_path_off(path, expected):
    """The server knows nothing of the path below which it is reached."""
    values = {"online": {"httpRoute": {"path": path}}}
    [route] = of_kind(render.objects(CHART, "httproute-values.yaml", values=values), "HTTPRoute")
    [rule] = route["spec"]["rules"]
    assert rule["matches"][0]["path"] == {"type": "PathPrefix", "value": expected}
    assert rule["filters"][0]["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}


@pytest.mark.parametrize(
    "name", ["a: b", '"', "#", "{{ .Values }}", "Zürich\n\t☃", "\\", "x" * 250, "yes", "\x00\x7f\x85\u2028\ufeff"]
)
def test_a_model_may_have_any_name(name):
    """The registry takes any text, and none of it becomes YAML or a template."""
    values = {"model": {"name": name, "title": name[:200], "description": name}}
    objects = render.objects(CHART, LOCK, values=values)
    for item in of_kind(objects, "Deployment", "Pod", "Service"):
        assert item["metadata"]["annotations"]["trifold.dev/model"] == name
    [service] = of_kind(objects, "Service")
    assert service["metadata"]["annotations"]["trifold.dev/title"] == name[:200]
    assert service["metadata"]["annotations"]["trifold.dev/description"] == name


@online
def test_notes_say_how_to_see_it_work(file):
    """A command for each way by which it is reached."""
    notes = render.notes(CHART, file, namespace="shop")
    assert "helm test churn --namespace shop" in notes
    assert "service/churn-online 8080:80" in notes
    assert ("https://churn.example.com/model" in notes) == (file == "ingress-values.yaml")
    assert ("/models/churn/model" in notes) == (file == "httproute-values.yaml")


def _told(objects):
    """The Deployment, and the environment of its container."""
    [deployment] = [item for item in of_kind(objects, "Deployment") if where(item).endswith("-online")]
    [container] = template(deployment)["spec"]["containers"]
    return deployment, {item["name"]: item["value"] for item in container["env"]}


def _flat(value, path=()):
    """Every scalar with its path; what has a name is found by it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, dict) and set(inner) == {"name", "value"}:
                yield (*path, inner["name"]), inner["value"]
            else:
                yield from _flat(inner, (*path, number))
    else:
        yield path, value


def _snake(name):
    """A key of the values as the code has it: body_seconds for bodySeconds."""
    return re.sub(r"([A-Z])", lambda found: f"_{found[0].lower()}", name)
