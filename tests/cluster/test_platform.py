"""charts/platform on a cluster: what MLflow keeps, and what the gateway lets through."""

import json
import os
import secrets
import subprocess
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import kube
from tests.cluster.gateway import denying_namespace, execute, get, refused, send

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
PARTS = ("postgres", "kafka", "mlflow", "gateway", "frontPage")
IMAGES = ("postgres", "kafka", "mlflow", "nginx", "front-page")

ECHO = """
import http.server, json
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        length = len(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        body = json.dumps({"line": self.requestline, "headers": self.headers.items(), "length": length}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
http.server.ThreadingHTTPServer(("", 3000), Echo).serve_forever()
"""

# One request after another, every other one on a connection that is kept. A kept one that the server has closed is
# left, as every client does; nothing is sent twice.
TRICKLE = """
import http.client, json, select, sys, time
host, seconds = sys.argv[1], float(sys.argv[2])
kept, failed, count, ends = None, [], 0, time.monotonic() + seconds
while time.monotonic() < ends:
    count += 1
    keep = count % 2
    if keep and kept and kept.sock and select.select([kept.sock], [], [], 0)[0]:
        kept = None
    connection = (kept if keep else None) or http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", f"/models/echo/{count}", headers={} if keep else {"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            failed.append([count, answer.status])
    except (OSError, http.client.HTTPException) as error:
        failed.append([count, repr(error)])
        connection = None
    kept = connection if keep else kept
    time.sleep(0.02)
print(json.dumps([count, failed]))
"""

LOG = """
import mlflow
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text("kept", "note.txt")
client = mlflow.MlflowClient()
client.create_registered_model("kept")
client.create_model_version("kept", run.info.artifact_uri, run.info.run_id)
client.set_registered_model_alias("kept", "champion", "1")
"""
READ = """
import mlflow
run = mlflow.get_run(mlflow.MlflowClient().get_model_version_by_alias("kept", "champion").run_id)
print(run.data.metrics["loss"], mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt"))
"""
# An attribute of the role, then the databases that it cannot enter; the pod's own PGPASSWORD is used.
ROLE = """
import psycopg2
with psycopg2.connect("host=postgres user=mlflow dbname=mlflow") as connection, connection.cursor() as cursor:
    cursor.execute("SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    print(cursor.fetchone()[0])
for database in ("postgres", "template1"):
    try:
        psycopg2.connect(f"host=postgres user=mlflow dbname={database}")
    except psycopg2.OperationalError as error:
        print(str(error).rpartition("FATAL:  ")[2].splitlines()[0])
"""


@pytest.fixture(scope="module")
def namespace(cluster, python_image):
    """A namespace for the platform that denies what its chart does not allow, as the real one does."""
    with denying_namespace() as name:
        yield name


@pytest.fixture(scope="module")
def platform(cluster, namespace, models, tmp_path_factory):
    """Installs the chart, or upgrades it, when called; installed once already."""
    cluster.run("build", *IMAGES)
    cluster.run("load", *(f"trifold/{image}:dev" for image in IMAGES))
    values = tmp_path_factory.mktemp("platform") / "values.yaml"
    image = {"image": {"tag": "dev", "pullPolicy": "Never"}}
    kafka = {"image": {**image["image"], "repository": "trifold/kafka"}, "topics": {"rides": {"partitions": 2}}}
    values.write_text(json.dumps({"modelsNamespace": models, **dict.fromkeys(PARTS, image), "kafka": kafka}))
    context = os.environ.get("TRIFOLD_CONTEXT")

    def run(*argv):
        environment = {**os.environ, **cluster.environment}
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def install():
        argv = ["helm", "upgrade", "--install", "platform", "charts/platform", "--namespace", namespace]
        run(*argv, *(("--kube-context", context) if context else ()), "--values", str(values), "--wait", "--timeout=4m")

    assert run("tools/platform-secrets", namespace).count(" made ") == 2
    assert run("tools/platform-secrets", namespace).count(" is there ") == 2
    install()
    return install


@pytest.fixture(scope="module")
def ask(platform, namespace, models):
    """Sends the gateway (or another server) one raw request; gives status, headers and body."""
    kube.start(models, server("echo"))
    kube.start(models, kube.pod("client", ["sleep", "infinity"]))
    for name in ("echo", "empty"):
        ports = [{"port": 80, "targetPort": 3000}]
        spec = {"selector": {"app": name}, "ports": ports}
        client.CoreV1Api().create_namespaced_service(models, {"metadata": {"name": f"{name}-online"}, "spec": spec})
    kube.serves(models, "echo-online")

    def asked(request, *, host=f"gateway.{namespace}", port=80, padding=0):
        return send(models, request, host=host, port=port, padding=padding)

    def served():
        status, *_ = answer = asked(get("/models/echo/"))
        return status == 200, answer

    kube.wait("the release answers through the gateway", served)
    return asked


def server(name):
    """A pod that answers with what it was asked."""
    return kube.pod(name, kube.python(ECHO))


