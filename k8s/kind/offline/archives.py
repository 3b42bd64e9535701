"""Archives: container images written as `docker load` reads them, from files alone."""

import gzip
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(
    target: Path,
    tags: Sequence[str],
    files: Mapping[str, Path],
    *,
    links: Mapping[str, str] | None = None,
    rootfs: Path | None = None,
    entrypoint: Sequence[str] = (),
) -> None:
    """Write an image of one layer under several names.

    Args:
        target: The archive to write.
        tags: The image's names, each with a registry and a tag.
        files: Programs to add, by their path in the image.
        links: Names of programs to add, each with the path it leads to.
        rootfs: A tar whose files come first.
        entrypoint: What the image runs.
    """
    layer = target.with_suffix(".layer")
    if rootfs:
        shutil.copyfile(rootfs, layer)
    with tarfile.open(layer, "a" if rootfs else "w", format=tarfile.GNU_FORMAT) as tar:
        for path, source in files.items():
            with source.open("rb") as content:
                tar.addfile(_entry(path, source.stat().st_size), content)
        for path, leads in (links or {}).items():
            entry = _entry(path, 0)
            entry.type, entry.linkname = tarfile.SYMTYPE, leads
            tar.addfile(entry)
    with layer.open("rb") as content:
        diff = hashlib.file_digest(content, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Env": [PATH], "Entrypoint": list(entrypoint)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    packed = _compressed(layer)
    manifest = [{"Config": name, "RepoTags": list(tags), "Layers": [f"{diff}/layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        for path, said in (("manifest.json", json.dumps(manifest).encode()), (name, config)):
            archive.addfile(_entry(path, len(said)), io.BytesIO(said))
        archive.add(packed, arcname=f"{diff}/layer.tar")
    packed.unlink()


def _entry(path: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.removeprefix("/"))
    entry.size, entry.mode = size, 0o755
    return entry


def _compressed(layer: Path) -> Path:
    packed = layer.with_name(f"{layer.name}.gz")
    if shutil.which("pigz"):
        subprocess.run(["pigz", "-1", "--force", layer], check=True)
        return packed
    with layer.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as compressed:
        shutil.copyfileobj(plain, compressed, 1 << 20)
    layer.unlink()
    return packed
