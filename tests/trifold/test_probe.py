"""The probe, in this process: missing values, answers that JSON has no word for, another version of scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
import skops.io
from mlflow.models import infer_signature
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from trifold.answers import Answers
from trifold.errors import ArtifactError, RowsRefused
from trifold.ops import probe

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
Y = X.a + X.b


def specify(folder, model, X, **more):
    """What check gives the probe."""
    skops.io.dump(model, folder / "model.skops")
    signature = infer_signature(X, np.zeros(len(X)))
    return {
        "file": "model.skops", "format": "skops", "code": None, "trusted": [], "allow_pickle": False,
        "artifact": str(folder), "contract": {"signature": signature.to_dict(), "profile": None, "dtypes": {}},
        "hints": {}, "deep": 0, "rows": json.loads(X[-3:].to_json(orient="records")), **more,
    }  # fmt: skip


def tried(folder, model, X, **more):
    """What the probe says, without the slow search for parity."""
    return probe.try_model(specify(folder, model, X, **more), probe.Attempt())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Parity has tests of its own."""
    monkeypatch.setattr(probe, "probe", lambda model, sample: "native")


def test_a_gap_that_the_model_takes_is_found_in_a_required_column(tmp_path):
    """input_example=X.head() had no gap by chance, and every null was refused although check said yes."""
    found = tried(tmp_path, HistGradientBoostingRegressor(max_iter=2).fit(X, Y), X)
    assert found["takes_missing"] == ["a", "b", "c"]
    assert found["refuses_missing"] == []


def test_a_gap_that_the_model_refuses_is_not_asked_for(tmp_path):
    """A linear model has no use for a row without a number: that its columns are required is right."""
    found = tried(tmp_path, LinearRegression().fit(X, Y), X)
    assert (found["takes_missing"], found["refuses_missing"]) == ([], [])


def test_a_gap_that_the_model_refuses_is_found_in_an_optional_column(tmp_path):
    """The signature promises what the model does not keep."""
    gaps = X.assign(a=X.a.mask(X.index == 1))
    found = tried(tmp_path, LinearRegression().fit(X, Y), gaps)
    assert (found["takes_missing"], found["refuses_missing"]) == ([], ["a"])
    found = tried(tmp_path, make_pipeline(SimpleImputer(), LinearRegression()).fit(gaps, Y), gaps)
    assert (found["takes_missing"], found["refuses_missing"]) == (["b", "c"], [])


def test_looking_for_gaps_ends_in_time(tmp_path, monkeypatch):
    """500 columns of a slow model must not make check slow."""
    monkeypatch.setattr(probe, "MISSING_SECONDS", 0.0)
    found = tried(tmp_path, HistGradientBoostingRegressor(max_iter=2).fit(X, Y), X)
    assert found["takes_missing"] == ["a"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.timedelta64(3, "s"), "spans of time"),
        (b"yes", "bytes"),
        (1 + 2j, "complex numbers"),
    ],
)
def test_answers_that_json_has_no_word_for_are_refused_in_words(answer, words):
    """Nanoseconds since 1970, or a TypeError, were what a client or check got."""
    for dtype in (None, object):
        with pytest.raises(ArtifactError, match=f"answers are {words}, .*astype"):
            probe._require_plain(Answers(np.array([answer], dtype=dtype)))


@pytest.mark.parametrize("answer", [1, 1.5, True, "yes", np.float32(1)])
def test_plain_answers_pass(answer):
    """Numbers, text and booleans are what JSON and tables have."""
    for dtype in (None, object):
        probe._require_plain(Answers(np.array([answer], dtype=dtype)))


def test_classes_that_are_times_are_text(tmp_path):
    """scikit-learn takes them for labels, and a table would hold numbers of nanoseconds."""
    times = np.where(Y > 0, np.datetime64("2024-01-01", "ns"), np.datetime64("2025-01-01", "ns"))
    found = tried(tmp_path, DummyClassifier(strategy="prior").fit(X, times), X)
    assert set(found["answers"]["predictions"]) <= {"2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"}


def test_the_scikit_learn_that_fitted_a_model_is_noted(tmp_path, monkeypatch):
    """What loads may still predict otherwise: scikit-learn warns of it, and nobody read the warning."""
    model = LogisticRegression().fit(X, Y > 0)
    with monkeypatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.4.2")
        specification = specify(tmp_path, model, X)
    attempt = probe.Attempt()
    probe.try_model({**specification, "contract": None}, attempt)
    assert attempt.fitted_by == ["1.4.2"]
    assert attempt.step == "load"


def test_the_step_that_failed_is_known(tmp_path):
    """A model that cannot predict is told otherwise than one that cannot be loaded."""
    attempt = probe.Attempt()
    with pytest.raises(RowsRefused, match="features"):
        probe.try_model(specify(tmp_path, LinearRegression().fit(X[["a"]], Y), X), attempt)
    assert attempt.step == "predict"
