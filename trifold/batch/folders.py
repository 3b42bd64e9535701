"""Folders whose files are there as a whole or not at all, and may be decided on once: what disk.py and s3.py give."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import fs


@dataclass(frozen=True)
class Entry:
    """A file of a folder: its name in it, its size in bytes, and when it was written."""

    name: str
    bytes: int
    written: datetime


class Folder(Protocol):
    """A folder; names in it are relative, with slashes.

    Attributes:
        address: As people write it, such as s3://bucket/predictions.
    """

    address: str

    def read(self, name: str) -> bytes | None:
        """A file's content; None if there is no such file."""

    def open(self, name: str) -> pa.NativeFile | None:
        """A file, to be read at any place; None if there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file at once."""

    def create(self, name: str) -> "Making":
        """Make a file piece by piece, that is there when it is done."""

    def decide(self, name: str, content: bytes) -> bytes:
        """Make a file unless it is there; gives what it holds, the same to all who ever ask, however many at once."""

    def names(self, name: str = "") -> list[str]:
        """Names of what is in a folder, in order; none if it is not there."""

    def walk(self, name: str) -> list[Entry]:
        """All files in a folder and in those in it."""

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""

    def clear(self, name: str) -> None:
        """Remove a folder with all that is in it; it may be gone already."""


class Making(Protocol):
    """A file in the making; `sink` is what takes its bytes."""

    sink: Any

    def done(self) -> int:
        """It is whole: let it be there; gives its size."""

    def drop(self) -> None:
        """Let it never have been."""


def open_folder(address: str, environment: Mapping[str, str]) -> Folder:
    """The folder at an address; it need not be there yet.

    Raises:
        JobError: No address of a folder.
    """
    from trifold.batch.disk import DiskFolder
    from trifold.batch.s3 import S3Folder

    return DiskFolder(address) if address.startswith("file://") else S3Folder(address, environment)


def walk(system: fs.FileSystem, root: str, name: str) -> list[Entry]:
    """All files of a file system below a name in a folder."""
    selector = fs.FileSelector(f"{root}/{name}".rstrip("/"), allow_not_found=True, recursive=True)
    return [
        Entry(info.path[len(root) + 1 :], info.size, info.mtime or datetime.now(UTC))
        for info in system.get_file_info(selector)
        if info.type == fs.FileType.File
    ]
