"""The command line: whatever is wrong is one sentence on stderr, exit code 1, no traceback, nothing half done."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

TRIFOLD = str(Path(sys.executable).parent / "trifold")


def trifold(*arguments, **environment):
    """Run the real command."""
    return subprocess.run(
        [TRIFOLD, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def interruptible():
    """A shell lets what it starts in the background ignore Ctrl-C, and so would the tests' own children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def assert_one_sentence(done, words):
    """What a user sees of a refusal."""
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("trifold:")]
    assert len(lines) == 1, done.stderr
    assert re.search(words, lines[0]), lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["check", "build", "serve", "deploy", "undeploy", "status"])
def test_help_has_an_example(command):
    """Who forgets how a command is called asks it."""
    done = trifold(command, "--help")
    assert done.returncode == 0
    assert re.search(rf"Example: trifold {command}( churn(@champion)?)?( |$)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [("status",), ("deploy", "churn@champion")])
def test_no_cluster_is_one_sentence(command, tmp_path, free_port):
    """Before anything is built, and in seconds."""
    assert_one_sentence(trifold(*command, KUBECONFIG=str(tmp_path / "none")), "No cluster is configured .*make -s env")
    server = f"https://127.0.0.1:{free_port()}"
    config = {
        "current-context": "gone",
        "clusters": [{"name": "gone", "cluster": {"server": server}}],
        "users": [{"name": "gone", "user": {"token": "x"}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "gone"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    assert_one_sentence(trifold(*command, KUBECONFIG=str(tmp_path / "config")), "The cluster does not (answer|show)")


def test_a_release_name_that_the_gateway_refuses_is_said_first(tmp_path):
    """A minute of building for a name that cannot be is a minute lost."""
    done = trifold("deploy", "churn@champion", "--release", "Churn_1")
    assert_one_sentence(done, "'Churn_1' is no name for a release")


@pytest.mark.parametrize("command", ["check", "build", "serve"])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nosuch@champion", "no model 'nosuch'"),
        ("customers@nosuch", "no alias 'nosuch'"),
        ("customers/999", "no version 999"),
        ("a b c", "names no model"),
    ],
)
def test_what_the_registry_does_not_have_is_one_sentence(built_customers, free_port, command, address, words):
    """A typing error costs a second."""
    more = ["--port", str(free_port())] if command == "serve" else []
    assert_one_sentence(trifold(command, address, *more), words)


def test_a_registry_that_is_away_is_one_sentence(free_port):
    """MLflow's retries would take minutes, and its traceback a page."""
    done = trifold("check", "churn@champion", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert_one_sentence(done, "does not answer; start it, or set MLFLOW_TRACKING_URI")


def test_a_taken_port_is_said_before_anything_slow(built_customers, customers_server):
    """A minute of building for a port that was never free is a minute lost."""
    done = trifold("serve", "customers/1", "--port", str(customers_server.port))
    assert_one_sentence(done, f"Port {customers_server.port} on 127.0.0.1 is taken")
    assert "check" not in done.stdout


def test_a_check_that_says_no_ends_with_1_and_the_lines_that_mend_it(registry):
    """A pipeline that runs the check must stop."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    mlflow.sklearn.log_model(
        model, name="model", registered_model_name="pickled-cli", serialization_format="cloudpickle",
        input_example=X[:3], pip_requirements=["scikit-learn", "cloudpickle"],
    )  # fmt: skip
    done = trifold("check", "pickled-cli/1")
    assert done.returncode == 1
    assert "--allow-pickle" in done.stdout
    assert "online no" in done.stdout
    refused = trifold("build", "pickled-cli/1", "--no-image")
    assert_one_sentence(refused, "works in no mode")


def test_a_full_disk_is_one_sentence(built_customers, tmp_path):
    """What runs out half-way must be said, and leave nothing that looks whole."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        done = trifold("build", "customers/1", TRIFOLD_HOME=str(tmp_path))
        assert_one_sentence(done, "No space left on device|could not")
        assert not list(tmp_path.glob("bentoml/bentos/*/*"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_a_line_to_try_and_ends_cleanly(built_customers, free_port, ending):
    """The printed curl line is the first thing a newcomer runs, Ctrl-C the last."""
    port = str(free_port())
    command = [TRIFOLD, "serve", "customers/1", "--port", port]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        line = next(line for line in process.stdout if line.startswith("curl "))
        answer = subprocess.run(
            ["sh", "-c", line.replace("curl", "curl -s", 1)], capture_output=True, text=True, check=True
        )
        assert '"model":"customers"' in answer.stdout
        process.send_signal(ending)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()
