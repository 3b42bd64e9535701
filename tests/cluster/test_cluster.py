"""The cluster that `make cluster` gives does what everything else of Trifold builds on."""

import json
import urllib.request

import pytest
from kubernetes import client
from kubernetes.client import ApiException

from k8s.kind.settings import NODE_PORTS, read
from tests.cluster import kube

pytestmark = pytest.mark.cluster


def test_pods_find_each_other_by_name(namespace):
    """Cluster DNS answers for a Service, for Kubernetes itself, and refuses what is not there."""
    kube.start(namespace, kube.pod("server", kube.SERVER))
    kube.service(namespace, "server")
    kube.serves(namespace, "server")
    assert kube.fetch(namespace, f"http://server.{namespace}.svc.cluster.local:{kube.PORT}/") == "200"
    code = "from socket import *; print(gethostbyname('kubernetes.default.svc')); gethostbyname('no-such.default.svc')"
    said, status = kube.finish(namespace, kube.pod("asker", kube.python(code)))
    assert said.startswith("10.")
    assert "gaierror" in said
    assert status == 1


def test_a_claim_is_bound_and_written_without_root(namespace):
    """The default StorageClass gives a volume to uid 1034, and the next pod reads what the last one wrote."""
    core = client.CoreV1Api()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    core.create_namespaced_persistent_volume_claim(namespace, {"metadata": {"name": "data"}, "spec": spec})
    volume = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "mounts": [{"name": "data", "mountPath": "/data"}],
    }
    writer = kube.pod(
        "writer", kube.python("import os; print(os.getuid(), open('/data/x', 'w').write('kept'))"), **volume
    )
    assert kube.finish(namespace, writer) == (f"{kube.UID} 4\n", 0)
    assert core.read_namespaced_persistent_volume_claim("data", namespace).status.phase == "Bound"
    assert kube.finish(namespace, kube.pod("reader", kube.python("print(open('/data/x').read())"), **volume)) == (
        "kept\n",
        0,
    )


@pytest.mark.slow
def test_an_autoscaler_reads_cpu_and_adds_a_pod(namespace):
    """metrics-server measures a busy pod, and the HPA acts on it."""
    busy = kube.pod("busy", kube.python("while True: pass"))
    busy["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "100m"}
    busy["spec"]["restartPolicy"] = "Always"
    del busy["metadata"]["name"]
    spec = {"selector": {"matchLabels": {"app": "busy"}}, "template": busy}
    client.AppsV1Api().create_namespaced_deployment(namespace, {"metadata": {"name": "busy"}, "spec": spec})
    target = {"type": "Utilization", "averageUtilization": 50}
    scaler = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "busy"},
        "minReplicas": 1,
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    scaling = client.AutoscalingV2Api()
    scaling.create_namespaced_horizontal_pod_autoscaler(namespace, {"metadata": {"name": "busy"}, "spec": scaler})

    def probe():
        status = scaling.read_namespaced_horizontal_pod_autoscaler("busy", namespace).status
        metrics = [found.resource.current for found in status.current_metrics or () if found.resource]
        measured = any((found.average_utilization or 0) > 50 for found in metrics)
        return measured and status.desired_replicas == 2, status

    kube.wait("the HPA asks for a second pod", probe, seconds=200)


@pytest.mark.parametrize("name", ["platform", "models"])
def test_a_pod_that_breaks_restricted_is_refused(name, cluster):
    """Pod Security is enforced in our namespaces, and the refusal says what to change."""
    loose = {"metadata": {"name": "loose"}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api().create_namespaced_pod(name, loose)
    assert refused.value.status == 403
    assert 'violates PodSecurity "restricted:latest"' in json.loads(refused.value.body)["message"]


@pytest.mark.parametrize("name", ["platform", "models"])
def test_our_namespaces_deny_by_default_and_allow_dns(name, cluster):
    """The policies stand, whether or not this cluster enforces them."""
    policies = {
        found.metadata.name: found.spec for found in client.NetworkingV1Api().list_namespaced_network_policy(name).items
    }
    assert set(policies["default-deny"].policy_types) == {"Ingress", "Egress"}
    assert not policies["default-deny"].ingress
    assert not policies["default-deny"].egress
    assert {port.port for rule in policies["allow-dns"].egress for port in rule.ports} == {53}


def test_a_node_port_answers_on_the_hosts_loopback(namespace):
    """The ports reserved at creation lead to Services; no proxy is asked on the way."""
    services = client.CoreV1Api().list_service_for_all_namespaces().items
    used = {port.node_port for found in services for port in found.spec.ports or ()}
    free = [name for name, port in NODE_PORTS.items() if port not in used]
    if not free:
        pytest.skip("the platform has all NodePorts, and its own tests use them")
    kube.start(namespace, kube.pod("server", kube.SERVER))
    kube.service(namespace, "server", node_port=NODE_PORTS[free[0]])
    kube.serves(namespace, "server")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def probe():
        try:
            with opener.open(f"http://127.0.0.1:{read().ports[free[0]]}/hostname", timeout=5) as answer:
                return True, answer.read().decode()
        except OSError as error:
            return False, error

    assert kube.wait("the NodePort answers", probe).strip() == "server"


def test_a_service_that_nobody_has_is_refused_at_once(namespace):
    """No stranger outside the node answers for an address of the cluster: the next retry finds the real one."""
    state = read().folder / "state.json"
    if not state.exists() or json.loads(state.read_text())["way"] != "offline":
        pytest.skip("the rule is of the node image that k8s/kind/offline makes")
    assert kube.fetch(namespace, "http://10.111.222.33:80/", reached=False) == "ConnectionRefusedError"


def test_default_deny_holds_and_an_allowed_client_gets_through(namespace, policies):
    """A policy keeps strangers out and lets in whom it names."""
    kube.start(namespace, kube.pod("server", kube.SERVER))
    kube.service(namespace, "server")
    kube.serves(namespace, "server")
    allow = {
        "podSelector": {"matchLabels": {"app": "server"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}],
    }
    client.NetworkingV1Api().create_namespaced_network_policy(namespace, {"metadata": {"name": "allow"}, "spec": allow})
    url = f"http://server:{kube.PORT}/"
    assert kube.fetch(namespace, url, name="friend") == "200"
    assert kube.fetch(namespace, url, reached=False, name="stranger") != "200"


def test_a_second_up_changes_nothing(cluster):
    """`make cluster` finds the cluster that is there."""
    before = [node.metadata.uid for node in client.CoreV1Api().list_node().items]
    said = cluster.run("up")
    assert said.split()[0] == "ready", said
    assert [node.metadata.uid for node in client.CoreV1Api().list_node().items] == before


def test_an_image_is_loaded_once(cluster, python_image):
    """A second load of the same image moves nothing."""
    assert cluster.run("load", kube.PYTHON) == ""


def test_an_image_that_is_not_there_is_said(cluster):
    """The error names the command that builds it."""
    with pytest.raises(AssertionError, match=r"Docker has no image trifold/nothing:dev: .* build"):
        cluster.run("load", "trifold/nothing:dev")


def test_a_taken_port_stops_a_new_cluster_before_it_is_begun(cluster):
    """The cluster of the session holds the default ports; a second one is told so, and nothing is made."""
    with pytest.raises(
        AssertionError, match=r"Taken already on 127\.0\.0\.1: .*TRIFOLD_GATEWAY_PORT chooses another.*Nothing was made"
    ):
        cluster.run("up", TRIFOLD_CLUSTER="trifold-second")
