"""The digest names an artifact's files, their sizes and their bytes."""

import hashlib

import pytest

from trifold import digest
from trifold.errors import ArtifactError, DigestMismatch


@pytest.fixture
def artifact(tmp_path):
    """A folder with two files, one of them deeper."""
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.skops").write_bytes(b"\x00\x01")
    return tmp_path


def test_digest_is_sha256_over_sorted_path_size_and_hash(artifact):
    """Another program can compute it from the format alone."""
    lines = []
    for path in ("MLmodel", "data/model.skops"):
        content = (artifact / path).read_bytes()
        lines.append(f"{path}\0{len(content)}\0{hashlib.sha256(content).hexdigest()}\n")
    assert digest.digest(artifact) == hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "data" / "model.skops").write_bytes(b"\x00\x02"),
        lambda top: (top / "data" / "model.skops").rename(top / "data" / "other.skops"),
        lambda top: (top / "added").write_bytes(b""),
        lambda top: (top / "MLmodel").unlink(),
        lambda top: (top / "data" / "registered_model_meta").write_text("x"),
        lambda top: (top / "data" / "model.yaml").write_text("x"),
    ],
    ids=["byte", "name", "added", "removed", "meta deeper", "model.yaml deeper"],
)
def test_any_change_is_seen(artifact, change):
    """A model that was swapped after it was checked must not run."""
    before = digest.digest(artifact)
    change(artifact)
    assert digest.digest(artifact) != before
    with pytest.raises(DigestMismatch, match=before[:12]):
        digest.require(artifact, before)


def test_files_of_the_download_and_of_the_store_are_left_out(artifact):
    """MLflow and BentoML add a file each beside the artifact's own."""
    before = digest.digest(artifact)
    (artifact / "registered_model_meta").write_text("model_name: x")
    (artifact / "model.yaml").write_text("name: x")
    digest.require(artifact, before)


@pytest.mark.parametrize("target", ["MLmodel", "data", "nowhere"])
def test_links_are_refused(artifact, target):
    """What a link points at can change without the artifact changing."""
    (artifact / "link").symlink_to(artifact / target)
    with pytest.raises(ArtifactError, match="link"):
        digest.digest(artifact)


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    """A fetch that brought nothing must not be pinned."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ArtifactError, match="missing or empty"):
            digest.digest(folder)
