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


LINKS = [
    "-e .",
    "./mine.whl",
    "--extra-index-url http://127.0.0.1/",
    "git+ssh://x/y",
    "mine @ https://127.0.0.1/mine.whl",
]


@pytest.mark.parametrize("line", LINKS)
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


def test_a_password_in_a_requirement_is_not_repeated():
    """Reports are pasted into tickets."""
    with pytest.raises(RequirementsConflict, match="http://index/simple") as error:
        requirements.of_model(["--index-url http://me:secret@index/simple"])
    assert "secret" not in str(error.value)


def test_a_pin_against_the_servers_names_the_file_that_has_it():
    """Where the line stands that has to change."""
    with pytest.raises(RequirementsConflict, match=r"scikit-learn==1\.2\.2 \(its MLmodel\) .*scikit-learn>=1"):
        requirements.lock(["scikit-learn==1.2.2"], sources={"scikit-learn==1.2.2": "MLmodel"})


def test_numpy_1_is_locked_with_an_arrow_that_can_be_imported_beside_it():
    """From 26 on pyarrow refuses numpy 1 when it is imported and not before: batch and stream were a false yes."""
    versions = requirements.locked(requirements.lock(["scikit-learn==1.5.2", "numpy==1.26.4", "pandas==2.2.3"]))
    assert versions["numpy"] == "1.26.4"
    assert int(versions["pyarrow"].partition(".")[0]) < 26


def test_a_kept_lock_that_does_not_fit_is_made_anew(monkeypatch, tmp_path):
    """An older Trifold made it, and it would never be looked at again."""
    monkeypatch.setenv("TRIFOLD_HOME", str(tmp_path))
    texts = iter(["numpy==1.26.4\npyarrow==26.0.1\n", "numpy==1.26.4\npyarrow==25.0.1\n"] * 2)
    asked = []

    def compile_texts(wanted, model, constraints):
        asked.append(list(constraints))
        return next(texts)

    monkeypatch.setattr(requirements, "_compile", compile_texts)
    first = requirements.lock(["numpy==1.26.4"])
    assert first == requirements.lock(["numpy==1.26.4"]) == "numpy==1.26.4\npyarrow==25.0.1\n"
    assert asked == [[], ["pyarrow<26"]]
    [kept] = (tmp_path / "locks").iterdir()
    kept.write_text("numpy==1.26.4\npyarrow==26.0.1\n")
    assert requirements.lock(["numpy==1.26.4"]) == first


def test_packages_that_cannot_fit_say_why():
    """A model that pins both gets the reason, which no package says."""
    with pytest.raises(RequirementsConflict, match="cannot be imported beside numpy 1"):
        requirements.lock(["numpy==1.26.4", "pyarrow==26.0.0"])


def test_constraints_hold_for_packages_that_others_need():
    """MLflow's constraints.txt is one of the files that say which versions the model was made with."""
    text = requirements.lock(MODEL, constraints=["scipy==1.16.3"])
    assert requirements.locked(text)["scipy"] == "1.16.3"
    assert text != requirements.lock(MODEL)


def test_locked_versions_are_those_of_the_image():
    """A lock for several Pythons has a line for each."""
    lines = (
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:a\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:b\npandas==3.1.1 \\\n    --hash=sha256:c\n"
    )
    assert requirements.locked(lines) == {"numpy": "2.4.6", "pandas": "3.1.1"}
