"""Estimators of data scientists: subclasses with thresholds of their own, some with scikit-learn's names."""

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn import ensemble, linear_model, model_selection, naive_bayes, pipeline, tree
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin, clone


class Cautious(linear_model.LogisticRegression):
    """Says the last class from a fifth on."""

    def predict(self, X):
        """By a threshold of its own."""
        return self.classes_[np.where(self.predict_proba(X)[:, -1] > 0.2, len(self.classes_) - 1, 0)]


class LogisticRegression(linear_model.LogisticRegression):
    """Has scikit-learn's name and another threshold."""

    predict = Cautious.predict


class GaussianNB(naive_bayes.GaussianNB):
    """Another one."""

    predict = Cautious.predict


class DecisionTreeClassifier(tree.DecisionTreeClassifier):
    """Smooths its probabilities, and decides by a threshold."""

    def predict_proba(self, X):
        """Never quite sure."""
        return 0.9 * super().predict_proba(X) + 0.1 / len(self.classes_)

    predict = Cautious.predict


class RandomForestClassifier(ensemble.RandomForestClassifier):
    """Decides by a threshold, from its parent's probabilities."""

    predict = Cautious.predict


class GridSearchCV(model_selection.GridSearchCV):
    """A search whose best estimator is not all that it says."""

    predict = Cautious.predict


class Pipeline(pipeline.Pipeline):
    """A pipeline with a threshold."""

    predict = Cautious.predict


class Best(ClassifierMixin, BaseEstimator):
    """Wraps a search, as people do, and decides by a threshold."""

    def __init__(self, search=None):
        self.search = search

    def fit(self, X, y):
        """Keep the search's best estimator."""
        self.search_ = clone(self.search).fit(X, y)
        self.best_estimator_ = self.search_.best_estimator_
        self.classes_ = self.best_estimator_.classes_
        return self

    def predict_proba(self, X):
        """The best estimator's, pulled to the middle."""
        return 0.8 * self.best_estimator_.predict_proba(X) + 0.2 / len(self.classes_)

    predict = Cautious.predict


class Sampler(BaseEstimator):
    """Takes every second row of the first class away, as imbalanced-learn's samplers do; it has no transform."""

    def fit_resample(self, X, y):
        """Fewer rows."""
        keep = (np.asarray(y) != np.unique(y)[0]) | (np.arange(len(y)) % 2 == 0)
        return X[keep], np.asarray(y)[keep]


class SamplingPipeline(BaseEstimator, ClassifierMixin):
    """Like imbalanced-learn's pipeline: steps that sample are for training only."""

    def __init__(self, steps=()):
        self.steps = steps

    def fit(self, X, y):
        """Fit the steps."""
        for _, step in self.steps[:-1]:
            X, y = step.fit_resample(X, y) if hasattr(step, "fit_resample") else (step.fit_transform(X, y), y)
        self.steps[-1][1].fit(X, y)
        return self

    @property
    def classes_(self):
        """The last step's."""
        return self.steps[-1][1].classes_

    def _transformed(self, X):
        for _, step in self.steps[:-1]:
            X = X if hasattr(step, "fit_resample") else step.transform(X)
        return X

    def predict(self, X):
        """The last step's, without samplers."""
        return self.steps[-1][1].predict(self._transformed(X))

    def predict_proba(self, X):
        """The same."""
        return self.steps[-1][1].predict_proba(self._transformed(X))


class Watchful(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Remembers the dtypes of training and turns its answers round where it is given others."""

    def __init__(self, inner=None):
        self.inner = inner

    def fit(self, X, y):
        """Fit the inner one."""
        self.dtypes_ = [str(dtype) for dtype in X.dtypes]
        self.inner_ = clone(self.inner).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        """The inner one's, or turned round."""
        same = [str(dtype) for dtype in getattr(X, "dtypes", ())] == self.dtypes_
        found = self.inner_.predict_proba(X)
        return found if same else found[:, ::-1]

    def predict(self, X):
        """The likelier class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class _Wrapping(RegressorMixin, BaseEstimator):
    def __init__(self, inner=None):
        self.inner = inner

    def fit(self, X, y):
        """Fit the inner one."""
        self.inner_ = clone(self.inner).fit(X, y)
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.array(X.columns, dtype=object)
        return self

    def predict(self, X):
        """The inner one's."""
        return self.inner_.predict(X)


class ByName(_Wrapping):
    """Takes its columns by the names that it remembers."""

    def predict(self, X):
        """The inner one's."""
        return self.inner_.predict(X[list(self.feature_names_in_)])


class Jobs(_Wrapping):
    """Has an attribute n_jobs that is none of threads."""

    def __init__(self, inner=None, n_jobs=3):
        super().__init__(inner)
        self.n_jobs = n_jobs

    def predict(self, X):
        """As many times as there are jobs."""
        return super().predict(X) * self.n_jobs


class Unlimited(_Wrapping):
    """Answers with infinity what is above training's mean by much."""

    def predict(self, X):
        """Infinite for a few."""
        found = np.asarray(super().predict(X), dtype=float)
        return np.where(found > self.limit_, np.inf, np.where(found < self.least_, -np.inf, found))

    def fit(self, X, y):
        """Set the limits by the training rows' answers."""
        super().fit(X, y)
        found = np.asarray(self.inner_.predict(X), dtype=float)
        self.least_, self.limit_ = np.quantile(found, 0.02), np.quantile(found, 0.9)
        return self


class InASeries(_Wrapping):
    """Answers with a series whose index means nothing."""

    def predict(self, X):
        """A series."""
        found = self.inner_.predict(X)
        return pd.Series(found, index=range(len(found), 0, -1))


class InAColumn(_Wrapping):
    """Answers with an array of one column."""

    def predict(self, X):
        """Shape (rows, 1)."""
        return np.asarray(self.inner_.predict(X)).reshape(-1, 1)


class InAMatrix(_Wrapping):
    """Answers with a sparse matrix of two columns."""

    def predict(self, X):
        """Sparse."""
        found = np.asarray(self.inner_.predict(X))
        return scipy.sparse.csr_matrix(np.column_stack([np.maximum(found, 0), np.minimum(found, 0)]))


class WithoutClasses(_Wrapping):
    """Has probabilities, and no classes_ that would say of what."""

    def predict_proba(self, X):
        """Two columns."""
        found = 1 / (1 + np.exp(-np.clip(np.asarray(self.inner_.predict(X), dtype=float), -50, 50)))
        return np.column_stack([1 - found, found])
