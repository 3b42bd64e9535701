"""What a plainly logged model's columns were is found out from what it learnt and by asking it; nobody guesses."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from trifold.contract.contract import Contract
from trifold.errors import RowsRefused
from trifold.frames import read_dtype
from trifold.model import TEXT, Model
from trifold.ops.hints import read_hints
from trifold.ops.settle import Doubt, settle

TOWNS = ["Ulm", "Bonn", None]


def texts(missing):
    """Towns, the third of each three missing."""
    return pd.DataFrame({"town": pd.Series(["Ulm", "Bonn", missing] * 20, dtype=object)})


def settled(model, X, hints=None):
    """The model as it would be served after a plain `mlflow.sklearn.log_model`, and the doubts."""
    contract = Contract.read(infer_signature(X, np.asarray(model.predict(X))).to_dict())
    rows = [
        {name: None if pd.isna(value) else value.isoformat() if isinstance(value, dt.date) else value
         for name, value in row.items()}
        for row in X.head(6).to_dict("records")
    ]  # fmt: skip
    contract, doubts = settle(model, contract, rows, hints or {})
    return Model(model, contract), [doubt for doubt in doubts if doubt.what != "dtype"]


def ask(model, *rows):
    """Predictions of rows in JSON."""
    checked = model.contract.check_rows(rows)
    assert not checked.rejects
    return model.predict(checked.rows).predictions.tolist()


def is_none(X):
    """What only None is."""
    return X.map(lambda value: value is None).astype(float)


def to_length(X):
    """What no marker changes."""
    return X.map(lambda value: len(value) if isinstance(value, str) else -1).astype(float)


def to_number(X):
    """What a time's unit changes."""
    return X.apply(lambda values: values.astype("int64").astype(float))


def to_hour(X):
    """What a time's zone changes."""
    return X.apply(lambda values: values.dt.hour)


def to_year(X):
    """What the fewest zones change."""
    return X.apply(lambda values: values.notna())


def double(X):
    """What overflows."""
    return X + X


def to_weekday(X):
    """What takes dates only."""
    return X.map(lambda value: date_only(value).weekday())


def date_only(value):
    """A date; a TypeError for anything else."""
    if type(value) is not dt.date:
        raise TypeError(type(value))
    return value


def encoder():
    """Numbers categories as they were learnt."""
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


@pytest.mark.parametrize("missing", [None, np.nan], ids=["None", "NaN"])
def test_a_missing_text_is_the_category_that_was_learnt(missing):
    """scikit-learn's issue 25669: None is a category of its own, and NaN another."""
    X = texts(missing)
    model = make_pipeline(encoder(), DecisionTreeClassifier()).fit(X, X.town.isna())
    served, doubts = settled(model, X)
    assert doubts == []
    assert ask(served, {"town": "Ulm"}, {"town": None}, {}) == [False, True, True]


def test_each_column_has_the_marker_that_it_learnt():
    """Two columns of one encoder may have learnt two markers."""
    X = pd.DataFrame({"one": texts(None).town, "two": texts(np.nan).town.to_numpy()[::-1]})
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["one", "two"])), DecisionTreeClassifier()
    ).fit(X, X.one.isna())
    served, _ = settled(model, X)
    asked = pd.DataFrame(
        {"one": pd.Series([None, "Ulm"], dtype=object), "two": pd.Series([np.nan] * 2, dtype=X.two.dtype)}
    )
    assert ask(served, {"one": None, "two": None}, {"one": "Ulm", "two": None}) == model.predict(asked).tolist()
    frame = served._given(served.contract.check_rows([{"one": None, "two": None}]).rows)
    assert frame.one[0] is None
    assert isinstance(frame.two[0], float)


