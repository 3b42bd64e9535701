"""The model: which rows it refuses, what it is given, and that it stays quiet."""

import json
import os
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from trifold.contract.contract import Contract
from trifold.errors import RowsRefused
from trifold.model import FRAME, MATRIX, TEXT, Model, label
from trifold.rows import Rows


def contract(**columns):
    """A contract of columns by type; a type with ? is optional."""
    spec = [
        {"type": kind.rstrip("?"), "name": name, "required": not kind.endswith("?")} for name, kind in columns.items()
    ]
    return Contract.read({"inputs": json.dumps(spec)})


@pytest.fixture(scope="module")
def strict():
    """A pipeline that raises for a town it has not seen."""
    X = pd.DataFrame({"town": ["Ulm", "Bonn"] * 20, "age": np.arange(40.0)})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="error"), ["town"]), ("passthrough", ["age"]))
    return make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(X, X.age > 20)


def towns(*names):
    """Rows that the contract accepts."""
    return contract(town="string", age="double").check_rows([{"town": name, "age": 3.0} for name in names]).rows


@pytest.mark.parametrize("blocks", [(), (8,), (8, 64)])
def test_only_the_rows_that_the_model_refuses_are_named(strict, blocks):
    """One unseen town must not sink the rows beside it, in whatever block they stand."""
    model = Model(strict, contract(town="string", age="double"), blocks=blocks)
    names = ["Ulm"] * 30
    names[4] = names[17] = names[29] = "Oz"
    with pytest.raises(RowsRefused) as error:
        model.predict(towns(*names))
    assert [reject.row for reject in error.value.rejects] == [4, 17, 29]
    assert {reject.rule for reject in error.value.rejects} == {"refused_by_model"}
    assert "Oz" in error.value.rejects[0].got


def test_the_search_for_refused_rows_can_be_cut_short(strict):
    """10,000 bad rows in a request must not cost 10,000 predictions."""
    model = Model(strict, contract(town="string", age="double"))
    with pytest.raises(RowsRefused) as error:
        model.predict(towns(*["Oz"] * 100), most_refused=3)
    assert len(error.value.rejects) == 3


def test_other_errors_are_not_blamed_on_the_rows(strict):
    """Only ValueError is scikit-learn's word for bad data; anything else is a defect."""

    class Broken(LogisticRegression):
        def predict(self, X):
            raise KeyError("defect")

    X = np.ones((4, 2))
    model = Model(Broken().fit(X, [0, 1, 0, 1]), contract(a="double", b="double"))
    model._scores = None
    with pytest.raises(KeyError):
        model.predict(Rows(matrix=X))


def test_a_frame_is_built_only_for_what_selects_columns(strict):
    """A DataFrame costs more than most linear models."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    y = X.a > 0
    doubles = contract(a="double", b="double")
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    logged = make_pipeline(FunctionTransformer(np.abs), LogisticRegression()).fit(X, y)
    texts = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["cab late", "rain night"] * 4, [0, 1] * 4)
    assert Model(linear, doubles).form == MATRIX
    assert Model(logged, doubles).form == FRAME
    assert Model(strict, contract(town="string", age="double")).form == FRAME
    assert Model(texts, contract(words="string")).form == TEXT


def test_a_matrix_gives_the_bits_of_a_frame():
    """The faster way must not be another way."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(64, 20)), columns=[f"x{i}" for i in range(20)])
    doubles = contract(**dict.fromkeys(X.columns, "double"))
    fitted = RandomForestClassifier(10, random_state=0).fit(X, X.x0 > 0)
    rows = Rows(matrix=np.ascontiguousarray(X))
    frame = Model(fitted, doubles, form=FRAME).predict(rows)
    matrix = Model(fitted, doubles, form=MATRIX).predict(rows)
    assert frame.probabilities[0].tobytes() == matrix.probabilities[0].tobytes()


def test_predicting_warns_of_nothing(strict):
    """A warning a request fills the logs of a busy server."""
    X = pd.DataFrame({"a": [0.0, 1.0] * 8, "b": [1.0, 0.0] * 8})
    model = Model(LogisticRegression().fit(X, [0, 1] * 8), contract(a="double", b="double"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(Rows(matrix=X.to_numpy()))
        Model(strict, contract(town="string", age="double")).predict(towns("Ulm"))


def test_a_forest_predicts_in_one_thread():
    """Threads that a model was trained with add up in another order, and crowd a pod."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    fitted = make_pipeline(StandardScaler(), RandomForestClassifier(5, n_jobs=-1)).fit(X, X[:, 0] > 0)
    model = Model(fitted, contract(a="double", b="double"))
    assert model.estimator[-1].n_jobs == 1


def test_labels_are_json_text():
    """JSON has only text for names."""
    found = [label(value) for value in (True, np.False_, 3, np.int64(4), 0.5, np.float64(1.5), "No", np.str_("Yes"))]
    assert found == ["true", "false", "3", "4", "0.5", "1.5", "No", "Yes"]


def test_missing_text_is_missing_however_many_stand_beside_it():
    """A column's type is inferred from its values; a row's answer must not hang on its neighbours'."""
    X = pd.DataFrame({"town": ["Ulm", None, "Bonn", None] * 10})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]))
    fitted = make_pipeline(encoder, LogisticRegression()).fit(X, X.town.isna())
    model = Model(fitted, contract(town="string?"))
    check = model.contract.check_rows
    alone = model.predict(check([{"town": None}]).rows)
    beside = model.predict(check([{"town": None}, {"town": "Ulm"}]).rows)
    assert alone.predictions[0] == beside.predictions[0] == True  # noqa: E712 - a numpy bool
    assert alone.probabilities[0][0].tobytes() == beside.probabilities[0][0].tobytes()


def test_the_label_is_the_one_that_predict_gives():
    """Asking once for probabilities must not change a label, ties included."""
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    random = np.random.default_rng(0)
    X = random.integers(-2, 3, size=(600, 4)).astype(float)
    for y in ((X[:, 0] + random.normal(0, 2, 600) > 0), np.digitize(X[:, 1] + random.normal(0, 1, 600), [-1, 1])):
        for estimator in (
            LogisticRegression(), GaussianNB(), DecisionTreeClassifier(max_depth=2), RandomForestClassifier(4),
            GradientBoostingClassifier(n_estimators=3), HistGradientBoostingClassifier(max_iter=3),
        ):  # fmt: skip
            fitted = estimator.fit(X, y)
            rows = Rows(matrix=np.vstack([X, np.zeros((1, 4))]))
            model = Model(fitted, contract(a="double", b="double", c="double", d="double"))
            np.testing.assert_array_equal(model.predict(rows).predictions, fitted.predict(rows.matrix))


def test_threads_are_one_unless_told(built_customers):
    """Several BLAS threads in a pod with one core stall each other, and change the last bits."""
    program = (
        "import sys, pathlib, threadpoolctl; from trifold.model import Model; Model.load(pathlib.Path(sys.argv[1]));"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    )
    environment = {**os.environ, "PYTHONPATH": str(built_customers.bento / "src"), "OMP_NUM_THREADS": "2"}
    command = [str(built_customers.python), "-c", program, str(built_customers.model)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{1}"
