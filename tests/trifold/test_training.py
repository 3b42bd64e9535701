"""trifold.log_model: nothing that a model needs to be served is forgotten."""

import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

import trifold
from trifold.contract import profile
from trifold.contract.profile import Feature, ImageInput
from trifold.errors import ProfileError, UntrustedModel
from trifold.ops import registry as registries
from trifold.ops.check import check
from trifold.ops.expected import ORIGINALS, originals
from trifold.ops.findings import MODES
from trifold.pictures import PictureRefused


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


@pytest.mark.parametrize("form", [list, pd.Series, lambda texts: np.array(texts, dtype=object)])
def test_texts_in_any_form_are_a_list(registry, form):
    """MLflow refuses a Series as an example, and has no type for an array of objects; a vectorizer takes all three."""
    X = form(["good day", "bad day", "bad night"] * 20)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(X, ["bad" in text for text in X])
    info = trifold.log_model(model, X)
    assert [str(column) for column in info.signature.inputs] == ["string (required)"]
    rows, about = originals(Path(mlflow.artifacts.download_artifacts(info.model_uri)) / ORIGINALS)
    assert about["kind"] == "array"
    assert sorted(rows.tolist()) == sorted(X)


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


@pytest.mark.parametrize(
    ("estimator", "options", "words"),
    [
        (LogisticRegression(), {"classes": {"1": "Yes."}}, "words for 1; the model's classes are false, true"),
        (LinearRegression(), {"classes": {"1": "Yes."}}, "a LinearRegression has no classes"),
        (KMeans(2), {"classes": {"0": "The first."}}, "a KMeans has no classes"),
        (LogisticRegression(), {"unit": "dollars"}, "unit is 'dollars', but a classifier's answer"),
        (LogisticRegression(), {"samples": {"A slice": b""}}, "say with image which size"),
    ],
)
def test_words_for_answers_that_there_are_not_are_refused(registry, estimator, options, words):
    """The words of a class that no answer has would never be shown."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ProfileError, match=words):
        trifold.log_model(estimator.fit(X, X[:, 0] > 0), X, **options)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (np.arange(50) % 2 > 0, ("true", "false")),
        (np.arange(50) % 2, ("0", "1")),
        (np.tile(["a", "b"], 25), ("a", "b")),
    ],
)
def test_classes_are_called_as_in_answers(registry, y, labels):
    """Labels are JSON text, so that the page finds the words for what was predicted."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    words = {name: f"It is {name}." for name in labels}
    assert read(trifold.log_model(LogisticRegression().fit(X, y), X, classes=words)).classes == words


def test_a_regressors_unit_and_the_note_are_kept(registry):
    """A number without its unit, or an answer without its caution, is half an answer."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    found = read(trifold.log_model(LinearRegression().fit(X, X[:, 0]), X, unit="minutes", note="By the plan."))
    assert (found.unit, found.note) == ("minutes", "By the plan.")


SIZE = ImageInput(16, 12)


@pytest.fixture(scope="module")
def pictures():
    """Files of pictures, brighter on one side or the other, and which side it is."""
    random = np.random.default_rng(0)
    right = random.random(60) < 0.5
    shade = np.linspace(0, 180, 32) * np.ones((24, 1))
    drawn = [(shade if one else shade[:, ::-1]) + random.uniform(0, 40, (24, 32)) for one in right]
    return [encoded(pixels, "JPEG" if number % 3 else "PNG") for number, pixels in enumerate(drawn)], right


@pytest.fixture(scope="module")
def sides(pictures):
    """A model of such pictures, and what it was fitted on."""
    files, right = pictures
    X = trifold.read_pictures(files, SIZE)
    return LogisticRegression(max_iter=1000).fit(X, right), X


def encoded(pixels, kind="PNG"):
    """A picture's file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def test_pictures_are_read_as_servers_do(pictures, tmp_path):
    """A row is what a server would give the model, from bytes or from a file."""
    from trifold.pictures import read as read_picture

    (tmp_path / "one.png").write_bytes(pictures[0][0])
    rows = trifold.read_pictures([pictures[0][0], tmp_path / "one.png"], SIZE)
    assert (rows.shape, rows.dtype) == ((2, SIZE.numbers), np.uint8)
    assert rows[0].tobytes() == rows[1].tobytes() == read_picture(pictures[0][0], 16, 12, "L")
    assert trifold.read_pictures([], SIZE).shape == (0, SIZE.numbers)
    assert trifold.read_pictures([pictures[0][0]], ImageInput(4, 4, "RGB")).shape == (1, 48)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    """One bad file of a thousand is found without looking through them."""
    (tmp_path / "notes.png").write_bytes(b"hello")
    with pytest.raises(PictureRefused, match="PNG or JPEG") as error:
        trifold.read_pictures([tmp_path / "notes.png"], SIZE)
    assert "notes.png" in str(error.value.__notes__)


def test_a_model_of_pictures_carries_samples_and_likeness(registry, pictures, sides):
    """The page has something to try, and the server can tell a picture of another kind."""
    samples = {"Bright on one side": pictures[0][0], "Another": pictures[0][1]}
    info = trifold.log_model(*sides, image=SIZE, samples=samples, registered_model_name="sides")
    found, extra = read(info).image, fetch(info) / "extra_files"
    assert [(sample.file, sample.title) for sample in found.samples] == [
        ("sample-1.png", "Bright on one side"),
        ("sample-2.jpg", "Another"),
    ]
    assert [(extra / sample.file).read_bytes() for sample in found.samples] == list(samples.values())
    assert found.likeness.like(sides[1].reshape(-1, *SIZE.shape)).mean() > 0.9
    assert check(registries.pin(f"sides/{info.registered_model_version}")).verdict("online") == "yes"


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda X: X[:, :-1], {}, r"shape \(pictures, 192\).*shape \(60, 191\), uint8"),
        (pd.DataFrame, {}, "it is a DataFrame"),
        (lambda X: X / 255, {}, r"to 0\.8\d*, servers give the model pixels from 0 to 255"),
        (lambda X: X.astype(float) - 128, {}, "numbers from -1"),
        (lambda X: X[:1], {}, "X has 1 pictures; two or more"),
        (lambda X: X, {"samples": {"Notes": b"hello"}}, "sample 'Notes' would be refused by servers: Expected a PNG"),
    ],
)
def test_pictures_that_no_server_would_give_are_refused(registry, sides, change, options, words):
    """A model trained on other numbers than it is served with answers, and is wrong."""
    model, X = sides
    with pytest.raises(ProfileError, match=words):
        trifold.log_model(model, change(X), image=SIZE, **options)


def test_the_reference_of_pictures_stays_small(registry):
    """Of 2,000 pictures of 4,096 pixels, noise even, one or two megabytes go with the model, and no more."""
    X = np.random.default_rng(0).integers(0, 256, (2000, 4096), dtype=np.uint8)
    info = trifold.log_model(LinearRegression().fit(X[:50], X[:50, 0]), X)
    file = profile.find(fetch(info), profile.REFERENCE_FILE)
    table = pq.read_table(file)
    assert (table.num_columns, table.schema.types[0]) == (4096, "uint8")
    assert table.num_rows >= 100
    assert file.stat().st_size < 2e6


def fetch(info):
    """A logged model's files."""
    return Path(mlflow.artifacts.download_artifacts(info.model_uri))


def read(info):
    """A logged model's profile, which is plain JSON."""
    folder = fetch(info)
    json.loads(profile.find(folder).read_text())
    return profile.read(folder)
