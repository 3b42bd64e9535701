"""The gateway's front page on a cluster: releases come and go on it, and it may do nothing but list them."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import kube
from tests.cluster.gateway import denying_namespace, execute, get, refused, send

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("nginx", "front-page")
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
FILES = "import os, sys; print(os.path.exists(sys.argv[1]))"
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
EVERY = 1


@pytest.fixture(scope="module")
def namespace(cluster, python_image):
    """A namespace for the gateway that denies what its chart does not allow, as the real one does."""
    with denying_namespace() as name:
        yield name


@pytest.fixture(scope="module")
def ask(cluster, namespace, models, tmp_path_factory):
    """Installs the gateway and its front page alone; sends it one raw request from a pod."""
    cluster.run("build", *IMAGES)
    cluster.run("load", *(f"trifold/{image}:dev" for image in IMAGES))
    values = tmp_path_factory.mktemp("gateway") / "values.yaml"
    dev, off = {"image": {"tag": "dev", "pullPolicy": "Never"}}, {"enabled": False}
    parts = {"gateway": dev, "frontPage": {**dev, "everySeconds": EVERY}, "postgres": off, "kafka": off, "mlflow": off}
    values.write_text(json.dumps({"modelsNamespace": models, **parts}))
    context = os.environ.get("TRIFOLD_CONTEXT")
    argv = ["helm", "upgrade", "--install", "gateway", "charts/platform", "--namespace", namespace]
    argv += [*(("--kube-context", context) if context else ()), "--values", str(values), "--wait", "--timeout=2m"]
    environment = {**os.environ, **cluster.environment}
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    kube.start(models, kube.pod("client", ["sleep", "infinity"]))
    # A pod that is ready is reached a moment later: kube-proxy has to write its rules first.
    kube.fetch(models, f"http://gateway.{namespace}/healthz", name="reach")
    return lambda request: send(models, request, host=f"gateway.{namespace}")


def named(name, component, **notes):
    """What a release's object is called and says of itself."""
    labels = {"instance": name, "component": component, "part-of": "trifold", "version": "7"}
    return {
        "name": f"{name}-{component}",
        "labels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()},
        "annotations": {f"trifold.dev/{key}": value for key, value in notes.items()},
    }


def service(name, **notes):
    """A release's Service."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 3000}]}
    return {"metadata": named(name, "online", **notes), "spec": spec}


def cron_job(name, **notes):
    """A release's CronJob, which is held, so that no pod comes of it."""
    pod = {"spec": {"containers": [{"name": "batch", "image": kube.PYTHON}], "restartPolicy": "Never"}}
    spec = {"schedule": "0 6 * * *", "timeZone": "Europe/Berlin", "suspend": True}
    return {"metadata": named(name, "batch", **notes), "spec": {**spec, "jobTemplate": {"spec": {"template": pod}}}}


def shows(ask, *texts, without=(), seconds=30):
    """Wait until the page holds some texts and not others; gives it."""

    def probe():
        status, _, body = ask(get("/"))
        assert status == 200
        return all(text in body for text in texts) and not any(text in body for text in without), body

    return kube.wait(f"the page shows {texts} without {without}", probe, seconds)


def pod_of(namespace, component):
    """The name of the part's one pod that stays."""
    selector = f"app.kubernetes.io/component={component}"
    found = client.CoreV1Api().list_namespaced_pod(namespace, label_selector=selector).items
    (name,) = [pod.metadata.name for pod in found if not pod.metadata.deletion_timestamp]
    return name


def may(namespace, verb, resource, *, group="", where):
    """Whether the front page's account may do something, as the API server judges."""
    review = {
        "user": f"system:serviceaccount:{namespace}:front-page",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
        "resourceAttributes": {"verb": verb, "resource": resource, "group": group, "namespace": where},
    }
    return client.AuthorizationV1Api().create_subject_access_review({"spec": review}).status.allowed