def test_an_imputer_of_none_is_given_none():
    """Refused before: NaN is no None for it, though scikit-learn predicts."""
    X = texts(None)
    imputer = SimpleImputer(missing_values=None, strategy="constant", fill_value="")
    model = make_pipeline(imputer, OrdinalEncoder(), DecisionTreeClassifier()).fit(X, X.town.isna())
    served, doubts = settled(model, X)
    assert doubts == []
    assert ask(served, {"town": None}, {"town": "Bonn"}) == [True, False]


def test_two_learnt_markers_make_null_refused():
    """None and NaN were two categories: null says neither."""
    X = pd.DataFrame({"town": pd.Series(["Ulm", None, np.nan] * 20, dtype=object)})
    y = [0, 1, 2] * 20
    model = make_pipeline(encoder(), DecisionTreeClassifier()).fit(X, y)
    assert model.predict(X[:3]).tolist() == [0, 1, 2]
    served, doubts = settled(model, X)
    assert doubts == [Doubt("town", "missing", True)]
    checked = served.contract.check_rows([{"town": None}, {"town": "Ulm"}])
    assert [(found.rule, found.row) for found in checked.rejects] == [("missing", 0)]
    assert served.predict(checked.rows).predictions.tolist() == [0]


def test_a_function_that_tells_markers_apart_makes_null_refused():
    """Nothing that was learnt says which it was, and the answers differ."""
    X = texts(None)
    model = make_pipeline(FunctionTransformer(is_none), DecisionTreeClassifier()).fit(X, X.town.isna())
    served, doubts = settled(model, X, {"town": "null"})
    assert doubts == [Doubt("town", "missing", True)]
    assert [found.rule for found in served.contract.check_rows([{"town": None}]).rejects] == ["missing"]


def test_a_function_that_does_not_is_given_any():
    """All markers give one answer, so there is no doubt."""
    X = texts(None)
    model = make_pipeline(FunctionTransformer(to_length), DecisionTreeClassifier()).fit(X, X.town.isna())
    served, doubts = settled(model, X, {"town": "null"})
    assert doubts == []
    assert ask(served, {"town": None}, {"town": "Bonn"}) == [True, False]


def test_only_the_doubtful_of_many_columns_refuses_null():
    """A doubt of one column costs no other its missing values."""
    X = pd.DataFrame({"one": texts(None).town, "two": texts(None).town.to_numpy()[::-1]})
    steps = make_column_transformer((FunctionTransformer(is_none), ["one"]), (FunctionTransformer(to_length), ["two"]))
    model = make_pipeline(steps, DecisionTreeClassifier()).fit(X, X.one.isna())
    served, doubts = settled(model, X)
    assert doubts == [Doubt("one", "missing", True)]
    assert ask(served, {"one": "Ulm", "two": None}) == [False]


def test_a_nullable_column_is_given_what_the_model_takes():
    """Pandas' NA for a model that compares with it; NaN where both do."""
    X = pd.DataFrame(
        {"n": pd.array([1, 2, None] * 20, dtype="Int64"), "f": pd.array([True, None] * 30, dtype="boolean")}
    )
    model = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5).fit(X, X.n.isna())
    served, doubts = settled(model, X)
    assert doubts == []
    assert ask(served, {"n": None, "f": None}, {"n": 2, "f": True}) == [True, False]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_unit_that_matters_is_a_doubt(unit):
    """Pandas 3 reads microseconds, older ones nanoseconds: a number made of them is another (mlflow's pull 4241)."""
    X = pd.DataFrame({"t": pd.date_range("2024-03-01", periods=60, freq="7h").astype(f"datetime64[{unit}]")})
    model = make_pipeline(FunctionTransformer(to_number), DecisionTreeRegressor()).fit(X, np.arange(60))
    assert Doubt("t", "unit", True) in settled(model, X)[1]


def test_a_unit_that_does_not_matter_is_served():
    """An hour is the same in any unit."""
    X = pd.DataFrame({"t": pd.date_range("2024-03-01", periods=60, freq="7h").astype("datetime64[ns]")})
    model = make_pipeline(FunctionTransformer(to_hour), DecisionTreeRegressor()).fit(X, X.t.dt.hour)
    served, doubts = settled(model, X)
    assert doubts == [Doubt("t", "unit", False)]
    assert ask(served, {"t": "2024-03-05T05:00:00Z"}, {"t": "2500-01-01T23:30:00Z"}) == [5.0, 23.0]


