"""A release from the registry to an answer, by the command line and by hand; whatever fails, what served serves on."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import kube, releases

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/model-serving"
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
QUICK = ("--timeout", "90")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the lock files are written."""
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture(scope="module")
def serving(trifold, light, models, folder):
    """Version 1, deployed; each test finds it so and leaves it so."""
    said = trifold("deploy", light[0], "-n", models, "-f", releases.values(folder), *QUICK, folder=folder)
    assert f"/models/{releases.NAME}/" in said
    return light[0].partition("/")[2]


@pytest.fixture
def still_serves(serving, models, trifold):
    """Checks, after a test in which a deployment failed, that nothing of it is left."""

    def check():
        releases.settled(releases.NAME, models)
        assert releases.served(releases.NAME, models)["version"] == serving
        assert trifold.revisions(releases.NAME, models)[-1][1] == "deployed"

    return check


def lock_of(folder):
    """The lock file, parsed."""
    import yaml

    return yaml.safe_load((folder / f"{releases.NAME}.lock.yaml").read_text())


def test_status_shows_what_the_lock_file_says(trifold, serving, models, folder):
    """Which version runs is told by the cluster, and is the one that was pinned."""
    shown = trifold("status", "-n", models, folder=folder)
    digest = lock_of(folder)["model"]["digest"]
    assert re.search(rf"^light +online +light +{serving} +{digest[:12]} +1 of 1$", shown, re.MULTILINE), shown
    assert releases.served(releases.NAME, models)["digest"] == digest


def test_the_same_deploy_again_changes_no_pod(trifold, light, serving, models, folder):
    """A pipeline that runs twice restarts nothing."""
    before = [pod.metadata.uid for pod in releases.pods(releases.NAME, models)]
    trifold("deploy", light[0], "-n", models, "-f", releases.values(folder), *QUICK, folder=folder)
    assert [pod.metadata.uid for pod in releases.pods(releases.NAME, models)] == before


def test_version_2_replaces_version_1_and_helm_rolls_back(trifold, light, serving, models, tmp_path):
    """Both ways are Helm's own, so that whoever knows Helm knows them."""
    try:
        trifold("deploy", light[1], "-n", models, "-f", releases.values(tmp_path), *QUICK, folder=tmp_path)
        releases.settled(releases.NAME, models)
        assert releases.served(releases.NAME, models)["version"] == light[1].partition("/")[2]
    finally:
        good = [number for number, status in trifold.revisions(releases.NAME, models) if status == "superseded"][-1]
        trifold.helm("rollback", releases.NAME, str(good), "-n", models, "--wait", "--timeout", "120s")
    releases.settled(releases.NAME, models)
    assert releases.served(releases.NAME, models)["version"] == serving


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"model": {"digest": "0" * 64}}, "have changed: expected digest 000000000000"),
        ({"image": {"tag": "v9-nosuch"}}, r"(ErrImagePull|ImagePullBackOff), .*v9-nosuch"),
        ({"online": {**releases.SMALL["online"], "resources": {
            "requests": {"cpu": "50m", "memory": "40Mi"}, "limits": {"cpu": "1", "memory": "40Mi"}}}},
            r"exit code 137 .*raise resources\.limits\.memory"),
    ],
    ids=["another digest than the image carries", "no such image", "too little memory"],
)  # fmt: skip
def test_a_release_that_never_becomes_ready_goes_back(
    trifold, light, serving, models, folder, still_serves, broken, words
):
    """The message has the pod's last words, and what served before never stopped."""
    own = {**releases.SMALL, **broken}
    own["online"] = {**releases.SMALL["online"], **broken.get("online", {})}
    file = releases.values(folder, "broken.yaml", **own)
    said = trifold("deploy", light[0], "-n", models, "-f", file, *QUICK, folder=folder, code=1)
    assert "light did not become ready. Revision" in said
    assert "is back, which served before. Its pod's last words:" in said
    assert re.search(words, said, re.DOTALL), said
    still_serves()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"online": {"replica": 3}}, "replica"),
        ({"interface": 99}, "This chart speaks interface 1 and the lock file 99"),
    ],
)
def test_values_that_the_chart_refuses_change_nothing(
    trifold, light, serving, models, folder, still_serves, wrong, words
):
    """A typing error is named, and no revision is made."""
    before = trifold.revisions(releases.NAME, models)
    file = releases.values(folder, "wrong.yaml", **wrong)
    said = trifold("deploy", light[0], "-n", models, "-f", file, *QUICK, folder=folder, code=1)
    assert "Nothing was changed:" in said
    assert words in said
    assert trifold.revisions(releases.NAME, models) == before
    still_serves()


