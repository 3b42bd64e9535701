"""Models as users log them, with plain mlflow.sklearn.log_model: one function a kind, each gives what to log."""

import os
import time

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, OneClassSVM

ROWS = 1_000
TREE = "sklearn.tree._tree.Tree"
WORDS = ("late", "early", "cab", "fare", "good", "bad", "driver", "street", "night", "rain")


class MeanOfBatch(ClassifierMixin, BaseEstimator):
    """Says whether a row is above the mean of the rows beside it, so no block makes it independent of them."""

    def fit(self, X, y):
        """Remember the classes."""
        self.classes_ = np.unique(y)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict_proba(self, X):
        """From each row's distance to the mean of all."""
        X = np.asarray(X, dtype=float)
        p = 1 / (1 + np.exp(-(X.sum(axis=1) - X.sum(axis=1).mean())))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        """The likelier class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Slow(TransformerMixin, BaseEstimator):
    """Takes as many seconds for whatever it is asked as SLOW_SECONDS says."""

    def fit(self, X, y=None):
        """Remember the number of columns."""
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X):
        """The same, later."""
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        return np.asarray(X, dtype=float)


def numbers(columns=6):
    """A frame of doubles."""
    random = np.random.default_rng(columns)
    return pd.DataFrame(random.normal(size=(ROWS, columns)), columns=[f"x{i}" for i in range(columns)])


def label(X):
    """Two classes that the numbers tell apart, not quite."""
    noise = np.random.default_rng(1).normal(size=len(X))
    return np.where(np.asarray(X)[:, :3].sum(axis=1) + noise > 0, "yes", "no")


def mixed():
    """Types of all kinds, and missing values in two columns."""
    random = np.random.default_rng(2)
    X = pd.DataFrame(
        {
            "age": random.integers(18, 90, ROWS),
            "income": np.where(random.random(ROWS) < 0.1, np.nan, random.lognormal(10, 1, ROWS)),
            "member": random.random(ROWS) < 0.5,
            "town": random.choice(["Ulm", "Bonn", "Kiel", "Trier"], ROWS),
            "plan": np.where(random.random(ROWS) < 0.1, None, random.choice(["a", "b"], ROWS)),
        }
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income", "member"]),
        (OneHotEncoder(handle_unknown="ignore"), ["town", "plan"]),
    )
    y = np.where(X.age + random.normal(0, 20, ROWS) > 50, 1, 0)
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(X, y), X, ["numpy.dtype"]


def tensor():
    """An array without names."""
    X = numbers(5).to_numpy()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, label(X)), X, []


def several_outputs():
    """A regressor of two numbers."""
    X = numbers()
    return LinearRegression().fit(X, X.to_numpy() @ np.arange(12).reshape(6, 2)), X, []


def several_classes():
    """A classifier of two labels, one of three classes."""
    X = numbers()
    y = np.column_stack([label(X), np.digitize(X.x1, [-0.5, 0.5]).astype(str)])
    return MultiOutputClassifier(LogisticRegression()).fit(X, y), X, []


def text():
    """A list of texts."""
    random = np.random.default_rng(3)
    X = [" ".join(random.choice(WORDS, random.integers(2, 8))) for _ in range(ROWS)]
    y = ["good" in line for line in X]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(X, y), X, []


def wide():
    """500 columns."""
    X = numbers(500)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, label(X)), X, []


def trees():
    """A forest."""
    X = numbers()
    return RandomForestClassifier(20, random_state=0).fit(X, label(X)), X, [TREE]


def boosting():
    """A regressor of boosted trees."""
    X = numbers()
    return GradientBoostingRegressor(n_estimators=20, random_state=0).fit(X, X.x0 * X.x1), X, [TREE]


def histogram_boosting():
    """Missing values and all."""
    X = numbers().mask(np.random.default_rng(4).random((ROWS, 6)) < 0.05)
    trusted = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    return HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X, label(X.fillna(0))), X, trusted


def svm():
    """Support vectors, three classes, no probabilities."""
    X = numbers()
    return make_pipeline(StandardScaler(), SVC()).fit(X, np.digitize(X.x0, [-0.5, 0.5])), X, []


def neighbours():
    """A search tree."""
    X = numbers()
    trusted = ["sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree"]
    return KNeighborsClassifier(algorithm="kd_tree").fit(X, label(X)), X, trusted


def outliers():
    """A detector: 1 or -1."""
    X = numbers()
    return IsolationForest(n_estimators=20, random_state=0).fit(X), X, [TREE]


def novelty():
    """Another, over a kernel."""
    X = numbers()
    return make_pipeline(StandardScaler(), OneClassSVM()).fit(X), X, []


def network():
    """A small neural network."""
    X = numbers()
    trusted = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]
    return MLPRegressor(hidden_layer_sizes=(8,), max_iter=300, random_state=0).fit(X, X.x0 * X.x1), X, trusted


def search():
    """What a grid search found."""
    X = numbers()
    trusted = ["sklearn.metrics._scorer._PassthroughScorer", "sklearn.model_selection._split.StratifiedKFold"]
    return GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(X, label(X)), X, trusted


def stacked():
    """A stack of a forest and a linear model."""
    X = numbers()
    members = [("forest", RandomForestClassifier(5, random_state=0)), ("line", LogisticRegression())]
    return StackingClassifier(members, cv=2).fit(X, label(X)), X, [TREE, "sklearn.utils._bunch.Bunch"]


def clusters():
    """Numbers for labels of columns, as a frame has that was made from an array."""
    X = pd.DataFrame(numbers().to_numpy())
    return KMeans(3, n_init=2, random_state=0).fit(X), X, []


WORKING = (
    mixed, tensor, several_outputs, several_classes, text, wide, trees, boosting, histogram_boosting, svm, neighbours,
    outliers, novelty, network, search, stacked, clusters,
)  # fmt: skip
