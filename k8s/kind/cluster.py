"""Cluster: made in one of three ways, found again by name, taken down without a trace."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from k8s.kind import docker, machine, programs, remote
from k8s.kind.docker import Machine, Pull, Way
from k8s.kind.errors import ClusterError
from k8s.kind.offline import apt, daemon, network, node
from k8s.kind.programs import Builder
from k8s.kind.settings import NODE_PORTS, ROOT, Settings
from k8s.kind.steps import Steps, say

STOCK_IMAGE = "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"
"""As kind 0.32 names it in its source; within one minor version of our kubectl, as 0.33's own default is."""
READY_SECONDS = 120
MANIFESTS = (ROOT / "k8s/namespaces", ROOT / "k8s/kind/metrics-server.yaml")


class Cluster:
    """The one cluster of these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._steps = Steps(settings.cache / "log")
        self._builder = Builder(settings, self._steps)
        self._state_file = settings.folder / "state.json"
        os.environ["PATH"] = f"{settings.bin}{os.pathsep}{os.environ['PATH']}"
        self._use_daemon()

    def up(self) -> None:
        """Make the cluster, or what is missing of it; a second call changes nothing."""
        with self._steps.shown():
            if self._settings.context:
                remote.up(self._settings, self._steps)
                return
            os.environ["KUBECONFIG"] = str(self._settings.kubeconfig)
            if not self._is_finished():
                self._make()
        for hint in filter(None, (machine.proxy_hint(),)):
            say(f"  {hint}")
        self._summary()

    def down(self) -> None:
        """Undo `up`, and nothing else; images and caches stay."""
        with self._steps.shown():
            remote.stop_forwards(self._settings)
            if self._settings.context:
                remote.down(self._settings, self._steps)
                return
            if not daemon.runs(self._settings) and (self._settings.socket.parent / "data").exists() and docker.is_root():
                self._start_daemon()
            if self._nodes() and self._state():
                with self._steps.step("cluster", f"{self._settings.name} deleted"):
                    self._delete()
            shutil.rmtree(self._settings.folder, ignore_errors=True)
            if not _said("docker", "ps", "--all", "--quiet", "--filter", "label=io.x-k8s.kind.cluster"):
                daemon.stop(self._settings)

    def clean(self) -> None:
        """Undo `up`, and delete what it keeps to be faster the next time."""
        self.down()
        with self._steps.step("caches", "compiled programs, packages and images deleted"):
            if docker.ask_daemon() is docker.Daemon.RUNS:
                listed = _said("docker", "image", "ls", "-q", "--filter", "reference=kindest/node:*-trifold-*")
                for image in (*listed.split(), "trifold/node-base", "trifold/node-rootfs"):
                    subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)
            daemon.remove(self._settings)
            for name in ("bin", "go", "log", "parts", "programs", "rootfs"):
                apt.remove(self._settings.cache / name)

    def environment(self) -> dict[str, str]:
        """What a shell needs to use the cluster."""
        variables = {"PATH": f"{self._settings.bin}{os.pathsep}$PATH"}
        if not self._settings.context:
            variables["KUBECONFIG"] = str(self._settings.kubeconfig)
        if daemon.runs(self._settings):
            variables["DOCKER_HOST"] = f"unix://{self._settings.socket}"
        return variables

    # How it is made

    def _make(self) -> None:
        state = self._state()
        nodes = self._nodes()
        if nodes and not state:
            raise ClusterError(
                f"A kind cluster named {self._settings.name} is there that this did not make: delete it"
                f" (kind delete cluster --name {self._settings.name}), or set TRIFOLD_CLUSTER to another name."
            )
        if nodes and state.get("chosen", self._chosen()) != self._chosen():
            raise ClusterError("The cluster that runs has other ports or nodes than you ask for now: make down, then again.")
        if not nodes:
            machine.require_disk(self._settings.cache)
            machine.require_ports(self._settings.ports)
        way = Way(state["way"]) if nodes and "ids" in state else self._choose()
        image = self._prepare(way)
        if nodes and not self._revive(state):
            self._steps.line("cluster", f"{self._settings.name} was left half made, or is broken: made anew")
            self._delete()
            nodes = {}
        if not nodes:
            self._create(way, image)
        if way is Way.OFFLINE:
            with self._steps.step("network", "pods' addresses and the routes between nodes"):
                network.connect(self._nodes())
        self._apply()
        self._write_state(finished=_manifests_key())

    def _choose(self) -> Way:
        state = docker.ask_daemon()
        cgroup = machine.cgroup_version()
        pull, said = Pull.UNASKED, ""
        if state is docker.Daemon.RUNS and not daemon.runs(self._settings) and cgroup == 2:
            with self._steps.step("docker", "runs; asking it for the stock node image"):
                pull, said = docker.ask_registry(STOCK_IMAGE)
        asked = Machine(None, state, pull, docker.is_root(), machine.is_debian(), cgroup)
        way = docker.choose(asked)
        if way is Way.OFFLINE:
            why = state.value if state is not docker.Daemon.RUNS else pull.value if pull is not Pull.UNASKED else "cgroup v1"
            self._steps.line("way", f"a node image built here from packages ({why})")
            if said:
                self._steps.line("", said)
        return way

    def _prepare(self, way: Way) -> str:
        """Programs, a Docker and the node image; returns the image's name."""
        links = self._settings.bin
        programs.link(links, "kind", programs.usable_kind() or self._builder.build(programs.KIND) / "kind")
        if way is Way.STOCK:
            kubectl = programs.usable_kubectl() or self._builder.build(programs.KUBECTL) / "kubectl"
            image = STOCK_IMAGE
            if hint := machine.mtu_hint(machine.docker_mtu(), machine.mtu()):
                say(f"  {hint}")
        else:
            if docker.ask_daemon() is not docker.Daemon.RUNS:
                apt.require(daemon.PACKAGES, self._steps)
                self._start_daemon()
            image = node.build(self._settings, self._builder, self._steps)
            kubectl = self._builder.build(programs.NODE[0]) / "kubernetes"
        programs.link(links, "kubectl", kubectl)
        programs.link(links, "helm", programs.usable_helm() or self._builder.build(programs.HELM_4) / "helm")
        return image

    def _create(self, way: Way, image: str) -> None:
        folder = self._settings.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "kind.yaml").write_text(json.dumps(self._config(way), indent=1))
        self._write_state(way=way.value)
        what = f"{self._settings.name}, {self._settings.nodes} node{'s' if self._settings.nodes > 1 else ''}"
        with self._steps.step("cluster", what):
            argv = ["kind", "create", "cluster", "--name", self._settings.name, "--image", image]
            files = ["--config", folder / "kind.yaml", "--kubeconfig", self._settings.kubeconfig]
            self._steps.run("kind", [*argv, *files])
        self._write_state(ids=sorted(self._nodes().values()), chosen=self._chosen())

    def _config(self, way: Way) -> dict[str, Any]:
        """Kind's configuration; JSON is YAML (https://kind.sigs.k8s.io/docs/user/configuration)."""
        ports = [
            {"containerPort": NODE_PORTS[name], "hostPort": port, "listenAddress": "127.0.0.1"}
            for name, port in self._settings.ports.items()
        ]
        kubelet = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "failCgroupV1": False}
        workers = [{"role": "worker"}] * (self._settings.nodes - 1)
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"disableDefaultCNI": way is Way.OFFLINE},
            "kubeadmConfigPatches": [json.dumps(kubelet)] if machine.cgroup_version() == 1 else [],
            "nodes": [{"role": "control-plane", "extraPortMappings": ports}, *workers],
        }

    def _apply(self) -> None:
        with self._steps.step("kubernetes", "nodes ready, DNS, storage"):
            self._kubectl("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s")
            self._rolled_out("kube-system", "coredns")
            self._rolled_out("local-path-storage", "local-path-provisioner")
        with self._steps.step("platform", "namespaces platform and models, metrics-server"):
            for path in MANIFESTS:
                self._kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))
            self._rolled_out("kube-system", "metrics-server")
            self._kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=60s")

    def _revive(self, state: dict[str, Any]) -> bool:
        """Whether the nodes are those that a finished `kind create` made, and their API server answers."""
        if "ids" not in state or state["ids"] != sorted(self._nodes().values()):
            return False
        subprocess.run(["docker", "start", *self._nodes()], capture_output=True, check=False)
        ends = time.monotonic() + READY_SECONDS
        while not self._answers():
            if time.monotonic() > ends:
                return False
            time.sleep(0.5)
        return True

    def _delete(self) -> None:
        argv = ["kind", "delete", "cluster", "--name", self._settings.name, "--kubeconfig", self._settings.kubeconfig]
        self._steps.run("kind", argv)

    # What is there

    def _is_finished(self) -> bool:
        state = self._state()
        if state.get("finished") != _manifests_key() or state.get("chosen") != self._chosen():
            return False
        return self._answers() and all(name in _said("docker", "ps", "--format", "{{.Names}}") for name in self._nodes())

    def _answers(self) -> bool:
        return _said("kubectl", "get", "--raw", "/readyz", "--request-timeout=3s") == "ok"

    def _nodes(self) -> dict[str, str]:
        """The names of the cluster's containers with their ids."""
        label = f"label=io.x-k8s.kind.cluster={self._settings.name}"
        listed = _said("docker", "ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.Names}} {{.ID}}")
        return dict(line.split() for line in listed.splitlines())

    def _chosen(self) -> dict[str, Any]:
        return {"nodes": self._settings.nodes, "ports": dict(self._settings.ports)}

    def _state(self) -> dict[str, Any]:
        """What this program did: `way` before kind is called, `ids` after, `finished` at the end."""
        return json.loads(self._state_file.read_text()) if self._state_file.exists() else {}

    def _write_state(self, **more: Any) -> None:
        part = self._state_file.with_suffix(".part")
        part.write_text(json.dumps({**self._state(), **more}))
        part.replace(self._state_file)

    # Small tools

    def _start_daemon(self) -> None:
        with self._steps.step("docker", "a daemon of our own, as none runs"):
            daemon.start(self._settings)
        self._use_daemon()

    def _use_daemon(self) -> None:
        if daemon.runs(self._settings):
            os.environ["DOCKER_HOST"] = f"unix://{self._settings.socket}"
            programs.link(self._settings.bin, "docker", daemon.client())

    def _kubectl(self, *arguments: str) -> str:
        return self._steps.run("kubectl", ["kubectl", *arguments])

    def _rolled_out(self, namespace: str, name: str) -> None:
        self._kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", f"--timeout={READY_SECONDS}s")

    def _summary(self) -> None:
        ports = ", ".join(f"{name} {port}" for name, port in self._settings.ports.items())
        self._steps.line("ready", f"ports on 127.0.0.1: {ports}")
        self._steps.line("", 'eval "$(make -s env)" sets KUBECONFIG and PATH for kubectl, helm and kind')


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One run at a time; a run that was killed holds nothing."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    with (settings.cache / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("  waiting for another run of this to end")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _manifests_key() -> str:
    hashed = hashlib.sha256()
    for path in sorted(path for root in MANIFESTS for path in (root.iterdir() if root.is_dir() else [root])):
        hashed.update(Path(path).read_bytes())
    return hashed.hexdigest()[:12]


def _said(*argv: str) -> str:
    if not shutil.which(argv[0]):
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
