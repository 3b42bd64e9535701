"""A folder in S3, or in a server that speaks its language."""

from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa
from pyarrow import fs

from trifold.batch.decisions import agree
from trifold.batch.folders import Entry, walk
from trifold.batch.storage import locate, said
from trifold.errors import TrifoldError


class S3Folder:
    """A folder in S3, or in a server that speaks its language.

    It asks for what S3 promises: who lists or reads after a write sees it (https://aws.amazon.com/s3/consistency).
    """

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self.address = address
        self._system, self._root = locate(address, environment)

    def read(self, name: str) -> bytes | None:
        """See Folder.read."""
        with said(f"{self.address}/{name}"):
            try:
                with self._system.open_input_stream(f"{self._root}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def open(self, name: str) -> pa.NativeFile | None:
        """See Folder.open."""
        with said(f"{self.address}/{name}"), suppress(FileNotFoundError):
            return self._system.open_input_file(f"{self._root}/{name}")
        return None

    def write(self, name: str, content: bytes) -> None:
        """See Folder.write; S3 replaces an object at once."""
        with said(f"{self.address}/{name}"), self._system.open_output_stream(f"{self._root}/{name}") as stream:
            stream.write(content)

    def create(self, name: str) -> "S3Making":
        """See Folder.create."""
        with said(f"{self.address}/{name}"):
            return S3Making(self, name, self._system.open_output_stream(f"{self._root}/{name}"))

    def decide(self, name: str, content: bytes) -> bytes:
        """See Folder.decide."""
        return agree(self, name, content)

    def names(self, name: str = "") -> list[str]:
        """See Folder.names."""
        with said(f"{self.address}/{name}"):
            selector = fs.FileSelector(f"{self._root}/{name}".rstrip("/"), allow_not_found=True)
            return sorted(info.base_name for info in self._system.get_file_info(selector))

    def walk(self, name: str) -> list[Entry]:
        """See Folder.walk."""
        with said(f"{self.address}/{name}"):
            return walk(self._system, self._root, name)

    def remove(self, name: str) -> None:
        """See Folder.remove."""
        with said(f"{self.address}/{name}"), suppress(FileNotFoundError):
            self._system.delete_file(f"{self._root}/{name}")

    def clear(self, name: str) -> None:
        """See Folder.clear."""
        with said(f"{self.address}/{name}"), suppress(FileNotFoundError):
            self._system.delete_dir(f"{self._root}/{name}")


class S3Making:
    """An object in the making, which S3 has when its upload ends."""

    def __init__(self, folder: S3Folder, name: str, sink: pa.NativeFile) -> None:
        self.sink = sink
        self._folder, self._name = folder, name

    def done(self) -> int:
        """See Making.done."""
        with said(f"{self._folder.address}/{self._name}"):
            size = int(self.sink.tell())
            self.sink.close()
            return size

    def drop(self) -> None:
        """See Making.drop; Arrow can end an upload only by making the object."""
        with suppress(OSError, TrifoldError):
            self.sink.close()
            self._folder.remove(self._name)
