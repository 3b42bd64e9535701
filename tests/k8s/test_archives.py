"""Container images that are written from files alone."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from k8s.kind.offline import archives


@pytest.mark.parametrize("compressor", ["pigz", None])
def test_an_archive_holds_what_docker_load_reads(
    compressor: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifest, configuration and layer fit each other; the layer's digest is of the uncompressed tar."""
    which = archives.shutil.which
    monkeypatch.setattr(archives.shutil, "which", lambda name: compressor and which(name))
    program, rootfs = tmp_path / "program", tmp_path / "rootfs.tar"
    program.write_bytes(b"\x7fELF and more")
    with tarfile.open(rootfs, "w") as tar:
        entry = tarfile.TarInfo("etc/os-release")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"ID="))
    target = tmp_path / "image.tar"
    archives.write(
        target,
        ["example.org/one:1", "example.org/two:2"],
        {"usr/local/bin/one": program},
        links={"usr/local/bin/two": "one"},
        rootfs=rootfs,
        entrypoint=["/one"],
    )
    with tarfile.open(target) as archive:
        [manifest] = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(archive.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        layer = gzip.decompress(archive.extractfile(manifest["Layers"][0]).read())  # type: ignore[union-attr]
    assert manifest["RepoTags"] == ["example.org/one:1", "example.org/two:2"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["/one"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert files.getnames() == ["etc/os-release", "usr/local/bin/one", "usr/local/bin/two"]
        assert files.getmember("usr/local/bin/one").mode == 0o755
        assert files.getmember("usr/local/bin/two").linkname == "one"
    assert {path.name for path in tmp_path.iterdir()} == {"program", "rootfs.tar", "image.tar"}
