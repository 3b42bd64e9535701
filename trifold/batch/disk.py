"""A folder on a disk or a mounted volume."""

import errno
import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from trifold.batch.folders import Entry, walk
from trifold.batch.storage import locate, said
from trifold.errors import JobError, Unavailable

SCRATCH = ".scratch"
"""Where files are until they are whole."""
SEEN_SECONDS = 70
"""After so long a client of NFS sees a file that another has made (acdirmax, nfs(5), and some)."""
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class DiskFolder:
    """A folder on a disk or a mounted volume, which NFS may be."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._system, path = locate(address, {})
        self._root = Path(path)

    def read(self, name: str) -> bytes | None:
        """See Folder.read."""
        with said(f"{self.address}/{name}"):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def open(self, name: str) -> pa.NativeFile | None:
        """See Folder.open."""
        with said(f"{self.address}/{name}"), suppress(FileNotFoundError):
            return self._system.open_input_file(str(self._root / name))
        return None

    def write(self, name: str, content: bytes) -> None:
        """See Folder.write."""
        self._made(name, content).done()

    def create(self, name: str) -> "DiskMaking":
        """See Folder.create."""
        return DiskMaking(self.address, self._root, name)

    def decide(self, name: str, content: bytes) -> bytes:
        """See Folder.decide; of all links to one name, the file system makes one, NFS too."""
        found = self.read(name)
        if found is None:
            self._made(name, content).link()
        ends = time.monotonic() + SEEN_SECONDS
        while found is None:
            found = self.read(name)
            if time.monotonic() > ends:
                raise Unavailable(f"{self.address}/{name} was there and is gone; start this process again.")
            if found is None:
                time.sleep(1)
        return found

    def _made(self, name: str, content: bytes) -> "DiskMaking":
        making = self.create(name)
        try:
            with said(f"{self.address}/{name}"):
                making.sink.write(content)
                making.sink.flush()
        except BaseException:
            making.drop()
            raise
        return making

    def names(self, name: str = "") -> list[str]:
        """See Folder.names."""
        with said(f"{self.address}/{name}"):
            try:
                return sorted(path.name for path in (self._root / name).iterdir() if path.name != SCRATCH)
            except FileNotFoundError:
                return []

    def walk(self, name: str) -> list[Entry]:
        """See Folder.walk."""
        with said(f"{self.address}/{name}"):
            return walk(self._system, str(self._root), name)

    def remove(self, name: str) -> None:
        """See Folder.remove."""
        with said(f"{self.address}/{name}"):
            (self._root / name).unlink(missing_ok=True)

    def clear(self, name: str) -> None:
        """See Folder.clear; what somebody has just written into it stays."""
        shutil.rmtree(self._root / name, ignore_errors=True)


class DiskMaking:
    """A file in the making, under another name until it is whole and the disk has it."""

    def __init__(self, address: str, root: Path, name: str) -> None:
        self._where, self._root, self._final = f"{address}/{name}", root, root / name
        self._path = root / SCRATCH / uuid.uuid4().hex
        with said(self._where):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self.sink: BinaryIO = self._path.open("xb")

    def done(self) -> int:
        """See Making.done."""
        with said(self._where):
            size = self._close()
            self._path.replace(self._final)
            self._keep()
            return size

    def link(self) -> None:
        """Let it be there unless there is one already."""
        with said(self._where):
            self._close()
            try:
                os.link(self._path, self._final)
                self._keep()
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                raise JobError(f"{self._root} is on a file system without hard links; use another.") from None
            finally:
                self._path.unlink(missing_ok=True)

    def drop(self) -> None:
        """See Making.drop."""
        with suppress(OSError):  # a full disk does not take what is left
            self.sink.close()
        with suppress(OSError):
            self._path.unlink()

    def _close(self) -> int:
        self.sink.flush()
        os.fsync(self.sink.fileno())
        size = self.sink.tell()
        self.sink.close()
        return size

    def _keep(self) -> None:
        """Let the disk have the name, too."""
        folder = os.open(self._final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
