"""Packages of Debian: installed where they are missing, and root file systems made of them."""

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from k8s.kind import docker, parts
from k8s.kind.errors import ClusterError
from k8s.kind.steps import Steps

SUITE = "bookworm"
"""Its systemd (252) is the last that runs on cgroup v1 as well."""


def require(packages: Sequence[str], steps: Steps) -> None:
    """Install what is missing of some packages.

    Raises:
        ClusterError: Something is missing and we are not root, or apt failed.
    """
    missing = [package for package in packages if not _installed(package)]
    if not missing:
        return
    if not docker.is_root():
        raise ClusterError(
            f"Packages are missing; run: sudo apt-get install --no-install-recommends {' '.join(missing)}"
        )
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    with steps.step("packages", " ".join(missing)[:56]):
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
        # A run that was killed half-way leaves packages unpacked and not configured.
        steps.run("apt", ["dpkg", "--configure", "-a"], environment=environment)
        steps.run("apt", [*apt, "update"])
        steps.run("apt", [*apt, "install", "--yes", "--no-install-recommends", *missing], environment=environment)


def rootfs(name: str, packages: Sequence[str], cache: Path, steps: Steps) -> Path:
    """A tar of Debian's smallest system with some packages, made once for each list of them."""
    mirror = os.environ.get("TRIFOLD_DEBIAN_MIRROR", "")
    key = hashlib.sha256(f"{SUITE} {sorted(packages)} {mirror}".encode()).hexdigest()[:12]
    done = cache / "rootfs" / f"{name}-{key}.tar"
    if done.exists():
        return done
    require(("mmdebstrap",), steps)
    part = parts.new(cache, f"rootfs-{name}")
    with steps.step("debian", f"{SUITE} with {len(packages)} packages for {name}", 100) as advance:
        argv = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            *_slim(),
            SUITE,
            str(part / "rootfs.tar"),
        ]

        def each(line: str) -> None:
            if percent := re.search(r"(\d+)\.\d+%", line):
                advance(int(percent.group(1)))

        steps.run(name, [*argv, *([mirror] if mirror else [])], environment={"TMPDIR": str(part)}, each=each)
    done.parent.mkdir(parents=True, exist_ok=True)
    (part / "rootfs.tar").rename(done)
    parts.remove(part)
    return done


def _slim() -> list[str]:
    out = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*")
    return [f"--dpkgopt=path-exclude=/{path}" for path in out] + [
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--aptopt=Acquire::Retries=3",
    ]


def _installed(package: str) -> bool:
    argv = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout == "installed"
