"""The server's process: what it refuses to start with, and how it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from trifold.errors import ServeError
from trifold.ops.serve import curl, require_free, url
from trifold.packed import Packed

ROW = {"tenure": 5, "charges": 70.5, "total": 300.0, "active": True, "plan": "plus", "region": "north"}
JSON = {"Content-Type": "application/json"}


def start(built, model, port, **variables):
    """Run the image's own command until it ends by itself; its exit code, standard output and error."""
    environment = {**os.environ, "TRIFOLD_MODEL": str(model), "TRIFOLD_PORT": str(port), "TRIFOLD_HOST": "127.0.0.1"}
    done = subprocess.run(
        [str(built.python), "-m", "trifold.online.server"],
        cwd=built.bento / "src", env=environment | variables, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def model(built_customers, tmp_path):
    """A copy of the packed model that a test may spoil."""
    return shutil.copytree(built_customers.model, tmp_path / "model")


def spoil(model, name, change):
    """Change one JSON file of a packed model."""
    file = model / name
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


class TestRefusesToStart:
    """One sentence on standard error, exit code 1, nothing that listens."""

    def refused(self, built, model, port, *words, **variables):
        """Check that the server ends with one sentence that has these words."""
        code, out, err = start(built, model, port, **variables)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith("trifold: ")
        assert all(word in err for word in words), err

    def test_another_digest_than_the_deployment_asks_for(self, built_customers, model, free_port):
        """The values say which model must run; an image with another one must not."""
        self.refused(built_customers, model, free_port(), "expected digest 000000000000", TRIFOLD_DIGEST="0" * 64)

    @pytest.mark.parametrize("name", ["model.skops", "MLmodel", "new.txt"])
    def test_changed_artifact(self, built_customers, model, free_port, name):
        """One byte more, in any file or in one that was not there, is another model."""
        with (model / "artifact" / name).open("ab") as file:
            file.write(b"\0")
        self.refused(built_customers, model, free_port(), "have changed")

    def test_answers_that_differ_from_those_at_build(self, built_customers, model, free_port):
        """Another processor or library that computes something else is found before the first request."""

        def turn(expected):
            return {**expected, "predictions": ["?" for _ in expected["predictions"]]}

        spoil(model, "expected.json", turn)
        self.refused(built_customers, model, free_port(), "otherwise than at build")

    def test_probabilities_that_differ_from_those_at_build(self, built_customers, model, free_port):
        """Equal labels hide a shift that thresholds would show."""

        def shift(expected):
            return {**expected, "probabilities": [[[a + 1e-3, b] for a, b in expected["probabilities"][0]]]}

        spoil(model, "expected.json", shift)
        self.refused(built_customers, model, free_port(), "otherwise than at build")

    @pytest.mark.parametrize("name", ["trifold.json", "expected.json", "artifact"])
    def test_missing_part(self, built_customers, model, free_port, name):
        """Half a model is none."""
        part = model / name
        shutil.rmtree(part) if part.is_dir() else part.unlink()
        self.refused(built_customers, model, free_port())

    @pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"interface": 1}'])
    def test_damaged_description(self, built_customers, model, free_port, text):
        """A file that was cut short is said to be no packed model."""
        (model / "trifold.json").write_text(text)
        self.refused(built_customers, model, free_port(), "no packed model")

    def test_another_interface(self, built_customers, model, free_port):
        """A model that another Trifold packed is not read by guessing."""
        spoil(model, "trifold.json", lambda document: {**document, "interface": 0})
        self.refused(built_customers, model, free_port(), "interface 0", "build it")

    def test_missing_folder(self, built_customers, tmp_path, free_port):
        """A wrong path is said, with the path."""
        self.refused(built_customers, tmp_path / "none", free_port(), str(tmp_path / "none"))

    def test_bad_setting(self, built_customers, model, free_port):
        """A typo in a deployment's values is named."""
        self.refused(built_customers, model, free_port(), "TRIFOLD_MAX_ROWS", "'many'", TRIFOLD_MAX_ROWS="many")

    def test_taken_port(self, built_customers, model):
        """It is said before the model is loaded."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refused(built_customers, model, port, f"port {port}", "in use")


class TestEnds:
    """Kubernetes sends SIGTERM and counts on the rest."""

    def test_sigterm_ends_it_with_zero(self, serve, built_customers):
        """An exit code of 143 would count as a failure, and a slow end as a reason to kill."""
        with serve(built_customers) as server:
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(10) == 0
            assert time.monotonic() - began < 5

    def test_sigterm_before_it_is_ready_ends_it_with_zero(self, built_customers, free_port):
        """A pod that is deleted while it starts is no crash."""
        process = subprocess.Popen(
            [str(built_customers.python), "-X", "importtime", "-m", "trifold.online.server"],
            cwd=built_customers.bento / "src", stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TRIFOLD_MODEL": str(built_customers.model), "TRIFOLD_PORT": str(free_port())},
        )  # fmt: skip
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.rstrip().endswith("numpy"):  # main() has begun, and the model is not loaded
                break
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(10) == 0
        assert "Traceback" not in "".join(seen) + rest

    def test_request_under_way_is_answered(self, serve, built_customers):
        """A rollout must not cost a client its answer."""
        body = json.dumps({"rows": [ROW] * 10_000})
        with serve(built_customers) as server, ThreadPoolExecutor(1) as client:
            asked = client.submit(server.ask, "POST", "/predict", body, JSON)
            end = time.monotonic() + 10
            while b"\ntrifold_waiting 1.0" not in server.ask("GET", "/metrics")[2] and not asked.done():
                assert time.monotonic() < end, "the request did not reach the model"
            server.process.terminate()
            status, _, answer = asked.result()
            assert (status, len(json.loads(answer)["predictions"])) == (200, 10_000)
            assert server.process.wait(10) == 0

    def test_half_a_request_does_not_keep_it(self, serve, built_customers, monkeypatch):
        """A client that stopped sending cannot keep a pod alive."""
        monkeypatch.setenv("TRIFOLD_BODY_SECONDS", "1")
        with serve(built_customers) as server:
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1"
            )
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(10) == 0
            connection.close()


class TestAddress:
    """Ports and addresses."""

    def test_taken_port_is_said_before_anything_slow(self):
        """Nobody wants to wait for a build to learn that the port is taken."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServeError, match=f"Port {port} on 127.0.0.1 is taken; end what listens there"):
                require_free("127.0.0.1", port)

    @pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid"])
    def test_address_of_another_machine_is_refused(self, host, free_port):
        """A typo in --host is said as such."""
        with pytest.raises(ServeError, match="cannot be used"):
            require_free(host, free_port())

    @pytest.mark.parametrize(
        ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")]
    )
    def test_address_can_be_opened(self, host, shown):
        """0.0.0.0 is where to listen and nowhere to go, and IPv6 needs brackets."""
        assert url(host, 3000) == f"http://{shown}:3000"

    def test_curl_line_survives_any_value(self, built_customers, tmp_path):
        """An apostrophe in an example must not end the shell's quotation."""
        document = json.loads((built_customers.model / "trifold.json").read_text())
        value = 'it\'s "$HOME" `id` \\ é'
        document["input_example"] = [{"text": value}]
        built = type(built_customers)(**{**vars(built_customers), "model": tmp_path})
        Packed(**document).write(tmp_path)
        line = curl(built, "127.0.0.1", 3000).replace("curl ", "printf '%s\\n' ", 1)
        words = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.splitlines()
        assert json.loads(words[-1]) == {"rows": [{"text": value}]}

    def test_server_is_found_past_a_proxy(self, serve, built_customers, monkeypatch):
        """Where the environment names a proxy, it must not be asked for this machine."""
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with serve(built_customers) as server:
            assert server.predict({"rows": [ROW]})[0] == 200