@pytest.mark.parametrize(("function", "matters"), [(to_hour, True), (to_year, False)])
def test_a_zone_is_a_doubt_where_it_matters(function, matters):
    """MLflow's pull 6244: the offsets in the example show that there is a zone, not which."""
    X = pd.DataFrame({"t": pd.date_range("2024-03-01", periods=60, freq="7h", tz="Europe/Berlin")})
    model = make_pipeline(FunctionTransformer(function), DecisionTreeRegressor()).fit(X, np.arange(60))
    _, doubts = settled(model, X, {"t": "zoned"})
    assert doubts == [Doubt("t", "unit", False), Doubt("t", "zone", matters)]


def test_dates_are_given_as_dates():
    """MLflow writes a date without a time of day, which says what it was."""
    X = pd.DataFrame({"d": pd.Series([dt.date(2024, 1, 1 + day) for day in range(28)], dtype=object)})
    model = make_pipeline(FunctionTransformer(to_weekday), DecisionTreeRegressor()).fit(X, np.arange(28) % 7)
    served, doubts = settled(model, X, {"d": "date"})
    assert doubts == []
    assert ask(served, {"d": "2024-01-03"}) == [2.0]
    assert served.contract.check_rows([{"d": "2024-01-03T05:00"}]).rejects[0].rule == "out_of_range"


def test_own_code_may_see_a_dtype_that_nobody_knows():
    """int8 overflows where int32 does not; scikit-learn's own types turn both into doubles."""
    X = pd.DataFrame({"n": pd.Series(range(100, 120), dtype="int8")})
    contract = Contract.read(infer_signature(X, [0.0]).to_dict())
    rows = [{"n": value} for value in range(100, 106)]
    own = make_pipeline(FunctionTransformer(double), DecisionTreeRegressor()).fit(X, np.arange(20))
    assert settle(own, contract, rows, {})[1] == [Doubt("n", "dtype", True)]
    assert settle(DecisionTreeRegressor().fit(X, np.arange(20)), contract, rows, {})[1] == []


@pytest.mark.parametrize(
    ("dtype", "step", "size", "telling"),
    [
        ("int8", FunctionTransformer(np.log1p), 1, ["a", "c"]),
        ("int16", FunctionTransformer(np.log1p), 100, ["a", "c"]),
        ("int32", FunctionTransformer(np.log1p), 100_000, []),
        ("int8", StandardScaler(), 1, []),
        ("float16", StandardScaler(), 0.5, ["a", "c"]),
        ("float16", PolynomialFeatures(), 0.5, ["a", "c"]),
        ("float32", PolynomialFeatures(), 0.1, ["a", "b", "c"]),  # pandas' Float32 becomes float64
        ("float64", FunctionTransformer(np.log1p), 1, []),
    ],
)
def test_a_narrow_dtype_counts_where_numpy_or_scikit_learn_compute_in_it(dtype, step, size, telling):
    """log1p of int8 is float16's, of int32 float64's; none where only last bits differ."""
    random = np.random.default_rng(0)
    X = pd.DataFrame({name: (random.integers(0, 99, 60) * size).astype(dtype) for name in "abc"})
    model = make_pipeline(make_column_transformer((step, ["a", "c"]), (Binarizer(threshold=1), ["b"])), Ridge())
    model.fit(X, X.sum(axis=1).astype(float))
    contract = Contract.read(infer_signature(X, [0.0]).to_dict())
    rows = X.head(6).to_dict("records")
    assert settle(model, contract, rows, {})[1] == [Doubt(name, "dtype", True) for name in telling]


