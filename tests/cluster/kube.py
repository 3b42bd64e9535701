"""What the cluster tests share: pods that may run anywhere, waits that end, and what to look at when a test failed."""

import secrets
import time
from contextlib import contextmanager

from kubernetes import client
from kubernetes.client import ApiException

PYTHON = "trifold/python:dev"
UID = 1034
SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": UID,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
SERVER = ["python", "-m", "http.server", "8080", "--directory", "/etc"]
PORT = 8080


def wait(what, probe, seconds=90):
    """Call `probe` until it gives (True, state); its state is said if it never does. Returns the state."""
    ends = time.monotonic() + seconds
    state = None
    while time.monotonic() < ends:
        done, state = probe()
        if done:
            return state
        time.sleep(0.25)
    raise AssertionError(f"{what}: not after {seconds} s; last seen: {state}")


@contextmanager
def fresh_namespace():
    """A new namespace that enforces Pod Security `restricted`, deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    core = client.CoreV1Api()
    core.create_namespace({"metadata": {"name": name, "labels": {**RESTRICTED, "trifold.dev/test": "true"}}})
    try:
        yield name
    finally:
        core.delete_namespace(name)


def pod(name, command, *, labels=None, node=None, volumes=None, mounts=None, cpu="20m"):
    """A pod that Pod Security `restricted` lets in."""
    container = {
        "name": "main",
        "image": PYTHON,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": SECURITY,
        "resources": {"requests": {"cpu": cpu, "memory": "32Mi"}},
        "volumeMounts": mounts or [],
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "volumes": volumes or [],
        "tolerations": [{"operator": "Exists"}],
    }
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "labels": labels or {"app": name}}, "spec": spec}


def python(code):
    """The command that runs some Python."""
    return ["python", "-c", code]


def start(namespace, manifest):
    """Create a pod and wait until it is ready; returns it."""
    client.CoreV1Api().create_namespaced_pod(namespace, manifest)
    name = manifest["metadata"]["name"]

    def probe():
        seen = client.CoreV1Api().read_namespaced_pod(name, namespace)
        ready = any(found.type == "Ready" and found.status == "True" for found in seen.status.conditions or ())
        return ready, seen

    return wait(f"pod {name} ready", probe)


def finish(namespace, manifest):
    """Create a pod and wait until it ended; returns what it printed, and its exit code."""
    core = client.CoreV1Api()
    core.create_namespaced_pod(namespace, manifest)
    name = manifest["metadata"]["name"]

    def probe():
        seen = core.read_namespaced_pod(name, namespace)
        return seen.status.phase in ("Succeeded", "Failed"), seen

    ended = wait(f"pod {name} ended", probe)
    code = ended.status.container_statuses[0].state.terminated.exit_code
    return core.read_namespaced_pod_log(name, namespace), code


def service(namespace, name, *, node_port=None):
    """A Service for the pods labelled app=NAME."""
    port = {"port": PORT, "targetPort": PORT} | ({"nodePort": node_port} if node_port else {})
    spec = {"selector": {"app": name}, "ports": [port], "type": "NodePort" if node_port else "ClusterIP"}
    return client.CoreV1Api().create_namespaced_service(namespace, {"metadata": {"name": name}, "spec": spec})


def serves(namespace, name):
    """Wait until a Service has an address behind it."""

    def probe():
        slices = client.DiscoveryV1Api().list_namespaced_endpoint_slice(
            namespace, label_selector=f"kubernetes.io/service-name={name}"
        )
        found = [address for item in slices.items for point in item.endpoints or () for address in point.addresses]
        return bool(found), found

    wait(f"Service {name} has an address", probe)


FETCH = """
import time, urllib.request
ends = time.monotonic() + {seconds}
while True:
    try:
        said = str(urllib.request.urlopen({url!r}, timeout={timeout}).status)
    except OSError as error:
        said = type(getattr(error, "reason", error)).__name__
    if (said == "200") == {reached} or time.monotonic() > ends:
        break
    time.sleep(0.2)
print(said)
"""


def fetch(namespace, url, *, reached=True, seconds=20, timeout=5, name="client", node=None):
    """Ask a URL from a pod until it is reached (or, if that is wanted, no longer is): "200", or the error's name.

    kube-proxy and network plugins take a moment to follow what the API server says; one try would tell nothing.
    """
    code = FETCH.format(url=url, reached=reached, seconds=seconds, timeout=timeout)
    said, _ = finish(namespace, pod(name, python(code), node=node))
    return said.strip()


def report(namespace):
    """Events, pods and logs of a namespace, for a failed test's report."""
    core = client.CoreV1Api()
    lines = [
        f"{event.last_timestamp or event.event_time} {event.involved_object.kind}/{event.involved_object.name}"
        f" {event.reason}: {event.message}"
        for event in core.list_namespaced_event(namespace).items
    ]
    for found in core.list_namespaced_pod(namespace).items:
        name = found.metadata.name
        lines.append(f"pod {name}: {found.status.phase} {found.status.container_statuses or found.status.conditions}")
        try:
            lines.append(core.read_namespaced_pod_log(name, namespace, tail_lines=20) or "(no log)")
        except ApiException as error:
            lines.append(f"(no log: {error.reason})")
    return "\n".join(lines)
