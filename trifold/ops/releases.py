"""The releases of a namespace, as `trifold status` lists them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from kubernetes import client

from trifold.ops import streams
from trifold.ops.helm import Target
from trifold.ops.kube import BATCH, JOB, MODELS, Object, asked

STREAM = "stream"
MOST_ASKED = 8


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
        schedule: Of a batch job: its name, when it fires, and when a run of it last ended well.
        job: The batch job's name.
        behind: Of a stream: its lag, and why it stands still if it does.
    """

    name: str
    mode: str
    model: str
    version: str
    digest: str
    ready: int
    pods: int
    updated: int
    schedule: str = ""
    job: str = ""
    behind: str = ""


def releases(namespace: str) -> list[Release]:
    """All releases of the namespace, by name; a line for each mode, and in batch for each job.

    Raises:
        DeployError: The cluster does not answer.
    """
    apps: Object = client.AppsV1Api()
    batch: Object = client.BatchV1Api()
    with asked(f"show the releases in {namespace}"):
        online = apps.list_namespaced_deployment(namespace, label_selector=MODELS, _request_timeout=10)
        jobs = batch.list_namespaced_cron_job(namespace, label_selector=BATCH, _request_timeout=10)
    found = [*map(_release, online.items), *map(_release_of_job, jobs.items)]
    return sorted(found, key=lambda release: (release.name, release.mode, release.schedule))


def with_lag(found: Sequence[Release], namespace: str, context: str | None) -> list[Release]:
    """The same with what each stream's consumers say of themselves; they are asked all at once.

    Raises:
        DeployError: The cluster does not answer.
    """
    names = [release.name for release in found if release.mode == STREAM]
    with ThreadPoolExecutor(MOST_ASKED) as pool:
        said = dict(
            zip(names, pool.map(lambda name: streams.behind(Target(name, namespace, context)), names), strict=True)
        )
    return [replace(one, behind=said[one.name]) if one.mode == STREAM else one for one in found]


def readiness(release: Release) -> str:
    """How many pods are ready, and whether an upgrade is under way; of a batch job, its schedule."""
    if release.schedule:
        return release.schedule
    under_way = f", {release.updated} of them new" if release.updated < max(release.pods, release.ready) else ""
    return f"{release.ready} of {release.pods}{under_way}{f'; {release.behind}' if release.behind else ''}"


def _release(deployment: Object) -> Release:
    return Release(
        **_identity(deployment),
        ready=deployment.status.ready_replicas or 0,
        pods=deployment.spec.replicas or 0,
        updated=deployment.status.updated_replicas or 0,
    )


def _release_of_job(cron: Object) -> Release:
    spec, last = cron.spec, cron.status.last_successful_time
    zone = spec.time_zone or "Etc/UTC"
    name = cron.metadata.labels.get(JOB, cron.metadata.name)
    ended = f"last {last.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" if last else "not run yet"
    schedule = f"{name}: {spec.schedule} {zone}, {ended}{', suspended' if spec.suspend else ''}"
    return Release(**_identity(cron), ready=0, pods=0, updated=0, schedule=schedule, job=name)


def _identity(found: Object) -> dict[str, str]:
    labels, notes = found.metadata.labels, found.metadata.annotations or {}
    return {
        "name": labels["app.kubernetes.io/instance"],
        "mode": labels["app.kubernetes.io/component"],
        "model": notes.get("trifold.dev/model", "?"),
        "version": notes.get("trifold.dev/model-version", "?"),
        "digest": notes.get("trifold.dev/digest", "?"),
    }