def is_list(X):
    """What only a list in each cell is."""
    return X.map(lambda value: isinstance(value, list)).astype(float)


def test_own_code_may_see_whether_a_cell_holds_a_list_or_an_array():
    """MLflow's signature says of both that it is an array."""
    X = pd.DataFrame({"words": [["a", "b"], ["c"], ["d", "e"]] * 5})
    contract = Contract.read(infer_signature(X, [0.0]).to_dict())
    own = make_pipeline(FunctionTransformer(is_list), DecisionTreeRegressor())
    own.fit(pd.concat([X, X.map(np.array)]), np.repeat([0.0, 1.0], 15))
    rows = [{"words": words} for words in X.words.head(3)]
    assert settle(own, contract, rows, {})[1] == [Doubt("words", "dtype", True)]


def test_hints_are_read_from_the_example_as_mlflow_writes_it():
    """NaN and null, offsets and dates are kept by JSON."""
    example = {
        "columns": ["zoned", "plain", "date", "nan", "null", "full", 7],
        "data": [
            ["2024-01-01T00:00:00+01:00", "2024-01-01T00:00:00", "2024-01-01", float("nan"), None, "a", 1],
            ["NaT", "NaT", "2024-07-01", "a", "b", "c", None],
        ],
    }
    times = {"zoned", "plain", "date"}
    assert read_hints(example, times) == {"zoned": "zoned", "date": "date", "nan": "NaN", "null": "null", "7": "null"}
    assert read_hints([[1, 2]], set()) == {}


def test_rows_that_a_marker_makes_refused_do_not_decide():
    """A marker that is refused in each row with a gap is no answer that agrees."""
    X = texts(None)
    imputer = SimpleImputer(missing_values=None, strategy="most_frequent")
    model = make_pipeline(FunctionTransformer(), imputer, OrdinalEncoder(), DecisionTreeClassifier()).fit(
        X, X.town == "Ulm"
    )
    served, doubts = settled(model, X)
    assert doubts == []
    try:
        assert ask(served, {"town": None}) == model.predict(texts(None)[2:3]).tolist()
    except RowsRefused:
        pytest.fail("None is what it takes.")


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_gap_before_an_imputer_is_what_the_encoder_behind_it_learnt(missing):
    """SimpleImputer fills NaN and passes None by; a plain artifact says neither."""
    X = texts(missing)
    encoder = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="Ulm"), OneHotEncoder(handle_unknown="ignore")
    )
    fitted = make_pipeline(make_column_transformer((encoder, ["town"])), DecisionTreeClassifier())
    model, doubts = settled(fitted.fit(X, X.town.isna()), X)
    assert doubts == []
    assert ask(model, {"town": "Ulm"}, {"town": None}) == fitted.predict(X.iloc[[0, 2]]).tolist()


@pytest.mark.parametrize("missing", [None, pd.NA])
def test_a_gap_among_texts_is_a_vectorizers_own(missing):
    """str(None) and str(<NA>) are words: where the example does not tell, a missing text is refused."""
    words = ["good day", "None such", "<NA> code", missing] * 10
    fitted = make_pipeline(CountVectorizer(preprocessor=lower), LogisticRegression())
    X = pd.DataFrame({"town": pd.Series(words, dtype=object)})
    fitted.fit(X.town, X.town.isna())
    contract = Contract.read({"inputs": '[{"type": "string", "name": "town", "required": false}]'})
    contract, doubts = settle(fitted, contract, [{"town": word} for word in words[:3]], {})
    assert Doubt("town", "missing", True) in doubts
    assert contract.check_rows([{"town": None}]).rejects
    told = Contract.read(contract.document, None, {"town": read_dtype(X.town)})
    model = Model(fitted, told)
    assert model.form == TEXT
    assert ask(model, {"town": None}, {"town": "good day"}) == fitted.predict(X.town.iloc[[3, 0]]).tolist()


def lower(text):
    """The preprocessor of whoever has gaps."""
    return str(text).lower()
