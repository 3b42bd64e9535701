"""charts/platform: what it consists of, and who of it may ask the Kubernetes API."""

import pytest
import yaml

from tests.charts import checks, render
from tests.charts.objects import of_kind, pods, selects, template, where

CHART = "platform"
DEFAULT = "default-values.yaml"
GATEWAY = {f"{kind} gateway" for kind in ("ConfigMap", "Deployment", "NetworkPolicy", "Service")}
FRONT_PAGE = {f"{kind} front-page" for kind in ("Deployment", "NetworkPolicy", "Service", "ServiceAccount")} | {
    "Role models-front-page",
    "RoleBinding models-front-page",
}
MLFLOW = {f"{kind} mlflow" for kind in ("Deployment", "NetworkPolicy", "Service")}
POSTGRES = {f"{kind} postgres" for kind in ("StatefulSet", "NetworkPolicy", "Service", "PersistentVolumeClaim")}
KAFKA = {f"{kind} kafka" for kind in ("ConfigMap", "StatefulSet", "NetworkPolicy", "Service", "PersistentVolumeClaim")}
TOPICS = {"Job kafka-topics", "NetworkPolicy kafka-topics"}
VOLUME = {"PersistentVolumeClaim mlflow"}
OBJECTS = {
    DEFAULT: GATEWAY | FRONT_PAGE | MLFLOW | POSTGRES | KAFKA | VOLUME,
    "kind-values.yaml": GATEWAY | FRONT_PAGE | MLFLOW | POSTGRES | KAFKA | TOPICS | VOLUME,
    "own-database-values.yaml": GATEWAY | FRONT_PAGE | MLFLOW | VOLUME,
    "s3-values.yaml": GATEWAY | FRONT_PAGE | MLFLOW | POSTGRES | KAFKA | {"PodDisruptionBudget gateway"},
    "gateway-values.yaml": GATEWAY,
}
LATEST = "{0}.image.tag is latest, which is another image every day: set a version, or {0}.image.digest."
NO_NODE_PORT = (
    "{0}.service.nodePort is set for a Service without one: set {0}.service.type to NodePort, or nodePort to 0."
)


def named(name, **values):
    """The front page's objects of a kind, and those of other parts, by name."""
    return {item["metadata"]["name"]: item for item in of_kind(render.objects(CHART, DEFAULT, values=values), name)}


@pytest.mark.parametrize("file", OBJECTS)
def test_a_platform_has_exactly_these_objects(file):
    """An object more or less is a decision, and stands here."""
    assert sorted(where(item) for item in render.objects(CHART, file)) == sorted(OBJECTS[file])


def test_every_supported_mode_has_a_values_file():
    """What stands in ci/ is what is tested, and the other way round."""
    assert set(OBJECTS) == {case.values[1] for case in render.cases(CHART)}


@pytest.mark.parametrize("values", [{"frontPage": {"enabled": False}}, {"gateway": {"enabled": False}}])
def test_a_front_page_that_nobody_could_see_is_not_there(values):
    """Neither its pod nor its rights; without the gateway nothing has to be switched off beside it."""
    there = {where(item) for item in render.objects(CHART, DEFAULT, values=values)}
    assert not there & FRONT_PAGE
    assert there


def test_without_a_front_page_the_index_stands_as_before():
    """A line of JSON at `/`, and nothing that is asked for it."""
    config = named("ConfigMap", frontPage={"enabled": False})["gateway"]["data"]["nginx.conf"]
    assert '"releases": "/models/<release>/"' in config
    assert "front" not in config
    assert "proxy_cache" not in config


def test_the_front_page_lists_releases_and_does_nothing_else():
    """Where releases are, and there nothing but Services and CronJobs, and those are only read."""
    role, binding = (named(kind)["models-front-page"] for kind in ("Role", "RoleBinding"))
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"]},
        {"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["get", "list"]},
    ]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "front-page", "namespace": "models"}]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "models-front-page"}


def test_its_rights_are_where_the_releases_are():
    """In another namespace than the platform's own, and in no third one."""
    values = {"modelsNamespace": "shop"}
    assert {item["metadata"]["namespace"] for kind in checks.GRANTS for item in named(kind, **values).values()} == {
        "shop"
    }
    [variable, _] = template(named("Deployment", **values)["front-page"])["spec"]["containers"][0]["env"]
    assert variable == {"name": "FRONT_PAGE_NAMESPACE", "value": "shop"}


@pytest.mark.parametrize(("chart", "file"), render.cases())
def test_nobody_else_has_a_token(chart, file):
    """nginx, which the world talks to, is in another pod than the token; models have none at all."""
    having = {pod.where for pod in pods(render.objects(chart, file)) if list(checks.tokens(pod))}
    assert having == ({"Deployment front-page"} if "Deployment front-page" in OBJECTS.get(file, ()) else set())


def test_the_gateway_is_ready_without_the_front_page():
    """Predictions are more important: no container, volume, account or probe of one is in the pod of the other."""
    gateway = template(named("Deployment")["gateway"])["spec"]
    assert [container["name"] for container in gateway["containers"]] == ["gateway"]
    assert "serviceAccountName" not in gateway
    without = template(named("Deployment", frontPage={"enabled": False})["gateway"])["spec"]
    assert gateway == without


