"""The digest: one SHA-256 that names an artifact's files, their sizes and their bytes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from trifold.errors import ArtifactError, DigestMismatch

LEFT_OUT = frozenset({"registered_model_meta", "model.yaml"})
"""Written by MLflow's download and by BentoML's store beside the artifact's own files."""


def digest(artifact: Path) -> str:
    """SHA-256 in hex over the sorted list of (path, size, SHA-256) of all files.

    Raises:
        ArtifactError: There is no file, or a link, whose target could change unseen.
    """
    manifest = sorted(_files(artifact, artifact))
    if not manifest:
        raise ArtifactError(f"The artifact folder {artifact.name!r} is missing or empty; fetch the model again.")
    total = hashlib.sha256()
    for path, size, sha256 in manifest:
        total.update(f"{path}\0{size}\0{sha256}\n".encode())
    return total.hexdigest()


def require(artifact: Path, expected: str) -> None:
    """Make sure that the files are the pinned ones.

    Raises:
        DigestMismatch: They are not.
    """
    found = digest(artifact)
    if found != expected:
        raise DigestMismatch(expected, found)


def _files(folder: Path, top: Path) -> Iterator[tuple[str, int, str]]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_symlink():
            raise ArtifactError(
                f"The artifact holds a link, {path.relative_to(top)}; log the model with the file itself."
            )
        if path.is_dir():
            yield from _files(path, top)
        elif path.parent != top or path.name not in LEFT_OUT:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            yield path.relative_to(top).as_posix(), path.stat().st_size, sha256
