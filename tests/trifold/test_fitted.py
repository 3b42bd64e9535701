"""Only scikit-learn's exact types are taken apart; whatever looks like one is asked by its own methods."""

import datetime as dt
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import linear_model
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from trifold.accepted import predict_accepted
from trifold.contract.contract import Contract
from trifold.errors import ArtifactError, RowsRefused
from trifold.faults import faults
from trifold.fitted import find_markers, has_own_code, name_type, split, takes_text, unwrap
from trifold.model import FRAME, MATRIX, Model
from trifold.rows import Rows


def contract(**columns):
    """A contract of columns by type; a type with ? is optional."""
    spec = [
        {"type": kind.rstrip("?"), "name": name, "required": not kind.endswith("?")} for name, kind in columns.items()
    ]
    return Contract.read({"inputs": json.dumps(spec)})


RANDOM = np.random.default_rng(0)
X = pd.DataFrame(RANDOM.normal(size=(60, 2)), columns=["a", "b"])
Y = (X.a + RANDOM.normal(size=60) > 0.4).astype(int)
DOUBLES = contract(a="double", b="double")
ROWS = Rows(matrix=X.to_numpy())


class LogisticRegression(linear_model.LogisticRegression):
    """Says 1 from a tenth on, by a class of scikit-learn's name."""

    def predict(self, X):
        """1 from a tenth on."""
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.1).astype(int)]


class Disguised(LogisticRegression):
    """Says that it lives in scikit-learn's module."""


Disguised.__module__, Disguised.__qualname__ = "sklearn.linear_model._logistic", "LogisticRegression"
Disguised.__name__ = "LogisticRegression"


class Best(ClassifierMixin, BaseEstimator):
    """Has a search's attribute, and a threshold of its own."""

    def __init__(self, search=None):
        self.search = search

    def fit(self, X, y):
        """Fit the search."""
        self.best_estimator_ = self.search.fit(X, y).best_estimator_
        self.classes_ = self.best_estimator_.classes_
        return self

    def predict_proba(self, X):
        """The search's own."""
        return self.best_estimator_.predict_proba(X)

    def predict(self, X):
        """1 from a tenth on."""
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.1).astype(int)]


class Steps(Pipeline):
    """A pipeline that turns its last step's word around."""

    def predict(self, X):
        """The other class."""
        return 1 - super().predict(X)


Steps.__name__ = Steps.__qualname__ = "Pipeline"


def search(estimator):
    """A search over one parameter."""
    return GridSearchCV(estimator, {"C": [1, 2]}, cv=2)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        Disguised(),
        Best(search(linear_model.LogisticRegression())),
        make_pipeline(StandardScaler(), LogisticRegression()),
        search(LogisticRegression()),
        Steps([("scale", StandardScaler()), ("classify", linear_model.LogisticRegression())]),
    ],
    ids=["name", "module", "attribute", "last step", "searched", "pipeline"],
)
def test_what_looks_like_scikit_learns_is_asked_by_its_own_predict(model):
    """A subclass that moves the threshold is the commonest reason for a class of one's own (mlflow's issue 694)."""
    model.fit(X, Y)
    answers = Model(model, DOUBLES).predict(ROWS)
    np.testing.assert_array_equal(answers.predictions, model.predict(X))
    assert set(answers.predictions) == {0, 1}
    np.testing.assert_array_equal(answers.probabilities[0], model.predict_proba(X))


def test_types_are_known_to_the_exact_class():
    """Neither a name nor a module is believed; the class itself is looked up."""
    assert name_type(linear_model.LogisticRegression()) == "LogisticRegression"
    assert [name_type(each) for each in (LogisticRegression(), Disguised(), Best(), 3, object())] == [""] * 5
    found = search(linear_model.LogisticRegression()).fit(X, Y)
    assert unwrap(found) is found.best_estimator_
    own = Best(search(linear_model.LogisticRegression())).fit(X, Y)
    assert unwrap(own) is own
    steps = Steps([("scale", StandardScaler()), ("classify", linear_model.LogisticRegression())])
    assert split(steps) == ([], steps)


def test_nothing_of_a_class_of_ones_own_is_changed():
    """Its code may read n_jobs or the names of the columns."""
    inner = RandomForestClassifier(20, n_jobs=2, random_state=0).fit(X, Y)
    own = Best()
    own.best_estimator_, own.classes_, own.feature_names_in_ = inner, inner.classes_, np.array(["a", "b"], dtype=object)
    before = pickle.dumps(own)
    model = Model(own, DOUBLES)
    answers = model.predict(ROWS)
    assert pickle.dumps(own) == before
    assert model.form == FRAME
    np.testing.assert_array_equal(answers.probabilities[0], inner.predict_proba(X))


def test_what_is_scikit_learns_alone_predicts_in_one_thread():
    """Several threads add a forest's trees in the order in which they end."""
    forest = RandomForestClassifier(5, n_jobs=2).fit(X, Y)
    Model(forest, DOUBLES)
    assert forest.n_jobs == 1


