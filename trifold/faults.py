"""Faults: numbers in an estimator that would make scikit-learn go outside its memory.

Its compiled code follows the numbers of trees, search trees, support vectors and encoders without looking at bounds.
They are checked after loading, before anything is predicted. What these checks do not know of may at worst crash the
process, which holds nothing but the model.
"""

from collections.abc import Iterator
from types import NoneType
from typing import Any

import numpy as np
import scipy.sparse

from trifold.errors import first_line

UNCHECKING = frozenset({"BaseForest", "BaseGradientBoosting", "IsolationForest"})
"""Classes that give rows to their trees without asking how many features these take."""


def faults(estimator: Any) -> Iterator[str]:
    """What in an estimator would make scikit-learn go outside its memory, or open files."""
    parts = list(walk(estimator))
    for part in parts:
        kinds = name_bases(part)
        if "Tree" in name_bases(getattr(part, "tree_", None)):
            yield from _in_tree(part.tree_, part.n_features_in_)
        if "TreePredictor" in kinds:
            yield from _in_predictor(part)
        if hasattr(part, "_predictors") and hasattr(part, "n_features_in_"):
            yield from _in_boosting(part)
        if kinds & UNCHECKING and hasattr(part, "estimators_"):
            yield from _in_ensemble(part)
        if kinds & {"KDTree", "BallTree"}:
            yield from _in_neighbours(part)
        if hasattr(part, "_n_support"):
            yield from _in_libsvm(part)
        if "BSpline" in kinds and len(part.c) < len(part.t) - part.k - 1:
            yield "a spline has fewer coefficients than knots ask for"
        if scipy.sparse.issparse(part):
            yield from _in_sparse(part)
        if "OneHotEncoder" in kinds and hasattr(part, "categories_"):
            yield from _in_one_hot(part)
        if hasattr(part, "vocabulary_") and sorted(part.vocabulary_.values()) != list(range(len(part.vocabulary_))):
            yield "a vocabulary's words are not numbered from 0 on"
        if hasattr(part, "decode_error") and part.input != "content":
            yield "a vectorizer opens the files that a request names"
    for part in parts:
        if "BaseGradientBoosting" in name_bases(part):
            yield from _in_stages(part)


def walk(part: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """All objects inside an estimator, itself first, each once."""
    seen = set() if seen is None else seen
    if isinstance(part, str | bytes | int | float | complex | type | NoneType) or id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, dict):
        inner: Any = part.values()
    elif isinstance(part, list | tuple | set | frozenset):
        inner = part
    elif isinstance(part, np.ndarray):
        inner = part.flat if part.dtype == object else ()
    else:
        yield part
        inner = getattr(part, "__dict__", {}).values()
    for item in inner:
        yield from walk(item, seen)


def name_bases(part: Any) -> frozenset[str]:
    """The names of scikit-learn's and scipy's classes that an object is an instance of, however its own is called."""
    return frozenset(
        base.__name__ for base in type(part).__mro__ if base.__module__.partition(".")[0] in ("sklearn", "scipy")
    )


def _in_tree(tree: Any, features: int) -> Iterator[str]:
    # node_count comes from the file unchecked, capacity is what was really allocated.
    if not 0 < tree.node_count <= tree.capacity:
        yield "a tree counts more nodes than it has"
        return
    number = np.arange(tree.node_count)
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    inner = left != -1
    for child in (left, right):
        # scikit-learn numbers a child after its parent, so a walk ends.
        if np.any(inner & ((child <= number) | (child >= tree.node_count))):
            yield "a tree's child is not one of its later nodes"
    if np.any(inner & ((feature < 0) | (feature >= features))):
        yield "a tree asks for a feature that the model does not have"


def _in_predictor(predictor: Any) -> Iterator[str]:
    nodes = predictor.nodes
    count = len(nodes)
    inner = nodes["is_leaf"] == 0
    number = np.arange(count)
    if not count:
        yield "a tree has no nodes"
    for name in ("left", "right"):
        child = nodes[name].astype(np.int64)
        if np.any(inner & ((child <= number) | (child >= count))):
            yield "a tree's child is not one of its later nodes"
    sets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    if np.any(inner & (nodes["is_categorical"] != 0) & (nodes["bitset_idx"].astype(np.int64) >= sets)):
        yield "a tree asks for a set of categories that it does not have"


