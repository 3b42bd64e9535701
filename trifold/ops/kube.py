"""What the cluster says of a release: its namespace, its pods and their last words."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import kubernetes
import urllib3
from kubernetes import client
from kubernetes.client import ApiException

from trifold.errors import DeployError
from trifold.ops.helm import Target
from trifold.ops.home import ROOT

ENFORCE = "pod-security.kubernetes.io/enforce"
MODELS = "app.kubernetes.io/name=model-serving"
BATCH = f"{MODELS},app.kubernetes.io/component=batch"
RUNNING = "app.kubernetes.io/component notin (test,test-batch,test-stream,migrate-stream)"
JOB = "trifold.dev/job"
"""The label that has a batch job's name in the values."""
HOPELESS = {
    "CrashLoopBackOff": 0,
    "CreateContainerConfigError": 0,
    "ErrImageNeverPull": 0,
    "ErrImagePull": 12,
    "ImagePullBackOff": 12,
    "InvalidImageName": 0,
}
"""Reasons for which a container waits that time hardly mends, and for how many seconds to hope all the same: an image
is asked for again after 10."""
LINES = 12
KILLED = 137
"""The exit code of a container that was killed."""

Object = Any
"""An object of the Kubernetes client: its stubs call every field optional, though the API server fills them in."""


def connect(context: str | None) -> None:
    """Point the client at a cluster.

    Raises:
        DeployError: There is no kubeconfig, or no such context.
    """
    try:
        load: Any = kubernetes.config.load_kube_config
        load(context=context)
    except kubernetes.config.ConfigException as error:
        hint = 'set KUBECONFIG or TRIFOLD_CONTEXT; after `make cluster`: eval "$(make -s env)"'
        raise DeployError(f"No cluster is configured ({error}); {hint}.") from error
    # A dead cluster is said at once, not after the client's minutes of trying.
    configuration = client.Configuration.get_default_copy()
    configuration.retries = urllib3.Retry(total=1, connect=1, read=0)
    client.Configuration.set_default(configuration)


def require_namespace(target: Target) -> None:
    """Make sure that the namespace is there and refuses pods that break Pod Security `restricted`.

    Raises:
        DeployError: It is not, or does not, or the cluster does not answer.
    """
    manifest = (ROOT / "k8s/namespaces/models.yaml").relative_to(ROOT)
    try:
        found: Object = client.CoreV1Api().read_namespace(target.namespace, _request_timeout=10)
    except ApiException as error:
        if error.status != 404:
            raise DeployError(f"The cluster refuses to show namespace {target.namespace}: {error.reason}.") from error
        raise DeployError(
            f"There is no namespace {target.namespace}; `make cluster` makes models, or: kubectl apply -f {manifest}"
        ) from error
    except urllib3.exceptions.HTTPError as error:
        raise DeployError("The cluster does not answer; is it up, and KUBECONFIG the right one?") from error
    level = (found.metadata.labels or {}).get(ENFORCE)
    if level != "restricted":
        mend = f"kubectl label namespace {target.namespace} {ENFORCE}=restricted --overwrite"
        raise DeployError(
            f"Namespace {target.namespace} does not enforce Pod Security restricted "
            f"({ENFORCE} is {level or 'not set'}): {mend}"
        )


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Around a question to the cluster: what goes wrong is a sentence.

    Raises:
        DeployError: The cluster refused it, or does not answer.
    """
    try:
        yield
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise DeployError(f"The cluster does not {what}: {_reason(error)}") from error


def pods(target: Target) -> dict[str, Object]:
    """The release's pods by their uid, those of `helm test` and of batch jobs left out.

    Raises:
        DeployError: The cluster does not answer.
    """
    selector = f"{MODELS},app.kubernetes.io/instance={target.release},{RUNNING},!{JOB}"
    core: Object = client.CoreV1Api()
    with asked(f"show the pods of {target.release}"):
        found = core.list_namespaced_pod(target.namespace, label_selector=selector, _request_timeout=10)
    return {pod.metadata.uid: pod for pod in found.items}


def patience(found: Sequence[Object]) -> int | None:
    """For how many seconds to wait for the pods while they stay as they are; None: nothing is wrong with them yet."""
    return min((HOPELESS[reason] for pod in found for reason, _ in _waiting(pod) if reason in HOPELESS), default=None)


def last_words(target: Target, found: Sequence[Object]) -> str:
    """Why the pods are not ready: states, events and the last lines of a log, indented."""
    waiting = [pod for pod in found if not _is_ready(pod)]
    if not waiting:
        return indented(events(target, f"{target.release}-")[-LINES:])
    pod = next((pod for pod in waiting if _waiting(pod)), waiting[-1])
    name = pod.metadata.name
    lines = [f"pod {name}: {reason}{f', {message}' if message else ''}" for reason, message in _waiting(pod)]
    lines += [f"pod {name}: {words}" for words in _ends(pod)]
    words = log(target, pod)
    if not (lines or words):
        lines += events(target, name)
    return indented([*(lines or [f"pod {name}: not ready"]), *words][-LINES:])


def indented(lines: Sequence[str]) -> str:
    """Lines that stand under a sentence."""
    return "\n".join(f"    {line[:300]}" for line in lines)


def log(target: Target, pod: Object, lines: int | None = LINES) -> list[str]:
    """The last lines of a pod's log, or of the container's that ran before; none if neither said anything."""
    core: Object = client.CoreV1Api()
    for previous in (False, True):
        try:
            # Raw: the client would take a line of JSON for an object, and give its Python form.
            answer = core.read_namespaced_pod_log(
                pod.metadata.name, target.namespace, previous=previous, _request_timeout=10, _preload_content=False,
                **({} if lines is None else {"tail_lines": lines}),
            )  # fmt: skip
        except ApiException:  # it never ran, or not before
            continue
        text = answer.data.decode(errors="replace").strip()
        if text:
            return list(text.splitlines())
    return []


def events(target: Target, start: str) -> list[str]:
    """What the cluster warned of objects whose name starts so."""
    found: Object = client.CoreV1Api().list_namespaced_event(target.namespace, _request_timeout=10)
    ours = [event for event in found.items if event.type == "Warning" and event.involved_object.name.startswith(start)]
    return [f"{event.involved_object.name}: {event.reason}: {event.message}" for event in ours]


def _waiting(pod: Object) -> list[tuple[str, str]]:
    states = [found.state.waiting for found in pod.status.container_statuses or () if found.state.waiting]
    return [(state.reason or "", state.message or "") for state in states if state.reason != "ContainerCreating"]


def _ends(pod: Object) -> list[str]:
    ended = [
        part.terminated
        for found in pod.status.container_statuses or ()
        for part in (found.state, found.last_state)
        if part and part.terminated
    ]
    return [f"ended with exit code {end.exit_code} ({end.reason}){_hint(end)}" for end in ended[:1]]


def _hint(end: Object) -> str:
    """What to do about an end; of a kill the kubelet does not always see that memory was the reason."""
    if end.exit_code != KILLED:
        return ""
    return ": out of memory, most often; raise resources.limits.memory"


def _is_ready(pod: Object) -> bool:
    return any(found.type == "Ready" and found.status == "True" for found in pod.status.conditions or ())


def _reason(error: Exception) -> str:
    try:
        said = json.loads(getattr(error, "body", None) or "")["message"]
    except (KeyError, TypeError, ValueError):
        said = getattr(error, "reason", error)
    return str(said)[:300]
