"""Cluster: made in one of three ways, found again by name, taken down without a trace."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from k8s.kind import docker, images, machine, nodes, parts, programs, registry, remote, state
from k8s.kind.docker import Machine, Pull, Way
from k8s.kind.errors import ClusterError
from k8s.kind.offline import apt, daemon, network, node
from k8s.kind.programs import Builder
from k8s.kind.settings import Settings
from k8s.kind.steps import Steps, say

READY_SECONDS = 120


class Cluster:
    """The one cluster of these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._steps = Steps(settings.cache / "log")
        self._builder = Builder(settings, self._steps)
        os.environ["PATH"] = f"{settings.bin}{os.pathsep}{os.environ['PATH']}"
        self._use_daemon()

    def up(self) -> None:
        """Make the cluster, or what is missing of it; a second call changes nothing."""
        with self._steps.shown():
            if self._settings.context:
                remote.up(self._settings, self._steps)
                return
            parts.sweep(self._settings.cache)
            if docker.ask_daemon() is not docker.Daemon.RUNS:
                self._wake_daemon()
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
            self._wake_daemon()
            if state.read(self._settings) and docker.ask_daemon() is not docker.Daemon.RUNS:
                raise ClusterError(
                    "Docker does not answer, so the cluster cannot be deleted: start Docker, then again."
                )
            if nodes.listed(self._settings) and state.read(self._settings):
                with self._steps.step("cluster", f"{self._settings.name} deleted"):
                    nodes.delete(self._settings, self._steps)
            shutil.rmtree(self._settings.folder, ignore_errors=True)
            if not nodes.said("docker", "ps", "--all", "--quiet", "--filter", "label=io.x-k8s.kind.cluster"):
                registry.remove(volume=False)
                daemon.stop(self._settings)

    def clean(self) -> None:
        """Undo `up`, and delete what it keeps to be faster the next time."""
        if daemon.is_installed() or not daemon.has_data(self._settings):
            self.down()
        with self._steps.step("caches", "compiled programs, packages and images deleted"):
            if docker.ask_daemon() is docker.Daemon.RUNS:
                ours = ("--filter", "reference=kindest/node:*-trifold-*", "--filter", "reference=trifold/*")
                for image in set(nodes.said("docker", "image", "ls", "--quiet", *ours).split()):
                    subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)
                registry.remove(volume=True)
            daemon.remove(self._settings)
            for name in ("bin", "clusters", "go", "log", parts.PARTS, "programs", "rootfs"):
                parts.remove(self._settings.cache / name)

    def environment(self) -> dict[str, str]:
        """What a shell needs to use the cluster."""
        variables = {"PATH": f"{self._settings.bin}{os.pathsep}$PATH"}
        if not self._settings.context:
            variables["KUBECONFIG"] = str(self._settings.kubeconfig)
        if daemon.runs(self._settings):
            variables["DOCKER_HOST"] = f"unix://{self._settings.socket}"
            variables["TRIFOLD_BASE_IMAGE"] = images.BASE
        variables["TRIFOLD_GATEWAY"] = f"http://127.0.0.1:{self._settings.ports['gateway']}"
        return variables

    # How it is made

    def _make(self) -> None:
        made = state.read(self._settings)
        there = nodes.listed(self._settings)
        if there and not made:
            raise ClusterError(
                f"A kind cluster named {self._settings.name} is there that this did not make: delete it"
                f" (kind delete cluster --name {self._settings.name}), or set TRIFOLD_CLUSTER to another name."
            )
        if there and made.get("chosen", state.chosen(self._settings)) != state.chosen(self._settings):
            raise ClusterError(
                "The cluster that runs has other ports or nodes than you ask for now: make down, then again."
            )
        if not there:
            machine.require_disk(self._settings.cache)
            machine.require_ports(self._settings.ports)
        if there and nodes.revive(self._settings, self._steps, made):
            way = Way(made["way"])
        else:
            way = self._choose()
            image = self._prepare(way)
            if there:
                self._steps.line("cluster", f"{self._settings.name} was left half made, or is broken: made anew")
                nodes.delete(self._settings, self._steps)
            nodes.create(self._settings, self._steps, way, image)
        if way is Way.OFFLINE:
            with self._steps.step("network", "pods' addresses and the routes between nodes"):
                network.connect(nodes.listed(self._settings))
        self._apply()
        state.write(self._settings, finished=state.manifests_key())

    def _choose(self) -> Way:
        answer = docker.ask_daemon()
        cgroup = machine.cgroup_version()
        pull, why = Pull.UNASKED, ""
        if answer is docker.Daemon.RUNS and not daemon.runs(self._settings) and cgroup == 2:
            with self._steps.step("docker", "runs; asking it for the stock node image"):
                pull, why = docker.ask_registry(self._settings.node_image)
        asked = Machine(None, answer, pull, docker.is_root(), machine.is_debian(), cgroup)
        way = docker.choose(asked)
        if way is Way.OFFLINE:
            self._steps.line("way", f"a node image built here from packages ({docker.why_not(asked)})")
            if why:
                self._steps.line("", why)
        return way

    def _prepare(self, way: Way) -> str:
        """Programs, a Docker and the node image; returns the image's name."""
        links = self._settings.bin
        programs.link(links, "kind", programs.usable_kind() or self._builder.build(programs.KIND) / "kind")
        if way is Way.STOCK:
            kubectl = programs.usable_kubectl() or self._builder.build(programs.KUBECTL) / "kubectl"
            image = self._settings.node_image
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

    def _apply(self) -> None:
        with self._steps.step("kubernetes", "nodes ready, DNS, storage"):
            self._kubectl("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s")
            self._rolled_out("kube-system", "coredns")
            self._rolled_out("local-path-storage", "local-path-provisioner")
        with self._steps.step("platform", "namespaces platform and models, metrics-server"):
            for path in state.MANIFESTS:
                self._kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))
            self._rolled_out("kube-system", "metrics-server")
            self._kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=60s")

    # What is there

    def _is_finished(self) -> bool:
        made = state.read(self._settings)
        if made.get("finished") != state.manifests_key() or made.get("chosen") != state.chosen(self._settings):
            return False
        return nodes.answer() and all(
            name in nodes.said("docker", "ps", "--format", "{{.Names}}") for name in nodes.listed(self._settings)
        )

    # Small tools

    def _start_daemon(self) -> None:
        with self._steps.step("docker", "a daemon of our own, as none runs"):
            daemon.start(self._settings)
        self._use_daemon()

    def _wake_daemon(self) -> None:
        """Start our daemon again if it has been used here: what it holds can be seen only through it."""
        if daemon.has_data(self._settings) and docker.is_root() and not daemon.runs(self._settings):
            apt.require(daemon.PACKAGES, self._steps)
            self._start_daemon()

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
