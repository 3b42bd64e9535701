"""`bentoml serve` of a built Bento serves the same routes as our server."""

import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest
import yaml

from trifold.ops.home import home

SECONDS = 90


def ask(port, method, path, body=None):
    """Status and body of one answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def await_model(process, port):
    """GET /model of a server that is starting."""
    last, end = None, time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            last = ask(port, "GET", "/model")
            if last[0] == 200:
                return json.loads(last[1])
        except OSError as error:
            last = error
        time.sleep(0.1)
    return pytest.fail(f"bentoml serve did not answer in {SECONDS} s; last seen: {last}")


@pytest.fixture(scope="module")
def bentoml_server(built_customers, free_port):
    """The Bento, served by BentoML's own command with the packages of its lock."""
    port = free_port()
    environment = {**os.environ, "BENTOML_HOME": str(home() / "bentoml")}
    command = [str(built_customers.python), "-m", "bentoml", "serve", built_customers.tag, "--port", str(port)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield port, await_model(process, port)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_the_same_routes_are_served(bentoml_server, customers_server):
    """Who knows BentoML needs nothing of ours to serve what we built."""
    port, model = bentoml_server
    assert model == customers_server.model
    body = json.dumps({"rows": model["input_example"]})
    status, answer = ask(port, "POST", "/predict", body)
    assert (status, json.loads(answer)) == customers_server.predict(body)
    assert ask(port, "POST", "/predict", '{"rows": [1]}')[0] == 422


def test_the_bento_carries_pin_and_parity(built_customers):
    """A Bento in a store, or an image in a registry, says by itself which model it is."""
    labels = yaml.safe_load((built_customers.bento / "bento.yaml").read_text())["labels"]
    packed = json.loads((built_customers.model / "trifold.json").read_text())
    assert labels["model"] == packed["name"] == "customers"
    assert labels["digest"] == packed["digest"]
    assert labels["model_version"] == packed["version"]
    assert labels["parity"] == packed["parity"]


def test_nothing_of_this_machine_is_in_the_bento(built_customers):
    """A path of the build machine is of no use elsewhere and tells too much."""
    home_folder = os.fsencode(sys.prefix.rpartition("/")[0])
    files = [path for path in built_customers.bento.rglob("*") if path.is_file()]
    assert files
    assert [str(path) for path in files if home_folder in path.read_bytes()] == []
    assert not [path for path in files if {"ops", "tests", ".venv", ".trifold"} & set(path.parts[-4:-1])]
