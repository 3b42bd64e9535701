"""What the cluster says of a release: its namespace, its pods and their last words."""

from collections.abc import Sequence
from dataclasses import dataclass
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

Object = Any
"""An object of the Kubernetes client: its stubs call every field optional, though the API server fills them in."""


@dataclass(frozen=True)
class Release:
    """One line of `trifold status`.

    Attributes:
        name: The release.
        mode: online, batch or stream.
        model: The registered model's name.
        version: Its version.
        digest: Its digest.
        ready: Pods that are ready.
        pods: Pods that are wanted.
        updated: Pods that run this version already.
    """

    name: str
    mode: str
    model: str
    version: str
    digest: str
    ready: int
    pods: int
    updated: int


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


def releases(namespace: str) -> list[Release]:
    """All releases of the namespace, by name.

    Raises:
        DeployError: The cluster does not answer.
    """
    try:
        found: Object = client.AppsV1Api().list_namespaced_deployment(
            namespace, label_selector=MODELS, _request_timeout=10
        )
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise DeployError(f"The cluster does not show the releases in {namespace}: {_reason(error)}") from error
    return sorted(map(_release, found.items), key=lambda release: (release.name, release.mode))


def readiness(release: Release) -> str:
    """How many pods are ready, and whether an upgrade is under way."""
    under_way = f", {release.updated} of them new" if release.updated < max(release.pods, release.ready) else ""
    return f"{release.ready} of {release.pods}{under_way}"


def pods(target: Target) -> dict[str, Object]:
    """The release's pods by their uid, those of `helm test` left out.

    Raises:
        DeployError: The cluster does not answer.
    """
    selector = f"{MODELS},app.kubernetes.io/instance={target.release},app.kubernetes.io/component!=test"
    core: Object = client.CoreV1Api()
    try:
        found = core.list_namespaced_pod(target.namespace, label_selector=selector, _request_timeout=10)
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise DeployError(f"The cluster does not show the pods of {target.release}: {_reason(error)}") from error
    return {pod.metadata.uid: pod for pod in found.items}


def patience(found: Sequence[Object]) -> int | None:
    """For how many seconds to wait for the pods while they stay as they are; None: nothing is wrong with them yet."""
    return min((HOPELESS[reason] for pod in found for reason, _ in _waiting(pod) if reason in HOPELESS), default=None)


def last_words(target: Target, found: Sequence[Object]) -> str:
    """Why the pods are not ready: states, events and the last lines of a log, indented."""
    waiting = [pod for pod in found if not _is_ready(pod)]
    if not waiting:
        return "\n".join(f"    {line}" for line in _events(target, f"{target.release}-")[-LINES:])
    pod = next((pod for pod in waiting if _waiting(pod)), waiting[-1])
    name = pod.metadata.name
    lines = [f"pod {name}: {reason}{f', {message}' if message else ''}" for reason, message in _waiting(pod)]
    lines += [f"pod {name}: {words}" for words in _ends(pod)]
    log = _log(target, pod)
    if not (lines or log):
        lines += _events(target, name)
    return "\n".join(f"    {line[:300]}" for line in [*(lines or [f"pod {name}: not ready"]), *log][-LINES:])


def _release(deployment: Object) -> Release:
    labels, notes = deployment.metadata.labels, deployment.metadata.annotations or {}
    return Release(
        name=labels["app.kubernetes.io/instance"],
        mode=labels["app.kubernetes.io/component"],
        model=notes.get("trifold.dev/model", "?"),
        version=notes.get("trifold.dev/model-version", "?"),
        digest=notes.get("trifold.dev/digest", "?"),
        ready=deployment.status.ready_replicas or 0,
        pods=deployment.spec.replicas or 0,
        updated=deployment.status.updated_replicas or 0,
    )


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
    return [f"ended with exit code {end.exit_code} ({end.reason})" for end in ended[:1]]


def _is_ready(pod: Object) -> bool:
    return any(found.type == "Ready" and found.status == "True" for found in pod.status.conditions or ())


def _log(target: Target, pod: Object) -> list[str]:
    core: Object = client.CoreV1Api()
    for previous in (False, True):
        try:
            text = core.read_namespaced_pod_log(
                pod.metadata.name, target.namespace, tail_lines=LINES, previous=previous, _request_timeout=10
            )
        except ApiException:  # it never ran, or not before
            continue
        if text.strip():
            return list(text.strip().splitlines())
    return []


def _events(target: Target, start: str) -> list[str]:
    found: Object = client.CoreV1Api().list_namespaced_event(target.namespace, _request_timeout=10)
    ours = [event for event in found.items if event.type == "Warning" and event.involved_object.name.startswith(start)]
    return [f"{event.involved_object.name}: {event.reason}: {event.message}" for event in ours]


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error))[:200]