def mlflow(models, namespace, name, code):
    """What some Python prints that talks to MLflow from namespace models."""
    pod = kube.pod(name, kube.python(code), volumes=[{"name": "tmp", "emptyDir": {}}])
    container = pod["spec"]["containers"][0]
    container |= {"image": "trifold/mlflow:dev", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}  # noqa: S108 (a pod's own)
    container["env"] = [{"name": "MLFLOW_TRACKING_URI", "value": f"http://mlflow.{namespace}:5000"}]
    said, code = kube.finish(models, pod)
    assert code == 0, said
    return said.splitlines()


def pods(namespace, part=None):
    """The names and uids of the platform's pods that are ready and stay."""
    selector = f"app.kubernetes.io/component={part}" if part else None
    found = client.CoreV1Api().list_namespaced_pod(namespace, label_selector=selector).items
    return {
        pod.metadata.uid: pod.metadata.name
        for pod in found
        if not pod.metadata.deletion_timestamp
        and any(seen.type == "Ready" and seen.status == "True" for seen in pod.status.conditions or ())
    }


def replaced(namespace, part, before):
    """Wait until other pods of a part are ready."""

    def probe():
        now = pods(namespace, part)
        return len(now) == len(before) and not now.keys() & before.keys(), now

    return kube.wait(f"another pod of {part} is ready", probe, seconds=120)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mlflow", 200),
        ("mlflow.{}:5000", 200),
        ("mlflow.{}.svc.cluster.local:5000", 200),
        ("localhost:1234", 200),
        ("evil.example", 403),
        ("mlflow.evil.example", 403),
    ],
)
def test_mlflow_answers_to_its_own_names_only(ask, namespace, host, status):
    """A page that points its own name at the server (DNS rebinding) gets nothing."""
    request = get("/api/2.0/mlflow/experiments/search?max_results=1", host=host.format(namespace))
    assert ask(request, host=f"mlflow.{namespace}", port=5000)[0] == status


@pytest.mark.timeout(400)
def test_models_survive_new_pods_and_a_new_password(platform, namespace, models):
    """Runs, artifacts and versions are on the volumes; a changed Secret locks nobody out."""
    core = client.CoreV1Api()
    mlflow(models, namespace, "logs", LOG)
    core.patch_namespaced_secret("mlflow", namespace, {"stringData": {"password": "a'b\\c \"$x` é"}})
    before = {part: pods(namespace, part) for part in ("postgres", "mlflow")}
    for found in before.values():
        core.delete_namespaced_pod(*found.values(), namespace)
    for part, found in before.items():
        replaced(namespace, part, found)
    assert mlflow(models, namespace, "reads", READ)[-1] == "0.5 kept"


def test_mlflows_role_has_its_own_database_only(platform, namespace):
    """Whoever gets into MLflow does not get at what else is in PostgreSQL."""
    (pod,) = pods(namespace, "mlflow").values()
    assert execute(namespace, pod, ["python", "-c", ROLE], container="mlflow").splitlines() == [
        "False",
        'permission denied for database "postgres"',
        'permission denied for database "template1"',
    ]


def test_a_request_reaches_its_release(ask):
    """Path, query, body and Host arrive; what a client says of its own address does not."""
    lies = ("X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6")
    lies += ("X-Forwarded-Prefix: /evil", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "Content-Length: 5")
    status, _, body = ask(get("/models/echo/predict?a=b%20c", *lies), padding=5)
    seen = json.loads(body)
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert status == 200
    assert (seen["line"], seen["length"]) == ("GET /predict?a=b%20c HTTP/1.1", 5)
    assert headers["host"] == headers["x-forwarded-host"] == "models.example:8080"
    assert headers["x-forwarded-prefix"] == "/models/echo"
    assert headers["x-forwarded-proto"] == "http"
    assert "6.6.6.6" not in body
    assert not headers.keys() & {"forwarded", "x-forwarded-port"}
    assert headers["connection"] == "close"


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("", "/"),
        ("a%20b", "/a%20b"),
        ("a%0d%0aX-Evil:%201", "/a%0D%0AX-Evil:%201"),
        ("a%3Fb%23c%25d", "/a%3Fb%23c%25d"),
        ("v2//models/./x/../y", "/v2/models/y"),
        ("v2%2fmodels/%2e%2e/x", "/v2/x"),
        ("%C3%A9?q=%0d%0a", "/%C3%A9?q=%0d%0a"),
    ],
)
def test_a_path_goes_on_escaped(ask, sent, arrives):
    """A line break or a space in a path stays part of it: nobody writes headers into the next request."""
    _, _, body = ask(get(f"/models/echo/{sent}"))
    assert json.loads(body)["line"] == f"GET {arrives} HTTP/1.1"


