"""Jobs in the cluster: found, started, followed, removed."""

import json
import time
from collections.abc import Sequence

from kubernetes import client
from kubernetes.client import ApiException

from trifold.errors import DeployError
from trifold.ops import kube
from trifold.ops.batch import BatchJob, Json
from trifold.ops.helm import Target
from trifold.ops.job_states import DONE, FAILED, GONE, RUNNING, STUCK, Seen, failed_pod, shards, state, why
from trifold.ops.kube import Object
from trifold.ops.releases import releases

POLL_SECONDS = 0.5
LOST_SECONDS = 60
"""How long the cluster may not answer while a Job is followed."""
POD_SECONDS = 15
"""After which a Job without a pod, of whom the cluster warns, will not get one."""
GONE_SECONDS = 120


def find(target: Target, name: str = "") -> list[BatchJob]:
    """A release's batch jobs, or the one of a name.

    Raises:
        DeployError: There is no such release or job.
    """
    batch: Object = client.BatchV1Api()
    selector = f"{kube.BATCH},app.kubernetes.io/instance={target.release}"
    with kube.asked(f"show the jobs of {target.release}"):
        answer = batch.list_namespaced_cron_job(
            target.namespace, label_selector=selector, _request_timeout=10, _preload_content=False
        )  # raw, since fields that this client does not know would be lost
    found = sorted(map(BatchJob.of, json.loads(answer.data)["items"]), key=lambda job: job.name)
    if not found:
        if target.release in [one.name for one in releases(target.namespace)]:
            raise DeployError(
                f"Release {target.release} has no batch jobs; set batch.enabled and batch.jobs in its values."
            )
        raise DeployError(f"There is no release {target.release} in {target.namespace}; `trifold status` lists them.")
    chosen = [job for job in found if name in ("", job.name)]
    if not chosen:
        names = ", ".join(job.name for job in found)
        raise DeployError(f"Release {target.release} has no job {name!r}; it has {names}.")
    return chosen


def start(target: Target, manifest: Json) -> "Following":
    """Make a Job; one of its name that has ended is removed first, and one that is active goes on instead.

    Raises:
        DeployError: The cluster refuses it, or the one that is active does less than this one would.
    """
    name = manifest["metadata"]["name"]
    ends = time.monotonic() + GONE_SECONDS
    while time.monotonic() < ends:
        there = read(target, name)
        if there is None:
            if _create(target, manifest):
                return Following(target, name, new=True)
        elif not there.metadata.deletion_timestamp:
            if state(there) == RUNNING:
                _require_same(there, manifest)
                return Following(target, name, new=False)
            remove(target, name, uid=there.metadata.uid, wait=True)
        time.sleep(POLL_SECONDS)
    raise DeployError(f"Job {name} has ended but does not go away; kubectl -n {target.namespace} describe job {name}")


def read(target: Target, name: str) -> Object | None:
    """A Job; None if there is none.

    Raises:
        DeployError: The cluster does not answer.
    """
    batch: Object = client.BatchV1Api()
    with kube.asked(f"show Job {name}"):
        try:
            return batch.read_namespaced_job(name, target.namespace, _request_timeout=10)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


def owned(target: Target, jobs: Sequence[BatchJob]) -> list[tuple[BatchJob, Object]]:
    """The Jobs in the cluster that were made from some CronJobs, each with what it was made from."""
    batch: Object = client.BatchV1Api()
    with kube.asked(f"show the Jobs of {target.release}"):
        found = batch.list_namespaced_job(target.namespace, _request_timeout=10).items
    by_uid = {job.cron["metadata"]["uid"]: job for job in jobs}
    pairs = ((owner.uid, one) for one in found for owner in one.metadata.owner_references or ())
    return [(by_uid[uid], one) for uid, one in pairs if uid in by_uid]


def pods(target: Target, job: Object) -> list[Object]:
    """A Job's pods, the oldest first."""
    core: Object = client.CoreV1Api()
    selector = f"batch.kubernetes.io/controller-uid={job.metadata.uid}"
    with kube.asked(f"show the pods of Job {job.metadata.name}"):
        found = core.list_namespaced_pod(target.namespace, label_selector=selector, _request_timeout=10).items
    return sorted(found, key=lambda pod: pod.metadata.creation_timestamp)