def test_an_artifact_that_was_changed_after_the_check_is_refused(trifold, light, serving, models, folder, still_serves):
    """Whoever can write to the artifact store cannot choose what runs."""
    import mlflow

    mlflow.set_tracking_uri(trifold.registry)
    trifold("check", light[1], folder=folder)
    name, version = light[1].split("/")
    source = mlflow.MlflowClient().get_model_version_download_uri(name, version)
    file = Path(mlflow.artifacts.download_artifacts(source)) / "model.skops"
    content = file.read_bytes()
    file.write_bytes(content + b"\0")
    try:
        said = trifold("deploy", light[1], "-n", models, *QUICK, folder=folder, code=1)
    finally:
        file.write_bytes(content)
    assert "The model's files have changed" in said
    still_serves()


def test_a_first_install_that_fails_leaves_nothing(trifold, light, models, folder):
    """There is nothing to go back to, so nothing stays."""
    file = releases.values(folder, "first.yaml", **releases.SMALL, model={"digest": "0" * 64})
    said = trifold("deploy", light[0], "--release", "first", "-n", models, "-f", file, *QUICK, folder=folder, code=1)
    assert "It was removed, as nothing served before." in said
    assert releases.pods("first", models) == [] or all(
        pod.metadata.deletion_timestamp for pod in releases.pods("first", models)
    )
    assert "not found" in trifold.helm("history", "first", "-n", models, code=1)


def test_a_namespace_without_pod_security_is_named(trifold, light, folder, cluster):
    """Before anything is built, and with the line that mends it."""
    said = trifold("deploy", light[0], "-n", "kube-public", folder=folder, code=1)
    assert "Namespace kube-public does not enforce Pod Security restricted" in said
    assert "kubectl label namespace kube-public" in said
    said = trifold("deploy", light[0], "-n", "no-such", folder=folder, code=1)
    assert "There is no namespace no-such" in said


