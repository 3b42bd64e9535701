"""A real PostgreSQL for the tests: a server of their own for each worker, a database of their own for each test."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trifold.database import Database

USER = "postgres"
SECONDS = 60


@dataclass
class Server:
    """A server that listens on loopback; `kill` and `start` it as often as a test likes."""

    programs: Path
    folder: Path
    port: int
    process: subprocess.Popen | None = None
    numbers: itertools.count = field(default_factory=itertools.count)

    def start(self):
        """Start it and wait until it answers."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", USER, self.folder], check=True)
        if not (self.folder / "data").exists():
            self._run("initdb", "--auth=trust", "--no-sync", f"--username={USER}", "--pgdata", self.folder / "data")
        # Processes are killed here, no machine: what the kernel has is not lost, and a disk need not be waited for.
        options = [
            "-p",
            self.port,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-c",
            "fsync=off",
        ]
        self.process = subprocess.Popen(
            self._as_user(self.programs / "postgres", "-D", self.folder / "data", *options),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            cwd=self.folder,
        )
        ends = time.monotonic() + SECONDS
        while subprocess.run(
            [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends, (self.folder / "log").read_text()

    def kill(self):
        """End it as a power cut would: every process of it at once."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        subprocess.run(self._as_user("kill", "-QUIT", pid), check=True)  # immediate: no checkpoint, recovery at start
        self.process.wait(SECONDS)

    def stop(self):
        """End it in order."""
        if self.process and self.process.poll() is None:
            self._run("pg_ctl", "stop", "--mode=fast", "--wait", "--pgdata", self.folder / "data")
            self.process.wait(SECONDS)

    def uri(self, database=USER, user=USER):
        """Address of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def fresh(self):
        """The address of a new database."""
        name = f"test_{next(self.numbers)}"
        with Database(self.uri(), autocommit=True) as database:
            database.run(f"CREATE DATABASE {name}")
        return self.uri(name)

    def _run(self, program, *arguments):
        argv = self._as_user(self.programs / program, *arguments)
        subprocess.run(argv, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def _as_user(self, *argv):
        """PostgreSQL does not run as root."""
        argv = [str(word) for word in argv]
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *argv] if os.geteuid() == 0 else argv


def programs():
    """The folder of PostgreSQL's programs, which tools/postgres finds or installs."""
    found = subprocess.run(
        [Path(__file__).parents[1] / "tools/postgres", "--print"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="session")
def postgres_server():
    """This worker's server."""
    folder = Path(tempfile.mkdtemp(prefix="trifold-postgres-", dir="/tmp"))
    folder.chmod(0o755)
    server = Server(programs(), folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server):
    """The address of a fresh database, as its owner."""
    return postgres_server.fresh()
