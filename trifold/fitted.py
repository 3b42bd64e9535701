"""What is known of a fitted estimator: which of it is scikit-learn's own, to the exact type, and what it learnt.

Only scikit-learn's exact types are taken apart or changed. A subclass, or a class of the same name or with the same
attributes, may mean something else by them, so it is asked by its own predict() and predict_proba().
"""

import contextlib
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from trifold.contract.dtypes import NA, NAN, NONE
from trifold.faults import name_bases, walk
from trifold.rows import Array

KNOWN = frozenset({"_thread", "builtins", "collections", "functools", "joblib", "numpy", "operator", "pandas", "scipy"})
"""Packages beside scikit-learn whose types stand in its estimators and are no code of a model's author."""
SEARCHES = frozenset({"GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV"})
TREES = frozenset({"DecisionTreeClassifier", "ExtraTreesClassifier", "RandomForestClassifier"})
MONOTONE = frozenset(
    {"GaussianNB", "GradientBoostingClassifier", "HistGradientBoostingClassifier", "LogisticRegression"}
)
"""Classifiers whose predict() is, by their own source, the class of the greatest predict_proba(): asked once, not
twice. Of these only where no other is equal: they compare scores that rounding may make equal as probabilities."""
ONE_ARRAY = frozenset({"ClassifierChain", "StackingClassifier"})
"""Classifiers that give, for several outputs, one array: a column for each output's probability of 1."""
VECTORIZERS = frozenset({"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"})
ENCODERS = frozenset({"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"})
IMPUTERS = frozenset({"KNNImputer", "MissingIndicator", "SimpleImputer"})
LOOK_AT_COLUMNS = frozenset({"ColumnTransformer", "FunctionTransformer"})


def name_type(part: Any) -> str:
    """The name of scikit-learn's own class that an object is of, to the exact type; empty for anything else."""
    kind = type(part)
    if not kind.__module__.startswith("sklearn."):
        return ""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return kind.__name__ if found is kind else ""


def has_own_code(estimator: Any) -> bool:
    """Whether anything in an estimator is of a class, or is a function, that is none of scikit-learn's world."""
    return any(map(_is_own, walk(estimator)))


def unwrap(estimator: Any) -> Any:
    """The best estimator of scikit-learn's searches, which is all that their predict() asks."""
    while name_type(estimator) in SEARCHES and hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def split(estimator: Any) -> tuple[list[Any], Any]:
    """The transformers and the last step of scikit-learn's Pipeline: rows are transformed once for two questions."""
    if name_type(estimator) != "Pipeline":
        return [], estimator
    *before, (_, final) = estimator.steps
    return [step for _, step in before if step is not None and step != "passthrough"], final


def choose_greatest(final: Any, outputs: tuple[Array, ...]) -> Array | None:
    """What predict() would say, from the probabilities; None where only predict() itself can."""
    kind, probabilities = name_type(final), outputs[0]
    if len(outputs) > 1 or kind not in TREES | MONOTONE:
        return None
    greatest = probabilities.max(axis=1, keepdims=True)
    if kind in MONOTONE and not ((probabilities == greatest).sum(axis=1) == 1).all():  # a tie, or NaN
        return None
    return np.asarray(final.classes_.take(probabilities.argmax(axis=1), axis=0))


def looks_at_columns(estimator: Any) -> bool:
    """Whether a DataFrame may mean something else to an estimator than the matrix of its numbers."""
    return any(
        name_type(part) in LOOK_AT_COLUMNS or hasattr(part, "_sklearn_output_config") or _is_own(part)
        for part in walk(estimator)
    )


def takes_text(estimator: Any) -> bool:
    """Whether an estimator hands its input to one of scikit-learn's vectorizers, which take an iterable of strings.

    A ColumnTransformer hands it one column of a DataFrame, a pipeline what the steps before made of its input; anything
    else, what it was given.
    """
    bases = name_bases(estimator)
    if "Pipeline" in bases:
        first = next((step for _, step in estimator.steps if step is not None and step != "passthrough"), None)
        return first is not None and takes_text(first)
    if "FeatureUnion" in bases:
        return any(takes_text(part) for _, part in estimator.transformer_list)
    parts = [(part, name_bases(part)) for part in walk(estimator)]
    if any("ColumnTransformer" in bases for _, bases in parts):
        return False
    pipelines = [part for part, bases in parts if "Pipeline" in bases]
    return any(map(takes_text, pipelines)) if pipelines else any(bases & VECTORIZERS for _, bases in parts)