def test_a_deploy_that_was_killed_is_recovered_by_the_next(trifold, light, serving, models, folder, still_serves):
    """Helm would refuse for ever: another operation is in progress."""
    file = releases.values(folder, "slow.yaml", **releases.SMALL, image={"tag": "v9-nosuch"})
    command = [str(Path(sys.executable).parent / "trifold"), "deploy", light[0], "-n", models, "-f", str(file)]
    process = subprocess.Popen(
        command, cwd=folder, env=trifold.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip

    def pending():
        assert process.poll() is None, "it ended before it could be killed"
        last = trifold.revisions(releases.NAME, models)[-1]
        return last[1] == "pending-upgrade", last

    kube.wait("an upgrade is under way", pending, seconds=120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert trifold.revisions(releases.NAME, models)[-1][1] == "pending-upgrade"
    trifold("deploy", light[0], "-n", models, "-f", releases.values(folder), *QUICK, folder=folder)
    still_serves()


def test_the_printed_commands_do_the_same(trifold, light, serving, models, folder):
    """Nothing is hidden in the command line: a shell and Helm are enough."""
    said = trifold(
        "deploy",
        light[0],
        "--release",
        "by-hand",
        "-n",
        models,
        "-f",
        releases.values(folder),
        "--print",
        folder=folder,
    )
    commands = said.partition("# by hand:")[2]
    assert "bentoml containerize" in commands
    try:
        said = trifold.shell(commands, folder)
        assert "answers its example" in said
        assert releases.served("by-hand", models)["version"] == serving
    finally:
        trifold("undeploy", "by-hand", "-n", models, folder=folder)
    assert "there is no release by-hand" in trifold("undeploy", "by-hand", "-n", models, folder=folder)


def test_plain_helm_installs_by_digest_from_a_registry(trifold, light, models, folder, registry_address):
    """With nothing of Trifold's on PATH: the lock file, the chart, Helm, and a real registry."""
    file = folder / "pushed.lock.yaml"
    trifold("build", light[0], "--push", registry_address, "--lock", file, folder=folder)
    digest = re.search(r'digest: "(sha256:[0-9a-f]{64})"', file.read_text()).group(1)
    environment = {"KUBECONFIG": trifold.environment["KUBECONFIG"], "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    environment["HOME"] = str(folder)
    (folder / "bin").mkdir(exist_ok=True)
    program = subprocess.run(
        ["sh", "-c", "command -v helm"], env=trifold.environment, capture_output=True, text=True, check=True
    )
    if not (folder / "bin/helm").exists():
        (folder / "bin/helm").symlink_to(program.stdout.strip())

    def helm(*arguments):
        done = subprocess.run(["helm", *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    small = releases.values(folder)
    try:
        helm(
            "install",
            "plain",
            str(CHART),
            "-f",
            str(file),
            "-f",
            str(small),
            "-n",
            models,
            "--wait",
            "--timeout",
            "120s",
        )
        assert "answers its example" in helm("test", "plain", "-n", models, "--logs")
        (pod,) = releases.pods("plain", models)
        assert pod.spec.containers[0].image == f"{registry_address}/light@{digest}"
        assert digest in pod.status.container_statuses[0].image_id
    finally:
        helm("uninstall", "plain", "-n", models, "--wait")


@pytest.fixture(scope="module")
def registry_address(cluster):
    """The registry beside the nodes, as this machine and the nodes name it."""
    return re.search(r"^127\.0\.0\.1:\d+$", cluster.run("registry"), re.MULTILINE).group()


def test_a_second_model_moves_only_its_own_layers(trifold, light, folder, registry_address):
    """A cluster that has one model's image pulls little for the next, as all below the model is the same."""
    pulled = []
    for address in light:
        file = folder / "layers.lock.yaml"
        trifold("build", address, "--push", registry_address, "--lock", file, folder=folder)
        digest = re.search(r'digest: "(sha256:[0-9a-f]{64})"', file.read_text()).group(1)
        request = urllib.request.Request(
            f"http://{registry_address}/v2/light/manifests/{digest}",
            headers={"Accept": ", ".join(MANIFESTS)},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            pulled.append({layer["digest"]: layer["size"] for layer in json.load(answer)["layers"]})
    first, second = pulled
    own = sum(size for layer, size in second.items() if layer not in first)
    print(f"the first pulls {sum(first.values()) / 1e6:.0f} MB, the second {own / 1e6:.2f} MB more")
    assert 0 < own < 20_000_000


def test_pods_run_restricted_small_and_without_a_token(serving, models):
    """What the chart says is what the kubelet started; an idle pod takes less than 200 MiB."""
    (pod,) = [pod for pod in releases.pods(releases.NAME, models) if not pod.metadata.deletion_timestamp]
    assert pod.spec.automount_service_account_token is False
    assert not [volume for volume in pod.spec.volumes if volume.projected]
    namespace = client.CoreV1Api().read_namespace(models)
    assert namespace.metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"

    def measured():
        metrics = client.CustomObjectsApi().list_namespaced_custom_object("metrics.k8s.io", "v1beta1", models, "pods")
        used = [
            int(container["usage"]["memory"].removesuffix("Ki")) // 1024
            for entry in metrics["items"]
            if entry["metadata"]["name"] == pod.metadata.name
            for container in entry["containers"]
        ]
        return bool(used), used

    (used,) = kube.wait("metrics of the pod", measured, seconds=120)
    print(f"idle: {used} MiB")
    assert used < 200
