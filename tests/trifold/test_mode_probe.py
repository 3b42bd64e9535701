"""Each mode's own code answers the example in the model's environment; what fails there rules out that mode alone."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from trifold import digest
from trifold.ops.findings import MODES, Report
from trifold.ops.modes import Rehearsal
from trifold.ops.registry import Pin
from trifold.packed import Packed

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
MODEL = LogisticRegression().fit(X, X.a + X.b > 0)
EXPECTED = {"predictions": MODEL.predict(X[:3]).tolist(), "probabilities": [MODEL.predict_proba(X[:3]).tolist()]}


@pytest.fixture
def packed(tmp_path):
    """A packed model, and the report that it is from."""
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    skops.io.dump(MODEL, artifact / "model.skops")
    contract = {"signature": infer_signature(X, MODEL.predict(X)).to_dict(), "profile": None, "dtypes": {}}
    named = digest.digest(artifact)
    rows = tuple(json.loads(X[:3].to_json(orient="records", double_precision=15)))
    report = Report(Pin("churn", "3", None, "", named, "", artifact))
    return report, Packed("churn", "3", "", named, "model.skops", "skops", contract, input_example=rows)


def rehearse(packed, expected=EXPECTED, modes=MODES):
    """The verdict of each mode, and what was found."""
    report, model = packed
    with Rehearsal(Path(sys.executable), modes) as rehearsal:
        rehearsal.run(report, model, expected)
    return [report.verdict(mode) for mode in MODES], {found.subject: found for found in report.findings}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a module of these lines in the place of an installed one."""

    def put(name, text):
        (tmp_path / "modules" / name).mkdir(parents=True)
        (tmp_path / "modules" / name / "__init__.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))

    return put


def test_all_modes_answer(packed):
    """The real server's app, a real run into files, real events: a yes that was seen."""
    verdicts, found = rehearse(packed)
    assert verdicts == ["yes"] * 3, found
    assert found["commands"].says.startswith("online, batch and stream")


def test_an_arrow_that_cannot_be_imported_rules_out_batch_and_stream_alone(packed, stand_in):
    """With numpy 1 the lock took pyarrow 26, and check said yes to all three."""
    stand_in("pyarrow", "raise ImportError('pyarrow requires NumPy 2.0 or newer, found 1.26.4')")
    verdicts, found = rehearse(packed)
    assert verdicts == ["yes", "no", "no"]
    assert "pyarrow requires NumPy 2.0 or newer, found 1.26.4" in found["batch"].says
    assert "cronjobs/score.py cannot be imported" in found["batch"].says
    assert found["batch"].fix
    assert found["commands"].says.startswith("online: ")


@pytest.mark.parametrize(("module", "mode"), [("bentoml", "online"), ("adbc_driver_postgresql", "batch")])
def test_a_driver_or_bentoml_that_cannot_be_imported_is_found(packed, stand_in, module, mode):
    """Whatever a mode needs when it runs is imported now, the store's driver too."""
    stand_in(module, "raise OSError('libpq.so.5: cannot open shared object file')")
    verdicts, found = rehearse(packed, modes=(mode,))
    assert verdicts[MODES.index(mode)] == "no"
    assert "libpq.so.5" in found[mode].says


def test_a_crash_in_one_mode_leaves_the_others_to_be_tried(packed, stand_in):
    """Compiled code that ends the process takes no other mode with it."""
    stand_in("confluent_kafka", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    verdicts, found = rehearse(packed, modes=("batch", "stream"))
    assert verdicts == ["yes", "yes", "no"], found
    assert "SIGSEGV, a crash" in found["stream"].says
    assert found["commands"].says.startswith("batch: ")


def test_answers_that_are_not_scikit_learns_are_found_in_each_mode(packed):
    """What a mode answers is compared, not only that it does."""
    other = {"predictions": [not value for value in EXPECTED["predictions"]]}
    verdicts, found = rehearse(packed, other)
    assert verdicts == ["no"] * 3
    assert all("example" in found[mode].says for mode in MODES)