def _in_boosting(model: Any) -> Iterator[str]:
    categorical = np.asarray(model._bin_mapper.is_categorical_, dtype=bool)
    if getattr(model, "_in_fit", False) or categorical.shape != (model.n_features_in_,):
        yield "a boosting's bins do not fit its features"
        return
    for predictor in walk(model._predictors):
        nodes = predictor.nodes
        feature = nodes["feature_idx"].astype(np.int64)
        inner = nodes["is_leaf"] == 0
        if not _inside(feature[inner], model.n_features_in_):
            yield "a tree asks for a feature that the model does not have"
        elif not categorical[feature[inner & (nodes["is_categorical"] != 0)]].all():
            yield "a tree asks for categories of a feature that has none"


def _in_stages(model: Any) -> Iterator[str]:
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
    if model.estimators_.shape[1] != start.shape[1]:
        yield "a boosting has more trees in a stage than outputs"


def _in_one_hot(encoder: Any) -> Iterator[str]:
    count = len(encoder.categories_)
    mappings = getattr(encoder, "_default_to_infrequent_mappings", None) or [None] * count
    dropped = getattr(encoder, "_drop_idx_after_grouping", None)
    dropped = [None] * count if dropped is None else list(dropped)
    for known, mapping, drop, width in zip(
        encoder.categories_, mappings, dropped, encoder._n_features_outs, strict=True
    ):
        places = np.arange(len(known)) if mapping is None else np.asarray(mapping)
        most = width if drop is None else width + 1
        if not _inside(places, most) or not (drop is None or 0 <= drop < most):
            yield "an encoder's categories do not fit its columns"


def _in_ensemble(model: Any) -> Iterator[str]:
    chosen = getattr(model, "estimators_features_", None)
    given = getattr(model, "n_features_in_", -1)
    for position, member in enumerate(np.ravel(model.estimators_)):
        if chosen is not None:
            given = len(chosen[position])
            if not _inside(chosen[position], model.n_features_in_):
                yield "a member of an ensemble is given a feature that the model does not have"
        if member.n_features_in_ != given:
            yield "a tree of an ensemble takes another number of features than it is given"


def _in_neighbours(tree: Any) -> Iterator[str]:
    data, index, nodes, bounds, *_ = state = tree.__getstate__()
    count, levels = state[6], state[5]
    whole = count == len(nodes) == 2**levels - 1 and bounds.shape[1] == count and bounds.shape[2] == data.shape[1]
    ranges = (nodes["idx_start"] >= 0) & (nodes["idx_start"] <= nodes["idx_end"]) & (nodes["idx_end"] <= len(index))
    leaves_last = nodes["is_leaf"][count // 2 :] if whole else np.zeros(1)
    if not (whole and ranges.all() and leaves_last.all() and len(index) == len(data) and _inside(index, len(data))):
        yield "a search tree's nodes do not fit its data"


def _in_libsvm(model: Any) -> Iterator[str]:
    vectors, classifies = len(model.support_), hasattr(model, "classes_")
    counts = np.asarray(model._n_support)
    classes = len(counts) if classifies else 2
    pairs = classes * (classes - 1) // 2
    if model.kernel == "precomputed":  # the vectors are columns of what is given
        known = _inside(model.support_, model.n_features_in_)
    else:
        known = model.support_vectors_.shape == (vectors, model.n_features_in_)
    fits = (
        known
        and np.all(counts >= 0)
        and (counts.sum() == vectors or not classifies)
        and model._dual_coef_.shape == (classes - 1, vectors)
        and len(model._intercept_) == pairs
        and all(len(values) in (0, pairs) for values in (model._probA, model._probB))
    )
    if not fits:
        yield "a support vector machine's arrays do not fit one another"


def _in_sparse(matrix: Any) -> Iterator[str]:
    try:
        matrix.check_format(full_check=True)
    except (ValueError, AttributeError) as error:
        yield f"a sparse matrix does not hold together ({first_line(error)})"


def _inside(index: Any, size: int) -> bool:
    index = np.asarray(index)
    return bool(np.all((index >= 0) & (index < size)))
