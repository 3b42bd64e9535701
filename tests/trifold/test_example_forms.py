"""Input examples: each form that MLflow writes or wrote is read, by us and by plain scikit-learn's own script alike."""

import json
import logging
import warnings

import mlflow
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import yaml
from mlflow.models.utils import _Example
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from trifold.answers import agrees
from trifold.contract.contract import Contract
from trifold.errors import ArtifactError
from trifold.model import Model
from trifold.ops import artifact as artifacts
from trifold.ops import example as examples
from trifold.ops import expected
from trifold.ops.unsigned import explain

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
Y = (X.a + X.b > 0.3).astype(int)
NUMBERS = X.to_numpy()
DOUBLES = [{"type": "double", "name": name, "required": True} for name in X]
TENSOR = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]
TEXTS = ["good day", "bad day", "bad night", "good night"] * 15
STRING = [{"type": "string", "required": True}]


def signature(inputs):
    """A signature as an MLmodel file has it."""
    return {"inputs": json.dumps(inputs), "outputs": json.dumps([{"type": "long"}]), "params": None}


def write(folder, logged, inputs):
    """An artifact's example as MLflow writes it, with an MLmodel file; gives what the file says of the example."""
    example = _Example(logged)
    example.save(folder)
    described = {"saved_input_example_info": example.info, "signature": signature(inputs)}
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    return example.info


def assert_read(folder, info, inputs, model, wanted):
    """Both readers make of the example what the model is asked with, and agree on the answers."""
    contract = Contract.read(signature(inputs))
    fitting = examples.fit(examples.read(folder, info), contract)
    rows = contract.to_rows(fitting.rows)
    assert not contract.check_rows(rows).rejects
    theirs = expected.answers(model, expected.example(folder, expected.takes_text(model), {}))
    assert theirs["predictions"] == model.predict(wanted).tolist()
    assert agrees(Model(model, contract).predict(contract.check_rows(rows).rows), theirs)


@pytest.mark.parametrize("with_params", [False, True], ids=["alone", "with params"])
@pytest.mark.parametrize(
    ("logged", "inputs", "wanted"),
    [
        (X[:4], DOUBLES, X[:4]),
        (X[["c", "a", "b"]][:4], DOUBLES, X[:4]),
        (dict(X.iloc[0]), DOUBLES, X[:1]),
        (X[:4].to_dict("list"), DOUBLES, X[:4]),
        ({name: X[name][:4].to_numpy() for name in X}, DOUBLES, X[:4]),
        (X[:4].to_dict("records"), DOUBLES, X[:4]),
        (NUMBERS[:4], DOUBLES, X[:4]),
        (NUMBERS[:4].tolist(), DOUBLES, X[:4]),
    ],
    ids=["frame", "other order", "dict", "dict of lists", "dict of arrays", "records", "array", "lists"],
)
def test_examples_of_named_columns_are_read(tmp_path, logged, inputs, wanted, with_params):
    """A dict was a KeyError told as scikit-learn's, and one with parameters did "not fit the signature"."""
    info = write(tmp_path, (logged, {"p": 1}) if with_params else logged, inputs)
    assert_read(tmp_path, info, inputs, LogisticRegression().fit(X, Y), wanted)


@pytest.mark.parametrize(
    "logged",
    [NUMBERS[:4], sp.csr_matrix(NUMBERS[:4]), sp.csc_matrix(NUMBERS[:4]), (sp.csr_matrix(NUMBERS[:4]), {"p": 1})],
    ids=["array", "rows", "columns", "with params"],
)
def test_arrays_and_sparse_matrices_are_read(tmp_path, logged):
    """A sparse example ended in a traceback."""
    info = write(tmp_path, logged, TENSOR)
    model = LogisticRegression().fit(NUMBERS, Y)
    fitting = examples.fit(examples.read(tmp_path, info), Contract.read(signature(TENSOR)))
    np.testing.assert_array_equal(fitting.rows.matrix, NUMBERS[:4])
    assert_read(tmp_path, info, TENSOR, model, NUMBERS[:4])


