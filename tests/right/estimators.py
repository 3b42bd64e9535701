"""Estimators drawn at random: scikit-learn's, and people's own around them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn import (
    calibration,
    cluster,
    covariance,
    discriminant_analysis,
    dummy,
    ensemble,
    gaussian_process,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)  # fmt: skip
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.right import features, own
from tests.right.draws import Random

Make = Callable[[], Any]
HGB = {"max_iter": 4, "max_leaf_nodes": 6, "min_samples_leaf": 3}
ANY_NUMBERS: Sequence[Make] = (
    lambda: ensemble.HistGradientBoostingClassifier(**HGB),
    lambda: tree.DecisionTreeClassifier(max_depth=5, random_state=0),
    lambda: ensemble.RandomForestClassifier(5, max_depth=5, random_state=0),
    lambda: ensemble.ExtraTreesClassifier(5, max_depth=5, random_state=0),
)
"""Classifiers that take NaN."""
CLASSIFIERS: Sequence[Make] = (
    lambda: linear_model.LogisticRegression(max_iter=200),
    lambda: linear_model.LogisticRegression(max_iter=200, C=0.1),
    lambda: linear_model.RidgeClassifier(),
    lambda: linear_model.SGDClassifier(loss="log_loss", max_iter=20, random_state=0),
    lambda: ensemble.GradientBoostingClassifier(n_estimators=4, random_state=0),
    lambda: ensemble.AdaBoostClassifier(n_estimators=4, random_state=0),
    lambda: ensemble.BaggingClassifier(n_estimators=3, random_state=0),
    lambda: neighbors.KNeighborsClassifier(4),
    lambda: neighbors.KNeighborsClassifier(3, weights="distance", algorithm="kd_tree"),
    lambda: naive_bayes.GaussianNB(),
    lambda: naive_bayes.BernoulliNB(),
    lambda: svm.SVC(probability=True, random_state=0),
    lambda: svm.SVC(),
    lambda: svm.LinearSVC(max_iter=200),
    lambda: discriminant_analysis.LinearDiscriminantAnalysis(),
    lambda: neural_network.MLPClassifier((4,), max_iter=20, random_state=0),
    lambda: gaussian_process.GaussianProcessClassifier(optimizer=None),
    lambda: dummy.DummyClassifier(strategy="prior"),
    lambda: calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=2),
    lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(max_iter=200), cv=2, method="isotonic"),
    lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    lambda: multiclass.OneVsOneClassifier(linear_model.LogisticRegression()),
    lambda: ensemble.VotingClassifier(_members(), voting="soft"),
    lambda: ensemble.VotingClassifier(_members(), voting="hard"),
    lambda: ensemble.StackingClassifier(_members(), cv=2),
    lambda: own.RandomForestClassifier(5, max_depth=4, random_state=0),
    lambda: own.DecisionTreeClassifier(max_depth=3, random_state=0),
    lambda: own.LogisticRegression(),
    lambda: own.GaussianNB(),
    lambda: own.Cautious(),
)
TWO_CLASSES: Sequence[Callable[[Any], Any]] = (
    lambda inner: model_selection.FixedThresholdClassifier(inner, threshold=0.3, response_method="predict_proba"),
    lambda inner: model_selection.TunedThresholdClassifierCV(
        inner, cv=2, thresholds=5, response_method="predict_proba"
    ),
)
WRAPPERS: Sequence[Callable[[Any], Any]] = (
    lambda inner: model_selection.GridSearchCV(inner, {}, cv=2),
    lambda inner: own.GridSearchCV(inner, {}, cv=2),
    lambda inner: model_selection.RandomizedSearchCV(inner, {}, cv=2, n_iter=1, random_state=0),
    lambda inner: own.Best(model_selection.GridSearchCV(inner, {}, cv=2)),
    lambda inner: own.Watchful(inner),
    lambda inner: own.Watchful(inner),
    lambda inner: own.SamplingPipeline([("sampler", own.Sampler()), ("model", inner)]),
    lambda inner: own.Pipeline([("model", inner)]),
    lambda inner: make_pipeline(inner),
    lambda inner: calibration.CalibratedClassifierCV(inner, cv=2),
    lambda inner: multiclass.OneVsRestClassifier(inner),
)
"""Around a whole pipeline that classifies."""
REGRESSORS_OF_ANY: Sequence[Make] = (
    lambda: ensemble.HistGradientBoostingRegressor(**HGB),
    lambda: tree.DecisionTreeRegressor(max_depth=5, random_state=0),
    lambda: ensemble.RandomForestRegressor(5, max_depth=5, random_state=0),
)
REGRESSORS: Sequence[Make] = (
    lambda: linear_model.LinearRegression(),
    lambda: linear_model.Ridge(),
    lambda: linear_model.Lasso(0.01),
    lambda: linear_model.ElasticNet(0.01),
    lambda: linear_model.HuberRegressor(max_iter=50),
    lambda: linear_model.BayesianRidge(),
    lambda: ensemble.GradientBoostingRegressor(n_estimators=4, random_state=0),
    lambda: ensemble.ExtraTreesRegressor(5, random_state=0),
    lambda: neighbors.KNeighborsRegressor(3),
    lambda: neighbors.KNeighborsRegressor(3, weights="distance"),
    lambda: svm.SVR(),
    lambda: neural_network.MLPRegressor((4,), max_iter=20, random_state=0),
    lambda: gaussian_process.GaussianProcessRegressor(alpha=0.1, optimizer=None),
    lambda: ensemble.VotingRegressor([("line", linear_model.Ridge()), ("bayes", linear_model.BayesianRidge())]),
    lambda: TransformedTargetRegressor(
        linear_model.Ridge(), func=features.to_log, inverse_func=features.to_exp, check_inverse=False
    ),
    lambda: make_pipeline(FunctionTransformer(features.squared), linear_model.LinearRegression()),
)  # fmt: skip
REGRESSOR_WRAPPERS: Sequence[Callable[[Any], Any]] = (
    own.ByName,
    own.Jobs,
    own.Unlimited,
    own.Unlimited,
    own.InASeries,
    own.InAColumn,
    own.InAMatrix,
    own.WithoutClasses,
    lambda inner: model_selection.GridSearchCV(inner, {}, cv=2),
    lambda inner: TransformedTargetRegressor(inner, func=np.arcsinh, inverse_func=np.sinh),
)
SEVERAL_NUMBERS: Sequence[Make] = (
    lambda: linear_model.LinearRegression(),
    lambda: ensemble.RandomForestRegressor(5, random_state=0),
    lambda: multioutput.MultiOutputRegressor(ensemble.HistGradientBoostingRegressor(**HGB)),
    lambda: multioutput.RegressorChain(linear_model.Ridge()),
)
SEVERAL_LABELS: Sequence[Make] = (
    lambda: multioutput.MultiOutputClassifier(linear_model.LogisticRegression()),
    lambda: ensemble.RandomForestClassifier(5, max_depth=4, random_state=0),
    lambda: neighbors.KNeighborsClassifier(4),
    lambda: multioutput.MultiOutputClassifier(ensemble.HistGradientBoostingClassifier(**HGB)),
)
MULTI_LABEL: Sequence[Make] = (
    lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    lambda: ensemble.RandomForestClassifier(5, max_depth=4, random_state=0),
    lambda: multioutput.ClassifierChain(linear_model.LogisticRegression()),
    lambda: neural_network.MLPClassifier((4,), max_iter=20, random_state=0),
    lambda: multioutput.MultiOutputClassifier(naive_bayes.GaussianNB()),
    lambda: neighbors.KNeighborsClassifier(4),
)
WITHOUT_TARGET: Sequence[Make] = (
    lambda: ensemble.IsolationForest(10, random_state=0),
    lambda: svm.OneClassSVM(),
    lambda: neighbors.LocalOutlierFactor(5, novelty=True),
    lambda: covariance.EllipticEnvelope(random_state=0),
    lambda: cluster.KMeans(3, n_init=1, random_state=0),
    lambda: cluster.MiniBatchKMeans(3, n_init=1, random_state=0),
    lambda: cluster.Birch(n_clusters=3),
    lambda: mixture.GaussianMixture(2, random_state=0),
)


def _members() -> list[tuple[str, Any]]:
    return [
        ("line", linear_model.LogisticRegression()),
        ("tree", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
    ]


def pick(random: Random, makers: Sequence[Any]) -> Any:
    """One of some."""
    return makers[random.integers(len(makers))]


def takes_missing(estimator: Any) -> bool:
    """Whether scikit-learn says that an estimator takes NaN."""
    from sklearn.utils import get_tags

    return bool(get_tags(clone(estimator)).input_tags.allow_nan)
