"""Serve a Bento on this machine, with the packages of its lock, as its image would."""

import errno
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from trifold.errors import ServeError
from trifold.online.lines import curl_line
from trifold.ops.home import home
from trifold.ops.packaging import Built
from trifold.packed import Packed

START_SECONDS = 90
STOP_SECONDS = 25
"""More than the server gives requests under way."""
POLL_SECONDS = 0.05
EVERY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}


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
                raise ServeError(
                    f"Port {port} on {host} is taken; end what listens there, or choose another --port."
                ) from None
            raise ServeError(
                f"Port {port} on {host} cannot be used ({error.strerror}); choose another --host or --port."
            ) from None


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
        "PYTHONPATH": str(built.bento / "src"),
    }
    command = [str(built.python), "-m", "trifold.online.server"]
    process = subprocess.Popen(command, cwd=built.bento / "src", env=environment)
    try:
        _await_ready(process, host, port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def url(host: str, port: int) -> str:
    """Where a server that listens there is reached from this machine."""
    host = EVERY_HOST.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def curl(built: Built, host: str, port: int) -> str:
    """A line that posts the first row of the model's input example."""
    return curl_line(url(host, port), Packed.read(built.model))


def _await_ready(process: subprocess.Popen[bytes], host: str, port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServeError(f"The server ended with exit code {process.returncode} before it was ready; see above.")
        if _is_ready(EVERY_HOST.get(host, host), port):
            return
        time.sleep(POLL_SECONDS)
    raise ServeError(f"The server was not ready after {START_SECONDS} s; try again when the machine is less busy.")


def _is_ready(host: str, port: int) -> bool:
    # http.client, since requests would go through a proxy that the environment names
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