def test_only_the_gateway_reaches_the_front_page():
    """And it reaches the API server, at its ports; where its addresses are known, there only."""
    policies = named("NetworkPolicy")
    [rule] = policies["front-page"]["spec"]["ingress"]
    [gateway] = [pod for pod in pods(render.objects(CHART, DEFAULT)) if pod.where == "Deployment gateway"]
    assert [selects(peer["podSelector"], gateway.labels) for peer in rule["from"]] == [True]
    assert policies["front-page"]["spec"]["egress"] == [{"ports": [{"port": 443}, {"port": 6443}]}]
    assert {port["port"] for rule in policies["gateway"]["spec"]["egress"] for port in rule["ports"]} == {
        53,
        3000,
        "http",
    }
    narrow = named("NetworkPolicy", frontPage={"apiServer": {"cidrs": ["192.0.2.1/32"], "ports": [443]}})["front-page"]
    assert narrow["spec"]["egress"] == [{"ports": [{"port": 443}], "to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]}]


def test_the_account_is_mounted_where_the_program_looks():
    """Token and certificate authority, as Kubernetes mounts them by itself elsewhere."""
    spec = template(named("Deployment")["front-page"])["spec"]
    [mount] = spec["containers"][0]["volumeMounts"]
    program = (render.CHARTS.parent / "k8s/images/front-page/front_page/__main__.py").read_text()
    assert f'ACCOUNT = "{mount["mountPath"]}"' in program
    assert mount["readOnly"]
    [volume] = spec["volumes"]
    assert {
        item["path"]
        for source in volume["projected"]["sources"]
        for item in source.get("configMap", {}).get("items", ())
    } == {"ca.crt"}


@pytest.mark.parametrize("part", ["postgres", "kafka", "mlflow", "gateway", "frontPage"])
def test_latest_is_refused(part):
    """Of each part; a digest beside it is an answer."""
    with pytest.raises(render.Refused) as refused:
        render.text(CHART, DEFAULT, values={part: {"image": {"tag": "latest"}}})
    assert LATEST.format(part) in str(refused.value)
    digest = "sha256:" + "0" * 64
    assert digest in render.text(CHART, DEFAULT, values={part: {"image": {"tag": "latest", "digest": digest}}})


@pytest.mark.parametrize("part", ["postgres", "kafka", "mlflow", "gateway"])
def test_a_node_port_without_its_service_is_refused(part):
    """It would be dropped without a word."""
    with pytest.raises(render.Refused) as refused:
        render.text(CHART, DEFAULT, values={part: {"service": {"nodePort": 30080}}})
    assert NO_NODE_PORT.format(part) in str(refused.value)


def test_a_node_port_needs_an_address_for_its_clients():
    """Kafka tells its clients where to go on; inside the cluster's names they would not get there."""
    with pytest.raises(render.Refused, match=r"set kafka\.outside to the address that they have"):
        render.text(CHART, DEFAULT, values={"kafka": {"service": {"type": "NodePort", "nodePort": 30092}}})


def test_topics_are_lines_for_the_job_that_makes_them():
    """Name, partitions, settings; none without a topic."""
    topics = {
        "rides": {"partitions": 3, "config": {"retention.ms": "86400000", "cleanup.policy": "compact"}},
        "a.b": {},
    }
    config = named("ConfigMap", kafka={"topics": topics})["kafka"]["data"]
    assert config["topics"] == "a.b 1\nrides 3 cleanup.policy=compact retention.ms=86400000\n"
    assert not {where(item) for item in render.objects(CHART, DEFAULT)} & TOPICS


def test_a_changed_address_is_a_new_broker_pod():
    """Kafka reads it when it starts; new topics alone restart nothing."""
    before, moved, more = (
        template(named("StatefulSet", kafka=values)["kafka"])
        for values in ({}, {"outside": "127.0.0.1:9999"}, {"topics": {"rides": {}}})
    )
    assert before == more
    assert before != moved
    assert (
        "OUTSIDE://127.0.0.1:9999"
        in named("ConfigMap", kafka={"outside": "127.0.0.1:9999"})["kafka"]["data"]["server.properties"]
    )


@pytest.mark.parametrize("ports", [[], [0], ["https"], [65536]])
def test_ports_of_the_api_that_are_none_are_refused(ports):
    """No ports at all would be every port."""
    with pytest.raises(render.Refused, match="apiServer/ports"):
        render.text(CHART, DEFAULT, values={"frontPage": {"apiServer": {"ports": ports}}})


@pytest.mark.parametrize("file", OBJECTS)
def test_notes_say_where_the_front_page_is(file):
    """Whoever installs it is told of the page that others will open, where there is one."""
    values = yaml.safe_load((render.CHARTS / CHART / "ci" / file).read_text())
    notes = render.notes(CHART, file, namespace="platform")
    assert "/models/<release>/" in notes
    assert ("the page of all models" in notes) == values.get("frontPage", {}).get("enabled", True)
