"""Serve a Bento on this machine, with the packages of its lock, as its image would."""

import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import requests

from trifold.errors import ServeError
from trifold.ops.home import home
from trifold.ops.packaging import Built

START_SECONDS = 90
POLL_SECONDS = 0.05


def require_free(host: str, port: int) -> None:
    """Make sure that a port can be listened on, before anything slow is done.

    Raises:
        ServeError: It is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServeError(f"Port {port} on {host} is taken; end what listens there, or choose --port.") from None
            raise ServeError(f"Port {port} on {host} cannot be used ({error.strerror}); choose --port.") from None


@contextmanager
def server(built: Built, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the Bento that is ready; it ends with the context.

    Raises:
        ServeError: It ended, or was not ready after 90 s.
    """
    environment = {
        **os.environ,
        "BENTOML_HOME": str(home() / "bentoml"),
        "TRIFOLD_MODEL": str(built.model),
        "TRIFOLD_HOST": host,
        "TRIFOLD_PORT": str(port),
        "PYTHONPATH": "",
    }
    command = [str(built.python), "-m", "trifold.online.server"]
    process = subprocess.Popen(command, cwd=built.bento / "src", env=environment)
    try:
        _await_ready(process, host, port)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def curl(built: Built, host: str, port: int) -> str:
    """A line that posts the first row of the model's input example."""
    document = orjson.loads((built.model / "trifold.json").read_bytes())
    body = orjson.dumps({"rows": document["input_example"][:1]}).decode()
    quoted = body.replace("'", "'\\''")
    return f"curl http://{host}:{port}/predict -H 'Content-Type: application/json' -d '{quoted}'"


def _await_ready(process: subprocess.Popen[bytes], host: str, port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServeError("The server ended before it was ready; its last line says why.")
        try:
            if requests.get(f"http://{host}:{port}/readyz", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(POLL_SECONDS)
    raise ServeError(f"The server was not ready after {START_SECONDS} s.")