def test_releases_come_and_go_on_the_page(ask, models):
    """A Service and a CronJob appear within seconds, as they say of themselves, and leave when they are deleted."""
    core, batch = client.CoreV1Api(), client.BatchV1Api()
    core.create_namespaced_service(models, service("coming", title="Who <comes>?", description="A guest."))
    batch.create_namespaced_cron_job(models, cron_job("nightly", title="Every night"))
    online = ('<a href="models/coming/">Who &lt;comes&gt;?</a>', "A guest.", "curl ADDRESS/models/coming/model")
    both = shows(ask, *online, "Every night", "every day at 06:00 (Europe/Berlin), but is paused at the moment")
    assert "models/nightly/" not in both
    core.patch_namespaced_service("coming-online", models, {"metadata": {"annotations": {"trifold.dev/title": "New"}}})
    shows(ask, '<a href="models/coming/">New</a>', without=["&lt;comes"])
    core.delete_namespaced_service("coming-online", models)
    batch.delete_namespaced_cron_job("nightly-batch", models)
    shows(ask, "There is no model here yet.", without=["models/coming/", "Every night"])


def test_other_objects_are_not_shown(ask, models):
    """A Service without our labels, or one that the gateway would not ask, is no model."""
    core = client.CoreV1Api()
    misnamed = service("misnamed", title="Misnamed")
    misnamed["metadata"]["name"] = "other"
    strange = service("strange", title="Strange")
    del strange["metadata"]["labels"]["app.kubernetes.io/part-of"]
    for item in (misnamed, strange, service("last", title="Last")):
        core.create_namespaced_service(models, item)
    shows(ask, "Last", without=["Misnamed", "Strange"])
    for name in ("other", "strange-online", "last-online"):
        core.delete_namespaced_service(name, models)


def test_the_page_comes_with_its_headers(ask):
    """No script, nothing from elsewhere, in no frame; a browser asks each time, and is told if nothing changed."""
    status, headers, body = ask(get("/"))
    assert status == 200
    assert HEADERS.items() <= headers.items()
    assert "<title>Models</title>" in body
    assert "python" not in headers["server"].lower()
    assert ask(get("/", f"If-None-Match: {headers['etag']}"))[0] == 304


