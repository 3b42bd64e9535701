"""Rolling updates under load: no request fails, and every answer comes from a version that was live.

`make test` has the short form; TRIFOLD_PROVE=1 (`make prove-rollout`) the campaign: 20 rollouts at 200 requests a
second, then pods killed with SIGKILL, in both ways that there are.
"""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import kube, load, releases
from trifold.ops.helm import Target

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(2400)]
PROVE = os.environ.get("TRIFOLD_PROVE") == "1"
RATE = 200 if PROVE else 100
REQUESTS = 130_000 if PROVE else 6_000
ROLLOUTS = 20 if PROVE else 1
KILLS = 20 if PROVE else 1
KILL_SECONDS = 15
VALUES = {"online": {"autoscaling": {"enabled": False}, "replicas": 2}}
GATEWAY = "http://gateway.platform/models/{release}/predict"
SETTLE_SECONDS = 60
OPEN = {
    "metadata": {"name": "load"},
    "spec": {
        "podSelector": {"matchLabels": {"trifold.dev/load": "true"}},
        "policyTypes": ["Egress"],
        "egress": [{}],
    },
}
"""Lets the load out to the gateway."""


@dataclass
class Period:
    """A stretch of time and the versions that were live in it."""

    begins: float
    versions: set
    ends: float = float("inf")