@pytest.mark.parametrize("logged", [TEXTS[:3], TEXTS[0]], ids=["list", "one"])
def test_texts_are_read(tmp_path, logged):
    """A model of texts is logged with a list of them, or with one."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ["bad" in text for text in TEXTS])
    info = write(tmp_path, logged, STRING)
    assert_read(tmp_path, info, STRING, model, logged if isinstance(logged, list) else [logged])


@pytest.mark.parametrize(
    ("info", "document", "inputs"),
    [
        ({"type": "ndarray", "format": "tf-serving"}, {"inputs": NUMBERS[:4].tolist()}, TENSOR),
        ({"type": "ndarray"}, {"instances": NUMBERS[:4].tolist()}, TENSOR),
        ({"type": "dataframe", "pandas_orient": "split"}, {**X[:4].to_dict("split")}, DOUBLES),
        ({"type": "dataframe", "pandas_orient": "records"}, X[:4].to_dict("records"), DOUBLES),
        ({}, {"columns": list(X), "data": NUMBERS[:4].tolist()}, DOUBLES),
    ],
    ids=["tf-serving", "instances", "with an index", "records", "no type"],
)
def test_examples_of_older_mlflow_are_read(tmp_path, info, document, inputs):
    """A registry keeps models for years."""
    (tmp_path / "input_example.json").write_text(json.dumps(document))
    info = {"artifact_path": "input_example.json", **info}
    described = {"saved_input_example_info": info, "signature": signature(inputs)}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(described))
    wanted = NUMBERS[:4] if inputs is TENSOR else X[:4]
    assert_read(
        tmp_path, info, inputs, LogisticRegression().fit(wanted.repeat(15, 0) if inputs is TENSOR else X, Y), wanted
    )


def test_the_serving_example_stands_in_for_one_that_is_gone(tmp_path):
    """MLflow writes the example twice; one of the two is enough."""
    info = write(tmp_path, X[:4], DOUBLES)
    (tmp_path / info["artifact_path"]).unlink()
    assert_read(tmp_path, info, DOUBLES, LogisticRegression().fit(X, Y), X[:4])
    (tmp_path / info["serving_input_path"]).unlink()
    with pytest.raises(ArtifactError, match="lacks"):
        examples.read(tmp_path, info)


def test_a_column_may_be_called_data(tmp_path):
    """A dict with such a key was taken for a DataFrame."""
    inputs = [{"type": "double", "name": name, "required": True} for name in ("data", "columns")]
    frame = pd.DataFrame({"data": X.a, "columns": X.b})
    for logged in ({"data": 0.5, "columns": -0.5}, frame[:3]):
        info = write(tmp_path, logged, inputs)
        wanted = logged if isinstance(logged, pd.DataFrame) else pd.DataFrame([logged])
        assert_read(tmp_path, info, inputs, LogisticRegression().fit(frame, Y), wanted)


def test_bytes_and_missing_times_are_read_as_mlflow_writes_them(tmp_path):
    """MLflow breaks base64 into lines, and writes a missing time as NaT."""
    inputs = [
        {"type": "binary", "name": "photo", "required": True},
        {"type": "datetime", "name": "at", "required": False},
    ]
    photos = [b"abc", b"0123456789" * 20]
    info = write(tmp_path, pd.DataFrame({"photo": photos, "at": [pd.Timestamp("2024-01-01"), pd.NaT]}), inputs)
    fitting = examples.fit(examples.read(tmp_path, info), Contract.read(signature(inputs)))
    assert fitting.kept == (0, 1)
    assert list(fitting.rows.columns["photo"]) == photos


def test_rows_that_do_not_fit_are_counted_and_named(tmp_path):
    """They were left out in silence, and the answers then compared with those of all rows."""
    info = write(tmp_path, X[:3].mask(X.index.to_series()[:3] == 1), DOUBLES)
    fitting = examples.fit(examples.read(tmp_path, info), Contract.read(signature(DOUBLES)))
    assert (fitting.kept, fitting.count) == ((0, 2), 3)
    assert examples.tell(fitting.rejects) == "column a: expected a number, got null"
    assert expected.chosen(X[:3], [0, 2]).index.tolist() == [0, 2]
    assert expected.chosen(["a", "b", "c"], [0, 2]) == ["a", "c"]


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("sparse_matrix_csr", {"data": [1.0], "indices": [0], "indptr": [0, 1]}),
        ("sparse_matrix_csr", {"data": [1.0], "indices": [9], "indptr": [0, 1], "shape": [1, 3]}),
        ("dataframe", {"data": [[1.0]], "columns": ["a", "b", "c"]}),
        ("dataframe", {"data": 3}),
    ],
)
def test_a_damaged_example_is_one_sentence(tmp_path, kind, document):
    """Whatever stands in the file, check says what is the matter."""
    (tmp_path / "e.json").write_text(json.dumps(document))
    found = examples.read(tmp_path, {"artifact_path": "e.json", "type": kind})
    with pytest.raises(ArtifactError, match=r"is not written as a (sparse matrix|DataFrame) is|No row"):
        examples.fit(found, Contract.read(signature(TENSOR if "sparse" in kind else DOUBLES)))


def test_a_sparse_example_that_would_fill_the_memory_is_refused(tmp_path):
    """Its shape is what its author wrote."""
    document = {"data": [], "indices": [], "indptr": [0], "shape": [10**6, 10**6]}
    (tmp_path / "e.json").write_text(json.dumps(document))
    found = examples.read(tmp_path, {"artifact_path": "e.json", "type": "sparse_matrix_csr"})
    with pytest.raises(ArtifactError, match="log fewer rows"):
        examples.fit(found, Contract.read(signature(TENSOR)))


class TestNoSignature:
    """Where MLflow makes no signature although there is an example, the reason is the real one."""

    def explained(self, folder, logged, model=None):
        """What is said of an artifact of MLflow's that has no signature."""
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = model or LogisticRegression().fit(X, Y)
            mlflow.sklearn.save_model(
                model, str(folder / "m"), input_example=logged, pip_requirements=["scikit-learn"],
                serialization_format="pickle",
            )  # fmt: skip
        artifact = artifacts.read(folder / "m")
        assert artifact.signature is None
        example = examples.read(artifact.folder, artifact.example)
        return explain(example, can_predict=artifact.predict_fn is not None, refusal="")

    @pytest.mark.parametrize(
        ("column", "words"),
        [
            (pd.Categorical(["x", "y", "x"]), "category (perhaps a)"),
            (pd.Categorical([1, 2, 1]), "category, uint64 or Sparse (perhaps a)"),
            (pd.array([1, None, 2], dtype="Int64"), "Int64 with gaps or category (perhaps a)"),
            (pd.array([True, None, False], dtype="boolean"), "boolean with gaps (perhaps a)"),
            (np.arange(3, dtype="uint64"), "category, uint64 or Sparse (perhaps a)"),
            (pd.arrays.SparseArray([0.5, 0.0, 1.0]), "Sparse (perhaps b, a)"),
            (pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"), "datetime64 with a zone (perhaps a)"),
            (pd.Series([1, "x", 2], dtype=object), "'a' of the example mixes types"),
        ],
    )
    def test_a_type_of_column_that_mlflow_refuses_is_named(self, tmp_path, column, words):
        """It was "logged without a signature", with the advice to log it with an example."""
        model = LogisticRegression().fit(X[["a", "b"]].rename(columns={"a": "b", "b": "a"}), Y)
        says, _ = self.explained(tmp_path, pd.DataFrame({"b": [0.5, 1.5, 2.5], "a": column}), model)
        assert words in says

    def test_a_model_without_predict_is_said_to_have_none(self, tmp_path):
        """A transformer alone is no model that anybody can ask."""
        from sklearn.preprocessing import StandardScaler

        says, fix = self.explained(tmp_path, NUMBERS[:3], StandardScaler().fit(NUMBERS))
        assert "no predict()" in says
        assert "Pipeline" in fix[0]

    def test_names_that_stand_twice_are_said(self, tmp_path):
        """Which columns a name means nobody knows."""
        says, _ = self.explained(tmp_path, pd.DataFrame(NUMBERS[:3], columns=["a", "a", "b"]))
        assert "two columns of the example are called 'a'" in says

    def test_a_list_of_lists_is_said(self, tmp_path):
        """MLflow takes it for one column of lists."""
        says, fix = self.explained(tmp_path, NUMBERS[:3].tolist())
        assert "list of lists" in says
        assert fix == ("example = np.array(example)",)

    def test_a_dict_of_lists_is_said(self, tmp_path):
        """MLflow takes it for one row, and a model of numbers refuses a list in a cell."""
        says, fix = self.explained(tmp_path, X[:3].to_dict("list"), LogisticRegression().fit(X, Y))
        assert "one row whose values are lists" in says
        assert fix == ("example = pd.DataFrame(example)",)

    def test_records_of_mixed_types_are_said(self, tmp_path):
        """The reason is in a column, as it is for a DataFrame."""
        says, _ = self.explained(tmp_path, [{"a": 1.0, "b": "x", "c": 1.0}, {"a": "y", "b": "x", "c": 1.0}])
        assert "'a' of the example mixes types" in says

    def test_texts_in_a_list_are_said(self, tmp_path):
        """MLflow hands predict() a DataFrame of it, whose names a vectorizer reads."""
        model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ["bad" in text for text in TEXTS])
        says, _ = self.explained(tmp_path, TEXTS[:3], model)
        assert "turns into a DataFrame" in says

    def test_the_models_own_refusal_is_passed_on(self):
        """An example that predict() does not take is no question of types."""
        example = examples.Example("ndarray", [[1.0, 2.0]])
        says, _ = explain(example, can_predict=True, refusal="ValueError: X has 2 features")
        assert says.endswith("X has 2 features")
        assert "refuses its own input example" in says

    def test_a_refusal_of_times_that_became_texts_is_not_passed_on(self):
        """JSON has no times: what predict() says of their text, it would not say of X."""
        data = {"columns": ["t"], "data": [["2024-03-30T00:00:00+0100"], ["2024-03-30T00:47:00+0100"]]}
        says, _ = explain(examples.Example("dataframe", data), can_predict=True, refusal="AttributeError: .dt")
        assert says == "MLflow could not take one of its columns, of type datetime64 with a zone (perhaps t)"

    def test_who_told_mlflow_not_to_is_told_so(self):
        """signature=False, or a version that made none."""
        says, _ = explain(examples.Example("ndarray", [[1.0]]), can_predict=True, refusal="")
        assert "signature=False" in says
        assert "refused" not in says
        says, _ = explain(examples.Example("ndarray", [[1.0]]), can_predict=True, refusal=None)
        assert "or the model's predict() refused it, which was not tried" in says
