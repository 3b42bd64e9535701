"""A release's stream, asked in its own pods, since only the cluster need reach its broker and its database."""

import json
from collections.abc import Sequence
from typing import Any

import yaml
from kubernetes import client
from kubernetes.stream import stream as attach

from trifold.errors import DeployError
from trifold.ops.helm import Target
from trifold.ops.kube import MODELS, Object, asked

STREAM = f"{MODELS},app.kubernetes.io/component=stream"
COMMAND = ["python", "-m", "trifold.stream"]
SECONDS = 300
"""For an answer; to redrive many letters takes its time."""


def pods(target: Target) -> list[Object]:
    """The release's consumers that run.

    Raises:
        DeployError: The cluster does not answer.
    """
    core: Object = client.CoreV1Api()
    selector = f"{STREAM},app.kubernetes.io/instance={target.release}"
    with asked(f"show the consumers of {target.release}"):
        found = core.list_namespaced_pod(target.namespace, label_selector=selector, _request_timeout=10)
    return [pod for pod in found.items if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]


def ask(target: Target, arguments: Sequence[str]) -> Any:
    """Let one of the release's consumers run a command of the image; gives the JSON that it prints.

    Raises:
        DeployError: None runs, or it says why it could not.
    """
    there = pods(target)
    if not there:
        raise DeployError(
            f"No consumer of {target.release} runs in {target.namespace}; trifold status -n {target.namespace} shows "
            "the releases."
        )
    return run(target, there[0], arguments)


def run(target: Target, pod: Object, arguments: Sequence[str], seconds: float = SECONDS) -> Any:
    """Run a command of the image in a pod; gives the JSON that it prints.

    Raises:
        DeployError: The cluster does not let it, or the command says why it could not.
    """
    core: Object = client.CoreV1Api()
    call: Any = attach
    name = pod.metadata.name
    with asked(f"run a command in pod {name}"):
        shell = call(
            core.connect_get_namespaced_pod_exec, name, target.namespace, command=[*COMMAND, *arguments],
            stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False, _request_timeout=seconds,
        )  # fmt: skip
        shell.run_forever(timeout=seconds)
        out, problem, ended = shell.read_stdout(), shell.read_stderr(), shell.read_channel(3)
    status = yaml.safe_load(ended) if ended else {}
    if status.get("status") != "Success":
        said = (problem or out or status.get("message") or f"no answer within {seconds:.0f} s").strip()
        raise DeployError(f"Pod {name}: {said.splitlines()[-1]}")
    try:
        return json.loads(out.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise DeployError(f"Pod {name} printed no answer: {out[:200]!r}") from None


def behind(target: Target) -> str:
    """How far a release's consumers are behind, in words: the lag of all partitions, or why they stand still."""
    lag, reasons, there = 0, [], pods(target)
    if not there:
        return "nobody consumes"
    for pod in there:
        try:
            said = run(target, pod, ["state"], 10)
        except DeployError as error:
            reasons.append(str(error))
            continue
        lag += sum(part["lag"] for part in said["lag"])
        if not said["ready"]:
            reasons.append(said["reason"])
    return "; ".join([f"lag {lag:,}", *dict.fromkeys(reasons)])
