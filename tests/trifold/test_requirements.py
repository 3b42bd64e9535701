"""Requirements: the model's and the server's are locked together, or the conflict names both."""

import re

import pytest

from trifold.errors import RequirementsConflict, TrifoldError
from trifold.ops import requirements

MODEL = ["scikit-learn==1.9.1", "numpy==2.4.6"]


def test_a_lock_pins_every_package_with_hashes_and_names_no_index():
    """What was checked is what is installed, on any machine, from any index."""
    lock = requirements.lock(MODEL)
    pinned = re.findall(r"^([a-z0-9._-]+)==\S+", lock, re.MULTILINE)
    assert {"scikit-learn", "numpy", "bentoml", "starlette"} <= set(pinned)
    assert "mlflow" not in pinned
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "://" not in lock
    assert "scikit-learn==1.9.1" in lock


def test_a_lock_once_made_is_kept(monkeypatch):
    """The same model built tomorrow has the same packages, with no index at all."""
    first = requirements.lock(MODEL)
    monkeypatch.setattr(requirements, "run_uv", lambda *_, **__: pytest.fail("asked again"))
    assert requirements.lock(MODEL) == first


def test_mlflow_is_left_out():
    """A running image imports none of it, and it is larger than all the rest."""
    lines = ["mlflow==3.17.2", "mlflow-skinny==3.17.2", "scikit-learn==1.9.1"]
    assert requirements.of_model(lines) == ["scikit-learn==1.9.1"]


@pytest.mark.parametrize("line", ["-e .", "./wheels/mine.whl", "--extra-index-url http://127.0.0.1/", "git+ssh://x/y"])
def test_what_no_index_has_is_refused(line):
    """An image cannot install a path of the training machine."""
    with pytest.raises(RequirementsConflict, match="no package name"):
        requirements.of_model([line])


def test_a_pin_against_the_servers_names_both():
    """Who has to change what must be clear from the message."""
    with pytest.raises(RequirementsConflict, match=r"starlette==0\.27\.0 .*starlette>=0\.49\.1"):
        requirements.lock([*MODEL, "starlette==0.27.0"])


def test_a_conflict_further_down_is_explained():
    """Two pins that cannot be met together are told in the resolver's words."""
    with pytest.raises(RequirementsConflict, match=r"attrs==20\.1\.0.* cannot be met together: .*bentoml"):
        requirements.lock(["attrs==20.1.0"])


def test_an_index_that_does_not_answer_is_said(monkeypatch, free_port, own_home, tmp_path):
    """A closed network is no fault of the requirements."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{free_port()}/")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    with pytest.raises(TrifoldError, match="uv could not lock"):
        requirements.lock(["scikit-learn==1.9.1", "cloudpickle==3.1.2"])
