"""Transformers for the columns of one family, drawn at random: what turns a column into numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from tests.right import features
from tests.right.columns import Column
from tests.right.draws import Random

Recipe = Callable[[Random, Sequence[Column]], Any]


def draw_recipe(random: Random, family: str, columns: Sequence[Column]) -> Any:
    """A transformer for columns of a family."""
    recipes = RECIPES[family]
    return recipes[random.integers(len(recipes))](random, columns)


def one_hot(random: Random, columns: Sequence[Column]) -> Any:
    """One column a category; unknown, rare and dropped ones in every way."""
    unknown = str(random.choice(["ignore", "ignore", "error", "infrequent_if_exist"]))
    options: dict[str, Any] = {"handle_unknown": unknown}
    if random.random() < 0.3:
        options["drop"] = str(random.choice(["first", "if_binary"]))
    if random.random() < 0.3:
        options["min_frequency"] = 5
    elif random.random() < 0.2:
        options["max_categories"] = 3
    return OneHotEncoder(sparse_output=False, **options)


def ordinal(random: Random, columns: Sequence[Column]) -> Any:
    """A number a category, and numbers for unknown and missing ones."""
    options: dict[str, Any] = {}
    if random.random() < 0.8:
        options = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    if random.random() < 0.6:
        options["encoded_missing_value"] = -2
    return OrdinalEncoder(**options)


def target(random: Random, columns: Sequence[Column]) -> Any:
    """The mean of the target a category."""
    return TargetEncoder(cv=2, random_state=0, smooth=float(random.choice([1.0, 10.0])))


def text_imputer(random: Random, columns: Sequence[Column]) -> Any:
    """A text for what is missing, or for what is empty, then categories."""
    missing: Any = [None, np.nan, pd.NA, ""][random.integers(4)]
    if random.random() < 0.7:
        missing = {"None": None, "NaN": np.nan, "NA": pd.NA}.get(columns[0].kind.marker, missing)
    strategy = str(random.choice(["most_frequent", "constant"]))
    filled = SimpleImputer(
        missing_values=missing, strategy=strategy, fill_value="?" if strategy == "constant" else None,
        add_indicator=False,
    )  # fmt: skip
    return make_pipeline(filled, (one_hot if random.random() < 0.5 else ordinal)(random, columns))


def vectorizer(random: Random, columns: Sequence[Column]) -> Any:
    """Words or characters of a column of texts."""
    kind = [CountVectorizer, TfidfVectorizer, HashingVectorizer][random.integers(3)]
    options: dict[str, Any] = {"analyzer": "char", "lowercase": bool(random.random() < 0.5)}
    if kind is HashingVectorizer:
        options["n_features"] = 16
    return make_pipeline(
        FunctionTransformer(features.first_column), kind(**options), FunctionTransformer(features.dense)
    )


def number_imputer(random: Random, columns: Sequence[Column]) -> Any:
    """A number for what is missing, in all of scikit-learn's words for missing."""
    if random.random() < 0.2:
        return KNNImputer(n_neighbors=2, add_indicator=bool(random.random() < 0.5), keep_empty_features=True)
    missing: Any = [np.nan, np.nan, pd.NA, None, -1][random.integers(5)]
    strategy = str(random.choice(["mean", "median", "most_frequent", "constant"]))
    return SimpleImputer(
        missing_values=missing, strategy=strategy, add_indicator=bool(random.random() < 0.5), keep_empty_features=True
    )


def scaled(random: Random, columns: Sequence[Column]) -> Any:
    """Numbers moved and stretched."""
    scaler = SCALERS[random.integers(len(SCALERS))]()
    if scaler is None:
        return "passthrough"
    return make_pipeline(SimpleImputer(keep_empty_features=True), scaler) if random.random() < 0.5 else scaler


def binned(random: Random, columns: Sequence[Column]) -> Any:
    """Numbers in bins, or as splines."""
    filled = SimpleImputer(keep_empty_features=True)
    encode = str(random.choice(["onehot-dense", "ordinal"]))
    bins = KBinsDiscretizer(4, encode=encode, strategy="uniform")
    return make_pipeline(filled, bins if random.random() < 0.6 else SplineTransformer(n_knots=3, degree=2))


def indicator(random: Random, columns: Sequence[Column]) -> Any:
    """Which values are missing, and nothing else."""
    return MissingIndicator(features="all", error_on_new=False)


def passed(random: Random, columns: Sequence[Column]) -> Any:
    """As they are."""
    return "passthrough"


def function(*functions: Callable[[Any], Any]) -> Recipe:
    """One of some functions of our own."""

    def draw(random: Random, columns: Sequence[Column]) -> Any:
        return FunctionTransformer(functions[random.integers(len(functions))])

    return draw


SCALERS: tuple[Callable[[], Any], ...] = (
    StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PowerTransformer, Normalizer, Binarizer,
    lambda: QuantileTransformer(n_quantiles=20), lambda: PolynomialFeatures(2, include_bias=False), lambda: None,
)  # fmt: skip
ANY = function(
    features.markers, features.by_dtype, features.by_python_type, features.is_none, features.missing, features.by_dtype
)
COUNTED = function(features.lengths, features.lengths, features.by_python_type, features.by_dtype)
RECIPES: dict[str, Sequence[Recipe]] = {
    "number": (
        scaled, scaled, scaled, number_imputer, number_imputer, number_imputer, binned, indicator, ANY, ANY, ordinal,
    ),
    "flag": (passed, one_hot, ordinal, ANY, number_imputer),
    "text": (
        one_hot, one_hot, one_hot, ordinal, ordinal, target, text_imputer, text_imputer, vectorizer, ANY, COUNTED,
        function(features.spaces),
    ),
    "category": (one_hot, ordinal, ordinal, target, ANY, function(features.codes)),
    "time": (
        function(features.hours), function(features.ticks), function(features.days), function(features.weekdays),
        function(features.offsets, features.by_dtype, features.markers), function(features.hours, features.ticks),
    ),
    "date": (function(features.ordinals), ANY),
    "list": (COUNTED, function(features.sums)),
    "binary": (COUNTED,),
}  # fmt: skip