@pytest.mark.parametrize(
    "path",
    [
        "metrics",
        "metrics/",
        "METRICS",
        "%6detrics",
        "/metrics",
        "./metrics",
        "x/../metrics",
        "x/%2e%2e/metrics",
        "metrics%0a",
        "metrics%2f",
        "metrics?x",
        "metrics%3f",
        "metrics/x",
        "metrics;x",
        "%2fmetrics",
    ],
)
def test_metrics_are_not_forwarded(ask, path):
    """Prometheus asks pods; the world is not told what a release does, in no spelling."""
    refused(ask(get(f"/models/echo/{path}")), 404, "path")


@pytest.mark.parametrize(
    "path",
    (
        "/models /models/ /echo/ /models/Echo/ /models/-echo/ /models/echo-/ /models/e.cho/x /models/echo-online.x/"
        " /models/echo%0a/ /models/echo%2e/ /models/echo:81/ /models/a_b/ /../x /models/%2e%2e/echo/ /models/echo%23/"
        f" /models/echo@evil.example/ /healthz/ /models/{'a' * 41}/"
    ).split(),
)
def test_only_releases_are_reached(ask, path):
    """What is no release's name is no host name either."""
    status, *_ = answer = ask(get(path))
    refused(answer, status, "http" if status == 400 else "path")
    assert status in (400, 404)


@pytest.mark.parametrize("name", ["kubernetes", "postgres", "mlflow", "a" * 40])
def test_a_release_that_is_not_there_is_404(ask, name):
    """Other Services are no releases, and a typing error is the client's."""
    assert refused(ask(get(f"/models/{name}/")), 404, "path")["got"] == f"{name}, which no release has"


def test_a_release_without_pods_is_502(ask):
    """It is there and does not answer: worth another try."""
    answer = ask(get("/models/empty/"))
    refused(answer, 502, "busy")
    assert answer[1]["retry-after"] == "5"


@pytest.mark.parametrize(
    ("request_", "status", "rule"),
    [
        (get("/models/echo/", "Content-Length: 10485761"), 413, "too_large"),
        (get("/models/echo/" + "x" * 9000), 414, "too_large"),
        (get("/models/echo/", "X-Long: " + "x" * 9000), 431, "too_large"),
        (get("/models/echo/ x"), 400, "http"),
        (get("/models/echo/%00"), 400, "http"),
        (get("/models/echo/%zz"), 400, "http"),
        (get("/models/echo/", host="a b"), 400, "http"),
        (get("/models/echo/", "Host: second"), 400, "http"),
        (get("/models/echo/", "Transfer-Encoding: gzip"), 501, "http"),
        (get("/models/echo/").replace("GET", "TRACE"), 405, "method"),
    ],
)
def test_bad_requests_get_json(ask, request_, status, rule):
    """A program reads one form of error, whoever refuses."""
    refused(ask(request_), status, rule)


def test_a_missing_slash_is_added(ask):
    """Relative links of a release's page work; the answer names no host, so it is right behind any."""
    status, headers, _ = ask(get("/models/echo?a=b"))
    assert (status, headers["location"]) == (308, "/models/echo/?a=b")


def test_the_front_page_is_at_the_root(ask):
    """The gateway's own address answers a person who does not know more (test_front_page.py)."""
    status, headers, body = ask(get("/"))
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "trifold deploy NAME@alias" in body


def test_the_topics_of_the_values_are_there(platform, namespace):
    """Made by a Job, in a namespace that denies what the chart's policies do not allow."""
    program = "java -cp '/opt/kafka/libs/*' org.apache.kafka.tools.TopicCommand --bootstrap-server 127.0.0.1:9095"
    said = execute(namespace, "kafka-0", ["sh", "-c", f"{program} --describe --topic rides"])
    assert "PartitionCount: 2" in said


def test_the_same_values_again_change_no_pod(platform, namespace):
    """`make up` twice restarts nothing."""
    before = pods(namespace)
    platform()
    assert pods(namespace) == before
    assert len(before) == len(PARTS)


def test_a_rollout_of_the_gateway_loses_no_request(ask, namespace, models):
    """A pod of the gateway leaves its Service before it ends."""
    before = pods(namespace, "gateway")
    again = {"spec": {"template": {"metadata": {"annotations": {"trifold.dev/again": secrets.token_hex(4)}}}}}
    trickle = kube.pod("trickle", ["python", "-c", TRICKLE, f"gateway.{namespace}", "20"])
    kube.start(models, trickle)
    client.AppsV1Api().patch_namespaced_deployment("gateway", namespace, again)
    replaced(namespace, "gateway", before)

    def ended():
        seen = client.CoreV1Api().read_namespaced_pod("trickle", models)
        return seen.status.phase == "Succeeded", seen.status

    kube.wait("the trickle ended", ended)
    count, failed = json.loads(client.CoreV1Api().read_namespaced_pod_log("trickle", models))
    assert failed == []
    assert count > 200
    (gone,) = before.values()
    left = [pod.metadata.name for pod in client.CoreV1Api().list_namespaced_pod(namespace).items]
    assert gone not in left, "the old pod ended only after the trickle"