@pytest.mark.parametrize(
    ("estimator", "own"),
    [
        (make_pipeline(SimpleImputer(), StandardScaler(), linear_model.LogisticRegression()), False),
        (FunctionTransformer(np.log1p), False),
        (FunctionTransformer(contract), True),
        (make_pipeline(StandardScaler(), LogisticRegression()), True),
        (TfidfVectorizer(tokenizer=str.split), False),
        (TfidfVectorizer(tokenizer=contract), True),
    ],
)
def test_code_of_a_models_own_is_found(estimator, own):
    """Functions count as well as classes."""
    assert has_own_code(estimator) is own


def test_a_subclass_of_a_vectorizer_takes_text_and_an_attribute_makes_none():
    """`analyzer` is an attribute that anybody may have."""

    class Words(TfidfVectorizer):
        pass

    class Analyses(BaseEstimator):
        analyzer = "words"

    assert takes_text(make_pipeline(Words(), linear_model.LogisticRegression()))
    assert not takes_text(make_pipeline(Analyses(), linear_model.LogisticRegression()))
    assert takes_text(Best(make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression())))
    assert not takes_text(make_pipeline(make_column_transformer((TfidfVectorizer(), "a")), StandardScaler()))


def test_only_the_first_step_decides_whether_texts_are_wanted():
    """What a vectorizer further on is given, the steps before it make: of a DataFrame, as it was at training."""
    final = linear_model.LogisticRegression()
    filled = make_pipeline(SimpleImputer(strategy="constant", fill_value=""), FunctionTransformer(np.ravel))
    assert not takes_text(make_pipeline(*(step for _, step in filled.steps), TfidfVectorizer(), final))
    assert not takes_text(make_pipeline(filled, TfidfVectorizer(), final))
    assert takes_text(make_pipeline("passthrough", make_union(TfidfVectorizer(), CountVectorizer()), final))
    assert takes_text(CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), final)))


class InPlace(FunctionTransformer):
    """A transformer that writes into what it is given."""

    def transform(self, X):
        """One less in the first column, and minus 1 is refused."""
        values = X.to_numpy() if hasattr(X, "to_numpy") else X
        if (values[:, 0] == -1).any():
            raise ValueError("-1 is unlucky")
        if hasattr(X, "iloc"):
            X.iloc[:, 0] -= 1
        else:
            X[:, 0] -= 1
        return X


@pytest.mark.parametrize("step", [InPlace(), StandardScaler(copy=False)])
@pytest.mark.parametrize("form", [FRAME, MATRIX])
def test_what_a_model_writes_into_its_rows_stays_with_it(step, form):
    """The same rows asked again, and the label after the probabilities, are what they were."""
    fitted = make_pipeline(step, FunctionTransformer(), linear_model.LogisticRegression()).fit(X.copy(), Y)
    for model in (fitted, CalibratedClassifierCV(fitted, cv=2).fit(X.copy(), Y)):
        served = Model(model, DOUBLES, form=form)
        for _ in range(2):
            answers = served.predict(ROWS)
            np.testing.assert_array_equal(answers.predictions, model.predict(X.copy()))
            np.testing.assert_allclose(answers.probabilities[0], model.predict_proba(X.copy()), rtol=1e-12)


def test_rows_beside_a_refused_one_are_asked_as_they_came():
    """The search for the refused row asks the same rows several times."""
    frame = pd.concat([X, pd.DataFrame({"a": [-1.0], "b": [0.0]})], ignore_index=True)
    model = make_pipeline(InPlace(), linear_model.LogisticRegression()).fit(X.copy(), Y)
    rows = DOUBLES.check_rows(frame.to_dict("records")).rows
    answers, fine, rejects = predict_accepted(Model(model, DOUBLES), rows)
    assert [reject.row for reject in rejects] == [len(X)]
    assert fine.tolist() == list(range(len(X)))
    np.testing.assert_array_equal(answers.predictions, model.predict(X.copy()))
    np.testing.assert_allclose(answers.probabilities[0], model.predict_proba(X.copy()), rtol=1e-12)


def test_encoders_and_imputers_say_which_missing_value_they_learnt():
    """What was learnt decides how JSON's null comes to the model."""
    frame = pd.DataFrame({"t": pd.Series(["a", None], dtype=object), "u": pd.Series(["a", np.nan], dtype=object)})
    both = OneHotEncoder().fit(pd.DataFrame({"t": pd.Series(["a", None, np.nan], dtype=object)}))
    objects = dict.fromkeys(["t", "u", "v"], True)
    assert find_markers(OrdinalEncoder().fit(frame), objects) == {"t": {"None"}, "u": {"NaN"}, "v": set()}
    assert find_markers(make_pipeline(both), {"t": True}) == {"t": {"None", "NaN"}}
    imputer = SimpleImputer(missing_values=None, strategy="most_frequent").fit(frame[["t"]])
    assert find_markers(imputer, {"t": True, "u": True}) == {"t": {"None"}, "u": set()}