def settle_threads(estimator: Any) -> Any:
    """Let predict() run in one thread; gives the context to ask in.

    In several, a forest adds its trees in the order in which they end, which changes the last bits. What is
    scikit-learn's own is told so once; of anything else no attribute is changed.
    """
    if has_own_code(estimator):
        return _sequential
    for part in walk(estimator):
        if "n_jobs" in getattr(part, "__dict__", {}):
            part.n_jobs = 1
    return contextlib.nullcontext


def may_write(estimator: Any) -> bool:
    """Whether predict() may change the rows that it is given: of scikit-learn's own, what was told not to copy them."""
    return has_own_code(estimator) or any(
        value is False and name.startswith("copy")
        for part in walk(estimator)
        for name, value in getattr(part, "__dict__", {}).items()
    )


def forget_names(estimator: Any) -> None:
    """Without names a matrix is taken without a warning for each prediction; only of scikit-learn's own types."""
    if has_own_code(estimator):
        return
    for part in walk(estimator):
        getattr(part, "__dict__", {}).pop("feature_names_in_", None)


def find_markers(estimator: Any, objects: Mapping[str, bool]) -> dict[str, set[str]]:
    """By column, the markers of a missing value that scikit-learn's encoders and imputers learnt from it.

    An imputer's own marker is what it was told, NaN unless something else: where a column may hold objects, it passes
    None by, which an encoder behind it then learnt. So NaN is believed of those only where such an encoder is.

    Args:
        estimator: Fitted.
        objects: By column, whether it may hold objects.
    """
    learnt: dict[str, set[str]] = {name: set() for name in objects}
    told: dict[str, set[str]] = {name: set() for name in objects}
    encoded = set()
    for names, encoder in _find_encoders(estimator):
        for name, categories in zip(names, encoder.categories_, strict=False):
            encoded.add(str(name))
            learnt.get(str(name), set()).update(filter(None, map(name_marker, categories.tolist())))
    for part in walk(estimator):
        if name_type(part) in IMPUTERS:
            for name in getattr(part, "feature_names_in_", ()):
                told.get(str(name), set()).update(filter(None, [name_marker(part.missing_values)]))
    for name in objects:
        if not objects[name] or name in encoded or told[name] != {NAN}:
            learnt[name] = learnt[name] or told[name]
    return learnt


def _find_encoders(estimator: Any) -> Iterator[tuple[Sequence[Any], Any]]:
    """Encoders, with the names of the columns that they learnt: their own, or of the imputers before them."""
    for part in walk(estimator):
        if name_type(part) in ENCODERS and hasattr(part, "categories_") and hasattr(part, "feature_names_in_"):
            yield list(part.feature_names_in_), part
        elif name_type(part) == "Pipeline":
            names: Sequence[Any] = ()
            for _, step in part.steps:
                if name_type(step) in IMPUTERS:
                    names = list(getattr(step, "feature_names_in_", names))
                    continue
                known = hasattr(step, "categories_") and not hasattr(step, "feature_names_in_")
                # Fewer, where the imputer left columns out that were empty at training.
                if name_type(step) in ENCODERS and known and len(step.categories_) >= len(names):
                    yield names, step
                break


def name_marker(value: Any) -> str | None:
    """Which marker of a missing value this is; None if it is a value."""
    if value is None:
        return NONE
    if isinstance(value, float) and value != value:
        return NAN
    return NA if type(value).__name__ == "NAType" else None


def _is_own(part: Any) -> bool:
    if isinstance(part, functools.partial):
        return _is_own(part.func)
    if isinstance(part, FunctionType | BuiltinFunctionType | MethodType):
        return (part.__module__ or "builtins").partition(".")[0] not in KNOWN | {"sklearn"}
    if isinstance(part, np.ufunc):
        return False
    module = type(part).__module__.partition(".")[0]
    return not name_type(part) if module == "sklearn" else module not in KNOWN


@contextlib.contextmanager
def _sequential() -> Iterator[None]:
    import joblib

    with joblib.parallel_config(backend="sequential"):
        yield
