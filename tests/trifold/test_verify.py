"""What `helm test` runs: a server is compared with the model that it should serve."""

import json
import os
import shutil
import subprocess

import pytest

from trifold.errors import ServeError
from trifold.online.verify import verify


@pytest.fixture
def model(built_customers, tmp_path):
    """A copy of the packed model that a test may spoil."""
    return shutil.copytree(built_customers.model, tmp_path / "model")


@pytest.fixture
def address(customers_server):
    """Of a running server."""
    return f"http://127.0.0.1:{customers_server.port}"


def test_a_server_that_answers_as_at_build_passes(address, model):
    """The sentence says what was compared."""
    assert "serves customers version" in verify(address, model)
    assert "answers its example (5 rows) as at build" in verify(address + "/", model)


def test_several_outputs_are_compared_each(serve, built_numbers):
    """Probabilities of two outputs lie a list a row in JSON and an array an output in what is expected."""
    with serve(built_numbers) as running:
        verify(f"http://127.0.0.1:{running.port}", built_numbers.model)


@pytest.mark.parametrize("name", ["name", "version"])
def test_another_model_is_refused(address, model, name):
    """A Service that leads to another release answers well, and wrongly."""
    document = json.loads((model / "trifold.json").read_text())
    (model / "trifold.json").write_text(json.dumps({**document, name: "other"}))
    with pytest.raises(ServeError, match=rf"serves {name} '.+'; expected 'other'"):
        verify(address, model)


def test_another_digest_is_refused(address, model):
    """What the values ask for counts, not what the image says of itself."""
    with pytest.raises(ServeError, match="serves digest"):
        verify(address, model, "0" * 64)


@pytest.mark.parametrize("part", ["predictions", "probabilities"])
def test_other_answers_are_refused(address, model, part):
    """One number that differs is enough."""
    expected = json.loads((model / "expected.json").read_text())
    if part == "predictions":
        expected[part][0] = "?"
    else:
        expected[part][0][0][0] += 0.01
    (model / "expected.json").write_text(json.dumps(expected))
    with pytest.raises(ServeError, match="otherwise than plain scikit-learn did at build"):
        verify(address, model)


def test_an_example_that_is_refused_says_why(address, model):
    """The server's own words stand in the message."""
    document = json.loads((model / "trifold.json").read_text())
    document["input_example"][0]["tenure"] = "many"
    (model / "trifold.json").write_text(json.dumps(document))
    with pytest.raises(ServeError, match=r"/predict answers 422: .*tenure"):
        verify(address, model)


def test_the_command_ends_with_one_sentence(built_customers, address, model):
    """Helm shows the log of the pod that failed."""
    environment = {**os.environ, "TRIFOLD_MODEL": str(model), "TRIFOLD_DIGEST": "0" * 64}
    command = [str(built_customers.python), "-m", "trifold.online.verify", address]
    done = subprocess.run(
        command, cwd=built_customers.bento / "src", env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("trifold: http://")
