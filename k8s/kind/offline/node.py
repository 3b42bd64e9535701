"""The node image, from packages: Debian's, and Go modules that are compiled here (README.md)."""

import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from k8s.kind import docker, machine, parts, programs
from k8s.kind.errors import ClusterError
from k8s.kind.offline import apt, archives
from k8s.kind.programs import KUBERNETES, Builder
from k8s.kind.settings import Settings
from k8s.kind.steps import Steps

HERE = Path(__file__).parent
REGISTRY = "registry.k8s.io"
METRICS_SERVER = f"{REGISTRY}/metrics-server/metrics-server:v0.9.0"
PROGRAMS = ("kubeadm", "kubelet", "kubectl")
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
NODE_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "mount", "kmod",
    "pigz", "ca-certificates", "curl", "jq", "procps", "runc", "containernetworking-plugins", "ebtables", "socat",
)  # fmt: skip
KUBE_PACKAGES = ("iptables", "nftables", "conntrack", "ethtool", "kmod")
WRAPPER = '#!/bin/bash\nexec -a "$(basename "$0")" /usr/local/lib/kubernetes "$@"\n'
"""One file holds every Kubernetes program; it asks under which name it was called."""


def image_name() -> str:
    """The node image's name, with a key of all that it is made of."""
    hashed = hashlib.sha256(f"{machine.lacks_sys_resource()}".encode())
    for path in sorted(path for path in HERE.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        hashed.update(f"{path.relative_to(HERE)}\n".encode() + path.read_bytes())
    return f"kindest/node:{KUBERNETES}-trifold-{hashed.hexdigest()[:12]}"


def build(settings: Settings, builder: Builder, steps: Steps) -> str:
    """Build the node image unless Docker has it; return its name. Docker must run.

    Programs are compiled while Debian's packages are unpacked; what was finished before is not done again.
    """
    name = image_name()
    if docker.has_image(name):
        return name
    with ThreadPoolExecutor(max_workers=2) as lanes:
        system = lanes.submit(_systems, settings.cache, steps)
        compiled = lanes.submit(_compile, builder)
        folders, (node, kube) = compiled.result(), system.result()
    part = parts.new(settings.cache, "node")
    kind = builder.source(programs.KIND, "sigs.k8s.io/kind")
    found = {path.name: path for folder in folders for path in folder.iterdir()}
    with steps.step("node image", "the control plane's images"):
        names = _names(found["kubernetes"], kind, part)
        _release(part / "kubernetes", found, kube, names)
        _pack(part / "kubernetes", part / "kubernetes-server.tar.gz")
    with steps.step("node image", "Debian with systemd and containerd"):
        _import(node, "trifold/node-rootfs", steps)
        _base(part / "context", kind, found, names["pause"], steps)
    with steps.step("node image", f"kind build node-image {KUBERNETES}"):
        argv = ["kind", "build", "node-image", "--type", "file", str(part / "kubernetes-server.tar.gz")]
        steps.run("node", [*argv, "--base-image", "trifold/node-base", "--image", name])
    parts.remove(part)
    _forget_older(name)
    return name


def _forget_older(name: str) -> None:
    """Remove the node images of earlier states of this folder, but those that a cluster uses."""
    argv = [
        "docker",
        "image",
        "ls",
        "--filter",
        "reference=kindest/node:*-trifold-*",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]
    for image in subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split():
        if image != name:
            subprocess.run(["docker", "image", "rm", image], capture_output=True, check=False)


def _systems(cache: Path, steps: Steps) -> tuple[Path, Path]:
    apt.require(("mmdebstrap", "pigz"), steps)
    return apt.rootfs("node", NODE_PACKAGES, cache, steps), apt.rootfs("kubernetes", KUBE_PACKAGES, cache, steps)


def _compile(builder: Builder) -> list[Path]:
    return [builder.build(module) for module in programs.NODE]


def _names(kubernetes: Path, kind: Path, part: Path) -> dict[str, str]:
    """The names under which kubeadm and kind ask for images."""
    kubeadm = part / "kubeadm"
    kubeadm.symlink_to(kubernetes)
    argv = [str(kubeadm), "config", "images", "list", "--kubernetes-version", KUBERNETES]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    names = {name.partition(":")[0].rpartition("/")[2]: name for name in listed}
    source = "".join((kind / "pkg/build/nodeimage" / f"const_{part}.go").read_text() for part in ("cni", "storage"))
    names |= dict(re.findall(r'^const (\w+)Image = "(.+)"', source, re.MULTILINE))
    missing = {
        *CONTROL_PLANE,
        "etcd",
        "coredns",
        "pause",
        "kindnetd",
        "storageProvisioner",
        "storageHelper",
    } - names.keys()
    if missing:
        raise ClusterError(
            f"kubeadm and kind name no image for {', '.join(sorted(missing))}: k8s/kind/offline needs a look."
        )
    return names


def _release(folder: Path, found: dict[str, Path], rootfs: Path, names: dict[str, str]) -> None:
    """Lay out what a Kubernetes release's server archive holds. kind reads one image of each of the four archives."""
    server = folder / "server/bin"
    server.mkdir(parents=True)
    (folder / "version").write_text(f"{KUBERNETES}\n")
    for program in PROGRAMS:
        (server / program).write_text(WRAPPER)
    kubernetes = [names[part] for part in (*CONTROL_PLANE, "etcd", "kindnetd", "storageProvisioner", "storageHelper")]
    programs_in = ("kubernetes", "etcd", "local-path-provisioner", "metrics-server")
    archives.write(
        server / "kube-apiserver.tar",
        [*kubernetes, METRICS_SERVER],
        {f"usr/local/bin/{name}": found[name] for name in programs_in},
        links={f"usr/local/bin/{name}": "kubernetes" for name in CONTROL_PLANE},
        rootfs=rootfs,
    )
    archives.write(
        server / "kube-controller-manager.tar",
        [names["coredns"]],
        {"coredns": found["coredns"]},
        entrypoint=["/coredns"],
    )
    archives.write(server / "kube-scheduler.tar", [names["pause"]], {"pause": found["pause"]}, entrypoint=["/pause"])
    shutil.copyfile(server / "kube-scheduler.tar", server / "kube-proxy.tar")


def _pack(folder: Path, target: Path) -> None:
    with tarfile.open(target, "w:gz", compresslevel=0) as tar:
        tar.add(folder, arcname="kubernetes")


def _base(context: Path, kind: Path, found: dict[str, Path], pause: str, steps: Steps) -> None:
    shutil.copytree(kind / "images/base/files", context / "kind", copy_function=shutil.copyfile)
    shutil.copytree(HERE / "node/files", context / "files")
    (context / "programs").mkdir()
    for program in ("containerd", "containerd-shim-runc-v2", "ctr"):
        shutil.copyfile(found[program], context / "programs" / program)
    (context / "files/usr/local/lib").mkdir(parents=True)
    shutil.copy(found["kubernetes"], context / "files/usr/local/lib/kubernetes")
    shutil.copyfile(HERE / "node/Dockerfile", context / "Dockerfile")
    sys_resource = "no" if machine.lacks_sys_resource() else "yes"
    arguments = ["--build-arg", f"PAUSE={pause}", "--build-arg", f"SYS_RESOURCE={sys_resource}"]
    docker_build(context, "trifold/node-base", arguments, steps)


def docker_build(context: Path, tag: str, arguments: Sequence[str | Path], steps: Steps) -> None:
    """Build an image with BuildKit, where the client has it."""
    steps.run(
        "docker",
        ["docker", "build", "--quiet", "--tag", tag, *arguments, context],
        environment={"DOCKER_BUILDKIT": "1"},
    )


def _import(rootfs: Path, tag: str, steps: Steps) -> None:
    with rootfs.open("rb") as content:
        steps.run("docker", ["docker", "import", "-", tag], stdin=content)
