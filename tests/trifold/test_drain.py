"""The server's end: from SIGTERM on it answers and lets clients leave, and only then it ends."""

import json
import os
import signal
import subprocess
import time
from http.client import HTTPConnection

import pytest

from trifold.ops.serve import server
from trifold.settings import Settings

ROW = {"tenure": 5, "charges": 70.5, "total": 300.0, "active": True, "plan": "plus", "region": "north"}
BODY = json.dumps({"rows": [ROW]})
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def start(built_customers, free_port, monkeypatch):
    """A context: a server that drains for some seconds, and its port."""

    def start_one(seconds):
        port = free_port()
        monkeypatch.setenv("TRIFOLD_DRAIN_SECONDS", str(seconds))
        return server(built_customers, "127.0.0.1", port), port

    return start_one


def ask(connection, method="POST", path="/predict"):
    """Status, whether the connection will be closed, and body."""
    connection.request(method, path, BODY if method == "POST" else None, JSON)
    answer = connection.getresponse()
    return answer.status, answer.getheader("connection") == "close", answer.read()


def test_a_server_that_drains_answers_old_and_new_connections_and_closes_them(start):
    """Requests that were on their way when the pod was told to end are answered; clients go of themselves."""
    running, port = start(3)
    with running as process:
        idle, busy = HTTPConnection("127.0.0.1", port), HTTPConnection("127.0.0.1", port)
        assert ask(idle)[:2] == (200, False)
        assert ask(busy)[:2] == (200, False)
        process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + 3
        while (said := ask(HTTPConnection("127.0.0.1", port), "GET", "/readyz"))[0] == 200:
            assert time.monotonic() < ends, "it never stopped being ready"
        assert said[0] == 503
        assert b'"rule":"busy"' in said[2]
        assert ask(idle)[:2] == (200, True)
        assert ask(HTTPConnection("127.0.0.1", port))[:2] == (200, True)
        assert ask(busy, "GET", "/livez")[:2] == (200, True)
        assert process.poll() is None
        assert process.wait(15) == 0


def test_a_second_signal_ends_the_drain(start):
    """Who asks twice does not want to wait."""
    running, port = start(600)
    with running as process:
        process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + 10
        while ask(HTTPConnection("127.0.0.1", port), "GET", "/readyz")[0] == 200:
            assert time.monotonic() < ends, "it never began to drain"
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


@pytest.mark.parametrize(("seconds", "number"), [(0, signal.SIGTERM), (600, signal.SIGINT)])
def test_a_server_on_a_laptop_ends_at_once(start, seconds, number):
    """Nobody waits for a drain at Ctrl-C, nor where none was asked for."""
    running, port = start(seconds)
    with running as process:
        assert ask(HTTPConnection("127.0.0.1", port))[0] == 200
        process.send_signal(number)
        assert process.wait(15) == 0


def test_no_time_to_drain_is_the_default():
    """The chart asks for it; a server that nothing is in front of does not need it."""
    assert Settings.from_environment({}).drain_seconds == 0
    assert Settings.from_environment({"TRIFOLD_DRAIN_SECONDS": "0"}).drain_seconds == 0


def test_a_server_holds_no_arrow(built_customers):
    """Pandas would import it wherever it is installed, for 40 MB a pod that nothing uses."""
    code = (
        "import sys; from trifold.online import server; from trifold.settings import Settings; "
        "server.load(Settings.from_environment()); print('pyarrow.lib' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(built_customers.bento / "src")}
    environment |= {"TRIFOLD_MODEL": str(built_customers.model), "BENTOML_HOME": str(built_customers.bento.parents[2])}
    done = subprocess.run(
        [str(built_customers.python), "-c", code], cwd=built_customers.bento / "src", env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "False", done.stderr
