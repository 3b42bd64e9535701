"""What the tests of the gateway share: its namespace, raw requests from a pod, and the form of its own answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from kubernetes import client
from kubernetes.stream import stream

from tests.cluster import kube

MANIFESTS = Path(__file__).resolve().parents[2] / "k8s/namespaces/platform.yaml"

ASK = """
import contextlib, json, socket, sys
host, port, request, padding = sys.argv[1:]
with socket.create_connection((host, int(port)), timeout=30) as connection:
    connection.sendall(request.encode("latin-1") + b"x" * int(padding))
    answer = b""
    with contextlib.suppress(ConnectionResetError):  # what it said is there, though it did not read all
        while piece := connection.recv(65536):
            answer += piece
head, _, body = answer.decode("latin-1").partition("\\r\\n\\r\\n")
status, *fields = head.split("\\r\\n")
headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
print(json.dumps([int(status.split()[1]), headers, body]))
"""


@contextmanager
def denying_namespace() -> Iterator[str]:
    """A namespace that denies what its chart does not allow, as the platform's own does."""
    with kube.fresh_namespace() as name:
        for manifest in yaml.safe_load_all(MANIFESTS.read_text()):
            if manifest["kind"] == "NetworkPolicy":
                del manifest["metadata"]["namespace"]
                client.NetworkingV1Api().create_namespaced_network_policy(name, manifest)
        yield name


def send(namespace, request, *, host, port=80, padding=0):
    """Send one raw request from the pod `client`; gives status, headers and body, as JSON where it is declared so."""
    said = execute(namespace, "client", ["python", "-c", ASK, host, str(port), request, str(padding)])
    status, headers, body = json.loads(said)
    return status, headers, json.loads(body) if headers.get("content-type") == "application/json" else body


def get(path, *fields, host="models.example:8080"):
    """A raw GET, one a connection."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", ""])


def execute(namespace, pod, command, container=None):
    """What a command prints in a pod."""
    more = {"container": container} if container else {}
    call = client.CoreV1Api().connect_get_namespaced_pod_exec
    wanted = {"stdout": True, "stderr": True, "stdin": False, "tty": False}
    # Else the client reads JSON as Python and writes it anew.
    answer = stream(call, pod, namespace, command=command, _preload_content=False, **more, **wanted)
    answer.run_forever(timeout=60)
    assert answer.returncode == 0, answer.read_all()
    return answer.read_all()


def refused(answer, status, rule):
    """Whether an answer is the gateway's own, in the form that all of Trifold's errors have."""
    assert answer[0] == status, answer
    assert answer[1]["content-type"] == "application/json"
    (error,) = answer[2]["errors"]
    assert set(error) == {"row", "column", "rule", "expected", "got"}
    assert error["rule"] == rule
    return error