def remove(target: Target, name: str, *, uid: str = "", wait: bool = False) -> None:
    """Remove a Job with its pods; that there is none, or by now another, is well.

    Args:
        target: Where it is.
        name: Its name.
        uid: Which one of the name; empty: any.
        wait: The Job stays until its pods are gone, so that none meets those of the next one.
    """
    options = {"propagationPolicy": "Foreground" if wait else "Background"}
    body = {**options, "preconditions": {"uid": uid}} if uid else options
    batch: Object = client.BatchV1Api()
    with kube.asked(f"remove Job {name}"):
        try:
            batch.delete_namespaced_job(name, target.namespace, body=body, _request_timeout=10)
        except ApiException as error:
            if error.status not in (404, 409):
                raise


class Following:
    """A Job under way.

    Attributes:
        name: Its name.
        new: Whether it was made for this.
    """

    def __init__(self, target: Target, name: str, *, new: bool) -> None:
        self.name = name
        self.new = new
        self._target = target
        self._started = self._well = self._answered = time.monotonic()
        self._seen = Seen(RUNNING)

    def look(self) -> Seen:
        """How it is now; for a minute that the cluster does not answer, how it was.

        Raises:
            DeployError: The cluster does not answer for longer.
        """
        try:
            with kube.asked(f"show Job {self.name}"):
                self._seen = self._look()
            self._answered = time.monotonic()
        except DeployError:
            if time.monotonic() - self._answered > LOST_SECONDS:
                raise
        return self._seen

    def _look(self) -> Seen:
        job = read(self._target, self.name)
        if job is None or (state(job) == RUNNING and job.metadata.deletion_timestamp):
            return Seen(GONE, "its Job was removed before it was seen to end")
        now = state(job)
        if now == DONE:
            return Seen(DONE)
        found = pods(self._target, job)
        if now == FAILED:
            pod = failed_pod(job, found)
            return Seen(FAILED, f"failed, {why(job, found)}", kube.indented(kube.log(self._target, pod) if pod else []))
        return self._stuck(found) or Seen(RUNNING, shards(job, found))

    def _stuck(self, found: Sequence[Object]) -> Seen | None:
        """Whether it waits for what time will not mend; then it is given up."""
        patience = kube.patience(found)
        if patience is None:
            self._well = time.monotonic()
        elif time.monotonic() - self._well >= patience:
            return self._give_up("its pods do not start", kube.last_words(self._target, found))
        if not found and time.monotonic() - self._started > POD_SECONDS:
            warned = kube.events(self._target, self.name)
            if warned:
                return self._give_up("the cluster gives it no pods", kube.indented(warned[-1:]))
        return None

    def _give_up(self, reason: str, words: str) -> Seen:
        end = f"kubectl -n {self._target.namespace} delete job {self.name} ends it"
        if self.new:
            remove(self._target, self.name)
            end = "the Job was removed"
        return Seen(STUCK, f"{reason}; {end}", words)


def _create(target: Target, manifest: Json) -> bool:
    batch: Object = client.BatchV1Api()
    with kube.asked(f"take Job {manifest['metadata']['name']}"):
        try:
            batch.create_namespaced_job(target.namespace, manifest, _request_timeout=10)
        except ApiException as error:
            if error.status == 409:  # somebody was faster
                return False
            raise
    return True


def _require_same(there: Object, manifest: Json) -> None:
    """Whoever asks to replace a slot must not be told that it is done by a Job that does not."""
    container, asked = there.spec.template.spec.containers[0], manifest["spec"]["template"]["spec"]["containers"][0]
    words = [*(container.command or ()), *(container.args or ())]
    wanted = [*asked.get("command", ()), *asked.get("args", ())]
    if "--replace" in wanted and "--replace" not in words:
        name = there.metadata.name
        raise DeployError(
            f"Job {name} is active and does not replace anything; wait until it has ended, then ask again."
        )
