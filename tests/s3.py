"""A real S3 server for the tests, moto's, and folders in it or on the disk for jobs to read and write."""

import itertools
import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyarrow import fs

from tests.postgres import free_port
from trifold.batch.storage import locate

SECONDS = 60


@dataclass
class Place:
    """A folder for a test: its address, and what the environment says of S3."""

    address: str
    environment: dict = field(default_factory=dict)

    def put(self, name, content):
        """Make a file; gives its address."""
        system, path = locate(f"{self.address}/{name}", self.environment)
        system.create_dir(path.rpartition("/")[0])
        with system.open_output_stream(path, compression=None) as stream:
            stream.write(content)
        return f"{self.address}/{name}"

    def files(self, name=""):
        """Names of all files below a folder, in order."""
        system, path = locate(f"{self.address}/{name}".rstrip("/"), self.environment)
        infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        return sorted(info.path[len(path) + 1 :] for info in infos if info.type == fs.FileType.File)

    def read(self, name):
        """A file's content."""
        system, path = locate(f"{self.address}/{name}", self.environment)
        with system.open_input_stream(path, compression=None) as stream:
            return stream.read()


@dataclass
class S3:
    """A server on loopback."""

    port: int
    numbers: itertools.count = field(default_factory=itertools.count)

    @property
    def environment(self):
        """What the chart would set."""
        names = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        return {**names, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def bucket(self):
        """A new bucket."""
        name = f"bucket-{next(self.numbers)}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310 - our own
        return Place(f"s3://{name}/folder", self.environment)


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """This worker's server."""
    found = subprocess.run(
        [Path(__file__).parents[1] / "tools/s3", "--print"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    port, log = free_port(), tmp_path_factory.mktemp("s3") / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with log.open("wb") as out:
        command = [found.stdout.strip(), "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        _await(port, process, log)
        yield S3(port)
    finally:
        process.terminate()
        process.wait(SECONDS)


def _await(port, process, log):
    ends = time.monotonic() + SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return
        except (OSError, urllib.error.URLError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends, log.read_text()


@pytest.fixture
def disk(tmp_path):
    """A folder on the disk."""
    return Place((tmp_path / "folder").as_uri())


@pytest.fixture(params=["disk", "s3"])
def place(request):
    """A folder on the disk, and one in S3."""
    return request.getfixturevalue("disk") if request.param == "disk" else request.getfixturevalue("s3").bucket()