@dataclass
class Release:
    """The release under load, with the lock files of its two versions."""

    trifold: object
    namespace: str
    locks: list
    values: Path
    periods: list = field(default_factory=list)

    @property
    def target(self):
        """Where it is."""
        return Target(releases.NAME, self.namespace, os.environ.get("TRIFOLD_CONTEXT"))

    def install(self, number):
        """Deploy one of the versions by Helm; the others' pods are gone when it returns."""
        command = self.target.upgrade([self.locks[number], self.values], 180)
        done = subprocess.run(command, env=self.trifold.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        releases.settled(releases.NAME, self.namespace)

    def roll_out(self, number, before):
        """Replace one version by the other, and keep when both and when only the new one was live."""
        images = {pod.spec.containers[0].image for pod in releases.pods(releases.NAME, self.namespace)}
        self.begin({str(before + 1), str(number + 1)})
        self.install(number)
        self.begin({str(number + 1)})
        new = {pod.spec.containers[0].image for pod in releases.pods(releases.NAME, self.namespace)}
        assert len(new) == 1
        assert new.isdisjoint(images), "no change of image was seen, so the rollout is void"

    def begin(self, versions):
        """From now on these versions are live."""
        now = time.time()
        if self.periods:
            self.periods[-1].ends = now
        self.periods.append(Period(now, versions))


@pytest.fixture(scope="module")
def release(trifold, light, request, tmp_path_factory):
    """Version 1, with two pods; in the campaign in namespace models, so that the gateway is asked as well."""
    folder = tmp_path_factory.mktemp("rollout")
    behind_gateway = PROVE and gateway_is_there()
    models = "models" if behind_gateway else request.getfixturevalue("models")
    locks = []
    for number, address in enumerate(light):
        locks.append(folder / f"v{number + 1}.lock.yaml")
        said = trifold("build", address, "--lock", locks[-1], folder=folder)
        trifold.cluster.run("load", said.split()[-2])
    made = Release(trifold, models, locks, releases.values(folder, **VALUES))
    made.install(0)
    client.NetworkingV1Api().create_namespaced_network_policy(models, OPEN)
    yield made
    if behind_gateway:
        trifold("undeploy", releases.NAME, "-n", models, folder=folder)
        core = client.CoreV1Api()
        core.delete_collection_namespaced_pod(models, label_selector="trifold.dev/load=true")
        client.NetworkingV1Api().delete_namespaced_network_policy("load", models)


class Load:
    """A pod that sends requests; `result` waits for its end."""

    def __init__(self, release, requests, rate):
        """Start it, and wait until it sends."""
        name = f"load-{time.time_ns()}"
        row = {f"x{number}": number / 10 for number in range(20)}
        addresses = [f"http://{releases.NAME}-online/predict"]
        if release.namespace == "models":
            addresses.append(GATEWAY.format(release=releases.NAME))
        command = ["python", "-c", Path(load.__file__).read_text(), str(requests), str(rate)]
        command += [json.dumps({"rows": [row]}), *addresses]
        # The labels of the release's own test pod, which its policies let through.
        labels = {
            "app.kubernetes.io/name": "model-serving",
            "app.kubernetes.io/instance": releases.NAME,
            "app.kubernetes.io/component": "test",
            "trifold.dev/load": "true",
        }
        manifest = kube.pod(name, command, labels=labels, cpu="100m")
        manifest["spec"]["containers"][0]["resources"]["requests"]["memory"] = "128Mi"
        kube.start(release.namespace, manifest)
        self.name, self.namespace, self.seconds = name, release.namespace, requests / rate

    def result(self):
        """What it printed."""
        core = client.CoreV1Api()

        def probe():
            phase = core.read_namespaced_pod(self.name, self.namespace).status.phase
            return phase in ("Succeeded", "Failed"), phase

        assert kube.wait("the load has ended", probe, seconds=self.seconds + 60) == "Succeeded"
        return json.loads(core.read_namespaced_pod_log(self.name, self.namespace).splitlines()[-1])

    def runs(self):
        """Whether it still sends."""
        return client.CoreV1Api().read_namespaced_pod(self.name, self.namespace).status.phase == "Running"


def gateway_is_there():
    """Whether the platform has a gateway that could be asked as well."""
    found = client.CoreV1Api().list_namespaced_service("platform", field_selector="metadata.name=gateway")
    return bool(found.items)


def report(what, said, requests):
    """Print the figures of a campaign; gives the share of requests that were answered."""
    failed = len(said["failures"])
    print(
        f"\n{what}: {requests} requests in {said['took']:.0f} s, {failed} failed,"
        f" p50 {said['seconds']['p50'] * 1000:.1f} ms, p99 {said['seconds']['p99'] * 1000:.1f} ms"
    )
    for line in said["failures"][:20]:
        print("  ", line)
    return 1 - failed / requests


def wrong_versions(said, periods):
    """Answers of a version that was not live in the whole tenth of a second in which the request was sent."""
    wrong = []
    for bucket, counts in said["answers"].items():
        begins = int(bucket) * load.BUCKET
        live = set().union(
            *(period.versions for period in periods if period.begins <= begins + load.BUCKET and begins <= period.ends)
        )
        wrong += [(begins, version, count) for version, count in counts.items() if version not in live]
    return wrong


def test_rollouts_under_load_fail_no_request(release):
    """20 rollouts that alternate two versions, without a failed request and without an answer of a version not live."""
    current = 0 if releases.served(releases.NAME, release.namespace)["version"] == "1" else 1
    release.periods.clear()
    release.begin({str(current + 1)})
    running = Load(release, REQUESTS, RATE)
    for _ in range(ROLLOUTS):
        release.roll_out(1 - current, current)
        current = 1 - current
        assert running.runs(), "the load ended before the rollouts did, so they are void"
    said = running.result()
    report(f"{ROLLOUTS} rollouts", said, REQUESTS)
    assert said["failures"] == []
    assert wrong_versions(said, release.periods) == []
    assert sum(count for counts in said["answers"].values() for count in counts.values()) == REQUESTS


def test_a_broken_version_fails_no_request_and_goes_back(release, tmp_path):
    """A model that does not load never gets a request; the version that served serves all of them."""
    version = releases.served(releases.NAME, release.namespace)["version"]
    broken = releases.values(tmp_path, "broken.yaml", model={"digest": "0" * 64})
    count = 3_000
    running = Load(release, count, 100)
    from trifold.errors import DeployError
    from trifold.ops.deploy import deploy

    environment = release.trifold.environment
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(DeployError, match=r"did not become ready\. Revision \d+ is back"):
            deploy(release.target, [release.locks[int(version) - 1], release.values, broken], 60)
    assert running.runs(), "the load ended before the deployment did"
    said = running.result()
    report("a broken version", said, count)
    assert said["failures"] == []
    assert {version for counts in said["answers"].values() for version in counts} == {version}


def killed_by_the_api(release):
    """Delete a pod without grace, as an operator does with one that hangs."""
    pod = next(pod for pod in releases.pods(releases.NAME, release.namespace) if is_ready(pod))
    client.CoreV1Api().delete_namespaced_pod(pod.metadata.name, release.namespace, grace_period_seconds=0)


def killed_on_the_node(release):
    """SIGKILL to the server's process, as the kernel does to one that takes too much memory."""
    pod = next(pod for pod in releases.pods(releases.NAME, release.namespace) if is_ready(pod))
    container = pod.status.container_statuses[0].container_id.removeprefix("containerd://")
    command = ["docker", "exec", pod.spec.node_name, "ctr", "--namespace", "k8s.io", "task", "kill", "-s", "SIGKILL"]
    done = subprocess.run(
        [*command, container], env=release.trifold.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    core, name = client.CoreV1Api(), pod.metadata.name

    def noticed():
        seen = core.read_namespaced_pod(name, release.namespace)
        return not is_ready(seen), seen.status.container_statuses[0].state

    kube.wait(f"the kubelet notices that {name} was killed", noticed)
    # A container that ends again and again is started later and later; the next kill is of another pod.
    core.delete_namespaced_pod(name, release.namespace)


def is_ready(pod):
    """Whether it takes requests."""
    conditions = pod.status.conditions or ()
    return not pod.metadata.deletion_timestamp and any(
        found.type == "Ready" and found.status == "True" for found in conditions
    )


# On the node nothing tells anybody: for as long as the kubelet takes to notice, up to a second, new connections that
# reach the dead pod are refused, and nothing here tries twice.
@pytest.mark.parametrize(("kill", "least"), [(killed_by_the_api, 0.999 if PROVE else 0.99), (killed_on_the_node, 0.95)])
def test_killed_pods_cost_few_requests(release, kill, least):
    """Pods that end without a warning take with them what they had begun, and what comes until the node notices."""
    if kill is killed_on_the_node and os.environ.get("TRIFOLD_CONTEXT"):
        pytest.skip("the nodes of a cluster that is named are not ours to kill on")
    requests = int(RATE * (KILLS + 1) * KILL_SECONDS)
    running = Load(release, requests, RATE)
    ended = threading.Event()
    for number in range(KILLS):
        begins = time.monotonic()
        kill(release)

        def whole():
            found = [pod for pod in releases.pods(releases.NAME, release.namespace) if is_ready(pod)]
            return len(found) == VALUES["online"]["replicas"], [pod.metadata.name for pod in found]

        ended.wait(2)  # until the API server knows of it
        kube.wait(f"kill {number + 1}: two pods are ready again", whole, seconds=SETTLE_SECONDS)
        ended.wait(max(0, KILL_SECONDS - (time.monotonic() - begins)))
    said = running.result()
    share = report(f"{KILLS} pods {kill.__name__.replace('_', ' ')}", said, requests)
    print(f"  answered: {share:.4%}; lost for each kill: {len(said['failures']) / KILLS:.1f}")
    assert share >= least