def test_its_style_comes_from_the_gateway(ask):
    """The policy lets a browser read no other."""
    status, headers, body = ask(get("/front-page.css"))
    assert (status, headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "color-scheme: light dark" in body


@pytest.mark.parametrize("path", ["/", "//", "/?a=b", "/%2e", "/x/..", "/front-page.css?x"])
def test_spellings_of_the_path_are_one_page(ask, path):
    """None of them reaches anything else."""
    assert ask(get(path))[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/index.html", "/front-page.css/", "/front-page/", "/style.css", "/%0a"])
def test_nothing_else_of_the_front_page_is_reached(ask, path):
    """Its probes are Kubernetes' own."""
    refused(ask(get(path)), 404, "path")


def test_head_works_and_other_methods_do_not(ask):
    """The refusal is the gateway's, in the form of its others."""
    status, headers, body = ask(get("/").replace("GET", "HEAD"))
    assert (status, headers["content-type"], body) == (200, HEADERS["content-type"], "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused(ask(get("/", "Content-Length: 0").replace("GET", method)), 405, "method")


def test_the_front_page_may_list_releases_and_nothing_else(ask, namespace, models):
    """Two lists in one namespace: no secrets, no pods, no watching, no writing, nowhere else."""
    allowed = [("services", ""), ("cronjobs", "batch")]
    for resource, group in allowed:
        assert may(namespace, "list", resource, group=group, where=models)
        for verb in ("watch", "create", "update", "patch", "delete", "deletecollection", "*"):
            assert not may(namespace, verb, resource, group=group, where=models), (verb, resource)
        for where in (namespace, "default", "kube-system", ""):
            assert not may(namespace, "list", resource, group=group, where=where), (resource, where)
    for resource, group in [
        ("secrets", ""),
        ("pods", ""),
        ("configmaps", ""),
        ("deployments", "apps"),
        ("jobs", "batch"),
    ]:
        for verb in ("get", "list"):
            assert not may(namespace, verb, resource, group=group, where=models), (verb, resource)


def test_nobody_else_gains_its_rights(ask, models):
    """The account of every other pod lists nothing."""
    assert not may(models, "list", "services", where=models)
    default = {"user": f"system:serviceaccount:{models}:default"}
    default["resourceAttributes"] = {"verb": "list", "resource": "services", "namespace": models}
    assert not client.AuthorizationV1Api().create_subject_access_review({"spec": default}).status.allowed


def test_the_token_is_in_no_other_pod_than_its_own(ask, namespace):
    """nginx, which the world talks to, does not have it."""
    assert execute(namespace, pod_of(namespace, "front-page"), ["python", "-c", FILES, TOKEN]).strip() == "True"
    listed = execute(
        namespace, pod_of(namespace, "gateway"), ["sh", "-c", "ls /var/run/secrets /run/secrets 2>&1; true"]
    )
    assert listed.count("No such file") == 2, listed


def test_without_its_rights_the_last_page_stays(ask, namespace, models):
    """It says so in one line, shows what it knew, and goes on when the right is back."""
    core, rights = client.CoreV1Api(), client.RbacAuthorizationV1Api()
    name = f"{namespace}-front-page"
    binding = rights.read_namespaced_role_binding(name, models)
    core.create_namespaced_service(models, service("staying", title="Staying"))
    shows(ask, "Staying")
    rights.delete_namespaced_role_binding(name, models)

    def told():
        log = core.read_namespaced_pod_log(pod_of(namespace, "front-page"), namespace)
        lines = [line for line in log.splitlines() if "cannot be read" in line]
        return bool(lines), lines

    (line,) = kube.wait("the front page says that it may not list", told, 30)
    assert "the last page stays" in line
    assert "403 Forbidden" in line
    core.delete_namespaced_service("staying-online", models)
    shows(ask, "Staying")
    binding.metadata = {"name": name, "labels": binding.metadata.labels, "annotations": binding.metadata.annotations}
    rights.create_namespaced_role_binding(models, binding)
    shows(ask, without=["Staying"])
    assert len(told()[1]) == 1


@pytest.mark.timeout(400)
def test_without_a_front_page_the_gateway_is_ready(ask, namespace, models):
    """Predictions go on, the last page stays; a gateway that never had one says in JSON that there is none."""
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    core.create_namespaced_service(models, service("kept", title="Kept"))
    shows(ask, "Kept")
    apps.patch_namespaced_deployment_scale("front-page", namespace, {"spec": {"replicas": 0}})

    front = {"label_selector": "app.kubernetes.io/component=front-page"}

    def gone():
        left = [pod.metadata.name for pod in core.list_namespaced_pod(namespace, **front).items]
        return not left, left

    kube.wait("the front page is gone", gone, 60)
    shows(ask, "Kept")
    core.delete_namespaced_pod(pod_of(namespace, "gateway"), namespace)

    def fresh():
        found = apps.read_namespaced_deployment("gateway", namespace).status
        answer = ask(get("/"))
        return found.ready_replicas == 1 and answer[0] == 503, answer

    answer = kube.wait("a new gateway is ready and has no page", fresh, 60)
    refused(answer, 503, "busy")
    assert answer[1]["retry-after"] == "5"
    assert ask(get("/healthz"))[0] == 200
    apps.patch_namespaced_deployment_scale("front-page", namespace, {"spec": {"replicas": 1}})
    core.delete_namespaced_service("kept-online", models)

    def back():
        answer = ask(get("/"))
        return answer[0] == 200, answer

    kube.wait("the page is back", back, 60)
