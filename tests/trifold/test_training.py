"""trifold.log_model: nothing that a model needs to be served is forgotten."""

import json

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import trifold
from trifold import profile
from trifold.errors import ProfileError, UntrustedModel
from trifold.ops import registry as registries
from trifold.ops.check import MODES, check
from trifold.profile import Feature


@pytest.fixture(scope="module")
def customers():
    """Numbers, words, a switch, and missing values in one column."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": random.integers(18, 90, 300),
            "spent": np.where(random.random(300) < 0.1, np.nan, random.lognormal(3, 1, 300)),
            "member": random.random(300) < 0.5,
            "town": random.choice(["Ulm", "Bonn", "Kiel"], 300),
        }
    )


@pytest.fixture(scope="module")
def forest(customers):
    """A forest over the numbers, missing values and all; scikit-learn cannot log it without naming types."""
    X = customers[["age", "spent"]]
    return RandomForestClassifier(5, random_state=0).fit(X, X.age > 50), X


def test_a_model_logged_with_it_needs_nothing_more(registry, forest):
    """Every check says yes, with no finding but good ones."""
    model, X = forest
    info = trifold.log_model(model, X, registered_model_name="complete", title="Old enough?", threshold=0.7)
    report = check(registries.pin(f"complete/{info.registered_model_version}"))
    assert {report.verdict(mode) for mode in MODES} == {"yes"}
    assert {found.verdict for found in report.findings} == {"yes"}


def test_the_profile_says_what_the_signature_cannot(registry, customers):
    """Titles, units, choices and statistics travel with the model, so that no page or job repeats them."""
    X = pd.get_dummies(customers[["age", "town"]], columns=["town"], dtype=float)
    model = LogisticRegression().fit(X, X.age > 50)
    features = {"age": Feature(title="Age", unit="years", minimum=0)}
    info = trifold.log_model(model, X, title="Old enough?", features=features, key="customer", threshold=0.7)
    found = read(info)
    assert (found.title, found.key, found.threshold) == ("Old enough?", "customer", 0.7)
    age = found.features["age"]
    assert (age.title, age.unit, age.minimum, age.maximum) == ("Age", "years", 0, X.age.max())
    assert age.statistics["mean"] == pytest.approx(X.age.mean())
    assert age.statistics["quantiles"][5] == X.age.median()


def test_choices_and_missing_values_are_counted(registry, customers):
    """A form can offer what training saw, and drift can be told from what was missing then."""
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoder = make_column_transformer((OneHotEncoder(), ["town", "member"]), ("passthrough", ["age"]))
    model = make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(customers, customers.age > 50)
    found = read(trifold.log_model(model, customers))
    assert found.features["town"].choices == ("Bonn", "Kiel", "Ulm")
    assert sum(found.features["town"].statistics["counts"].values()) == len(customers)
    assert found.features["member"].choices == (False, True)
    assert found.features["spent"].statistics["missing"] == pytest.approx(customers.spent.isna().mean())


def test_the_reference_sample_is_of_the_training_data(registry, forest):
    """Parity is probed and drift measured on real rows."""
    model, X = forest
    info = trifold.log_model(model, X)
    folder = fetch(info)
    reference = pq.read_table(profile.find(folder, profile.REFERENCE_FILE)).to_pandas()
    assert list(reference.columns) == ["age", "spent"]
    assert len(reference) == len(X)
    assert set(reference.age) <= set(X.age)


def test_an_array_is_logged_as_a_tensor(registry):
    """Models of arrays have a reference sample as well."""
    X = np.random.default_rng(0).normal(size=(100, 3))
    info = trifold.log_model(LogisticRegression().fit(X, X[:, 0] > 0), X, registered_model_name="array")
    report = check(registries.pin(f"array/{info.registered_model_version}"))
    assert report.verdict("online") == "yes"
    assert report.verdict("batch") == "no"


def test_requirements_are_what_the_model_needs_and_no_more(registry, forest):
    """MLflow's guess takes in whatever the training process had imported, pytest included."""
    lines = (fetch(trifold.log_model(*forest)) / "requirements.txt").read_text()
    assert {line.split("==")[0] for line in lines.split()} == {
        "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops",
    }  # fmt: skip


class Doubled(LogisticRegression):
    """A type that is not scikit-learn's."""


def test_types_of_others_need_a_word(registry):
    """Whoever logs a type of their own is told what it takes, before anything is logged."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(UntrustedModel, match="Doubled") as error:
        trifold.log_model(Doubled().fit(X, X[:, 0] > 0), X)
    assert error.value.types


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": {"agee": Feature()}}, "agee"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"key": "age"}, "key 'age'"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(registry, forest, options, words):
    """A typing error in the profile must not end as a form without the field."""
    with pytest.raises(ProfileError, match=words):
        trifold.log_model(*forest, **options)


def fetch(info):
    """A logged model's files."""
    from pathlib import Path

    return Path(mlflow.artifacts.download_artifacts(info.model_uri))


def read(info):
    """A logged model's profile, which is plain JSON."""
    folder = fetch(info)
    json.loads(profile.find(folder).read_text())
    return profile.read(folder)
