"""Remote: a cluster that the user has, named by TRIFOLD_CONTEXT; only namespaces are made, ports are forwarded."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from k8s.kind import machine
from k8s.kind.errors import ClusterError
from k8s.kind.settings import ROOT, Settings
from k8s.kind.steps import Steps

NAMESPACES = ROOT / "k8s/namespaces"
LABEL = "app.kubernetes.io/part-of=trifold"
OURS = ("platform", "models")
SERVICE_PORTS = {"gateway": 80, "mlflow": 5000, "kafka": 9094, "postgres": 5432}
"""The Services of charts/platform and the port that each has; Kafka's for clients outside of the cluster."""
FORWARD_SECONDS = 20


def up(settings: Settings, steps: Steps) -> None:
    """Make the namespaces and forward the platform's ports.

    Raises:
        ClusterError: The context does not answer, or a namespace of the name is somebody else's.
    """
    for program in ("kubectl", "helm"):
        if not shutil.which(program):
            raise ClusterError(f"{program} is not on PATH: install it, as you have a cluster already.")
    with steps.step("context", f"{settings.context} answers"):
        version = json.loads(_kubectl(settings, "version", "-o", "json"))
    _require_near(version)
    for namespace in OURS:
        _require_ours(settings, namespace)
    with steps.step("namespaces", " and ".join(OURS)):
        _kubectl(settings, "apply", "--server-side", "-f", str(NAMESPACES))
    if not _has(settings, "apiservice", "v1beta1.metrics.k8s.io"):
        steps.line("", "no metrics-server: the HPA will not scale until you install one")
    forward(settings, steps)


def down(settings: Settings, steps: Steps) -> None:
    """Delete the namespaces that carry our label, and with them what is in them; nothing else."""
    with steps.step("namespaces", f"those with {LABEL} deleted"):
        _kubectl(settings, "delete", "namespace", "--selector", LABEL, "--ignore-not-found", "--timeout=180s")


def forward(settings: Settings, steps: Steps) -> None:
    """Forward a port of 127.0.0.1 to each Service of the platform that is there."""
    stop_forwards(settings)
    there = [name for name in settings.ports if _has(settings, "service", name, "-n", "platform")]
    machine.require_ports({name: settings.ports[name] for name in there})
    pids: list[int] = []
    for name in there:
        target = f"{settings.ports[name]}:{SERVICE_PORTS[name]}"
        argv = [
            "kubectl",
            "--context",
            str(settings.context),
            "-n",
            "platform",
            "port-forward",
            f"service/{name}",
            target,
        ]
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        pids.append(process.pid)
        _pids(settings).write_text(json.dumps(pids))
        _wait_for(process, name, settings.ports[name])
    listed = ", ".join(f"{name} {settings.ports[name]}" for name in there) or "none yet: the platform is not installed"
    steps.line("forwarded", listed)


def stop_forwards(settings: Settings) -> None:
    """End the port-forwards whose pids were kept, where they still are ours."""
    file = _pids(settings)
    for pid in json.loads(file.read_text()) if file.exists() else ():
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"port-forward" in command.read_bytes():
            os.kill(pid, signal.SIGTERM)
    file.unlink(missing_ok=True)


def _require_near(version: dict[str, Any]) -> None:
    client, server = (
        int("".join(filter(str.isdigit, version[f"{side}Version"]["minor"]))) for side in ("client", "server")
    )
    if abs(client - server) > 1:
        raise ClusterError(
            f"kubectl is 1.{client} and the cluster 1.{server}: install a kubectl within one version of it."
        )


def _require_ours(settings: Settings, namespace: str) -> None:
    found = _kubectl(settings, "get", "namespace", namespace, "--ignore-not-found", "-o", "json")
    name, _, value = LABEL.partition("=")
    if found and json.loads(found)["metadata"].get("labels", {}).get(name) != value:
        raise ClusterError(
            f"Namespace {namespace} is there and not ours: label it {LABEL} if Trifold may set Pod Security and"
            " a default-deny NetworkPolicy in it (make down would delete it), or take another cluster."
        )


def _has(settings: Settings, kind: str, name: str, *more: str) -> bool:
    return bool(_kubectl(settings, "get", kind, name, "--ignore-not-found", "-o", "name", *more))


def _kubectl(settings: Settings, *arguments: str) -> str:
    argv = ["kubectl", "--context", str(settings.context), "--request-timeout=20s", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"Context {settings.context}: {done.stderr.strip()}")
    return done.stdout.strip()


def _wait_for(process: "subprocess.Popen[bytes]", name: str, port: int) -> None:
    ends = time.monotonic() + FORWARD_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise ClusterError(
        f"Port {port} could not be forwarded to service/{name} in {FORWARD_SECONDS} s: is its pod ready?"
    )


def _pids(settings: Settings) -> Path:
    settings.folder.mkdir(parents=True, exist_ok=True)
    return settings.folder / "forwards.json"