@pytest.mark.parametrize(("missing", "marker"), [(None, "None"), (np.nan, "NaN")])
@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
def test_an_encoder_behind_an_imputer_says_what_the_imputer_passed_by(missing, marker, encoder):
    """An imputer that is told nothing fills NaN alone, and None becomes a category."""
    frame = pd.DataFrame({"t": pd.Series(["a", missing, "b"] * 4, dtype=object), "n": [1.0, np.nan, 2.0] * 4})
    imputer = SimpleImputer(strategy="most_frequent", add_indicator=True)
    model = make_column_transformer((make_pipeline(imputer, encoder), ["t"]), (SimpleImputer(), ["n"])).fit(frame)
    assert find_markers(model, {"t": True, "n": False}) == {"t": {marker}, "n": {"NaN"}}


def test_an_imputer_alone_is_no_proof_where_a_column_holds_objects():
    """Nobody says whether None or NaN stood there."""
    frame = pd.DataFrame({"t": pd.Series(["a", None, "b"] * 4, dtype=object)})
    model = make_pipeline(SimpleImputer(strategy="most_frequent"), FunctionTransformer(np.ravel)).fit(frame)
    assert find_markers(model, {"t": True}) == {"t": set()}


def test_checks_for_safety_know_a_renamed_subclass():
    """A subclass inherits the compiled code that follows a tree's numbers without looking at bounds."""

    class Harmless(DecisionTreeClassifier):
        pass

    class Encoder(OneHotEncoder):
        pass

    tree = Harmless(max_depth=2).fit(X, Y)
    assert list(faults(tree)) == []
    tree.n_features_in_ = 0
    assert "a tree asks for a feature that the model does not have" in list(faults(tree))
    encoder = Encoder().fit([["a"], ["b"]])
    encoder._n_features_outs = [1]
    assert list(faults(encoder)) == ["an encoder's categories do not fit its columns"]


class Growing(RegressorMixin, BaseEstimator):
    """Answers 1/x, infinite at 0 and not a number where x is none; refuses 13."""

    def predict(self, X):
        """One over the first column."""
        values = np.asarray(X, dtype=float)[:, 0]
        if (values == 13).any():
            raise ValueError("13 is unlucky")
        with np.errstate(divide="ignore"):
            return 1 / values


def test_one_row_that_is_refused_leaves_nothing_to_ask():
    """A form's single row."""
    rows = contract(a="double?").check_rows([{"a": 13}]).rows
    with pytest.raises(RowsRefused, match="unlucky"):
        Model(Growing(), contract(a="double?")).predict(rows)


@pytest.mark.parametrize("blocks", [(), (8,)])
def test_an_answer_that_is_no_finite_number_is_a_reject(blocks):
    """JSON has no word for infinity, and null, Infinity and a database's own would be three answers to one row."""
    model = Model(Growing(), contract(a="double?"), blocks=blocks)
    rows = contract(a="double?").check_rows([{"a": value} for value in (1, 0, 2, 13, -0.0, None, 4)]).rows
    with pytest.raises(RowsRefused) as error:
        model.predict(rows)
    assert [(found.row, found.rule, found.got) for found in error.value.rejects] == [
        (1, "refused_by_model", "Infinity"),
        (3, "refused_by_model", "13 is unlucky"),
        (4, "refused_by_model", "-Infinity"),
        (5, "refused_by_model", "NaN"),
    ]
    answers, fine, rejects = predict_accepted(model, rows)
    assert answers.predictions.tolist() == [1, 0.5, 0.25]
    assert fine.tolist() == [0, 2, 6]
    assert len(rejects) == 4


def test_sparse_predictions_become_rows():
    """A model of sparse labels predicts a sparse matrix (scikit-learn's issue 5132)."""
    labels = scipy.sparse.csr_matrix(np.column_stack([Y, 1 - Y, X.b > 0]).astype(int))
    model = OneVsRestClassifier(linear_model.LogisticRegression()).fit(X, labels)
    answers = Model(model, DOUBLES).predict(ROWS)
    np.testing.assert_array_equal(answers.predictions, model.predict(X).toarray())
    assert answers.to_json(Model(model, DOUBLES).labels)["predictions"][0] == model.predict(X).toarray()[0].tolist()


def test_times_as_labels_are_text():
    """JSON has no times: prediction and names of classes are the same text."""
    days = np.array(["2024-01-01", "2024-07-01T05:00"], dtype="datetime64[us]")[Y.to_numpy()]
    model = Model(DecisionTreeClassifier(max_depth=2).fit(X, days), DOUBLES)
    assert model.labels == (("2024-01-01T00:00:00Z", "2024-07-01T05:00:00Z"),)
    assert set(model.predict(ROWS).to_json(model.labels)["predictions"]) == set(model.labels[0])
    assert dt.datetime.fromisoformat(model.labels[0][1])


def test_probabilities_without_a_class_are_refused():
    """A column of numbers that no label is known of would stand under another's name."""

    class Narrow(Best):
        def predict_proba(self, X):
            return np.ones((len(X), 1))

    own = Narrow()
    own.classes_ = np.array([0, 1])
    with pytest.raises(ArtifactError, match="one for each of its classes_"):
        Model(own, DOUBLES).predict(ROWS)
