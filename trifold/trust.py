"""Load an estimator from an artifact that nobody vouches for but its digest.

skops builds only types that it is told to trust. The list below is ours, by exact name: a prefix
such as "numpy." would let in numpy.load or numpy.testing._private.utils.runstring, and the list
inside the artifact is whatever its author wrote. A trusted type can still hold content that does harm:
scikit-learn's compiled code follows the numbers of its trees, search trees, support vectors and encoders
without looking at bounds. Those are checked before anything is predicted. What the checks do not know of
may at worst crash the process, which holds nothing but the model.
"""

import pickle
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import scipy.sparse

from trifold.errors import ArtifactError, TrifoldError, UntrustedModel

_GAUSSIAN_KERNELS = (
    "CompoundKernel", "ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Matern", "PairwiseKernel",
    "Product", "RationalQuadratic", "RBF", "Sum", "WhiteKernel",
)  # fmt: skip
# What a search remembers of how it searched; nothing of it is called to predict.
_SPLITTERS = ("GroupKFold", "KFold", "RepeatedKFold", "RepeatedStratifiedKFold", "StratifiedKFold", "TimeSeriesSplit")
_METRICS = {
    "classification": ("accuracy_score", "balanced_accuracy_score", "f1_score", "precision_score", "recall_score"),
    "ranking": ("average_precision_score", "roc_auc_score"),
    "regression": ("mean_absolute_error", "mean_squared_error", "r2_score", "root_mean_squared_error"),
}
_DISTANCES = ("Chebyshev", "Euclidean", "Hamming", "Haversine", "Manhattan", "Minkowski")

TRUSTED = frozenset(
    {
        "functools.partial",  # its function has to be trusted as well
        "numpy.dtype",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",  # an attribute of BSpline
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._interpolate.interp1d",
        "scipy.sparse._csc.csc_matrix",
        "scipy.sparse._csr.csr_matrix",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "sklearn.utils.validation.check_array",  # inside HistGradientBoosting with categories
        *(f"sklearn.gaussian_process.kernels.{name}" for name in _GAUSSIAN_KERNELS),
        *(f"sklearn.metrics._{module}.{name}" for module, names in _METRICS.items() for name in names),
        *(f"sklearn.model_selection._split.{name}" for name in _SPLITTERS),
        *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in _DISTANCES for bits in ("32", "64")),
    }
)
"""Types and functions beyond skops' own defaults, each read and found to run nothing that it is given."""

UNCHECKING = frozenset({"BaseForest", "BaseGradientBoosting", "IsolationForest"})
"""Classes that give rows to their trees without asking how many features these take."""
ZIP = b"PK\x03\x04"
LARGEST_TIMES = 100
SMALL = 100_000_000
"""Bytes that a file of any size may fill."""


def load_estimator(path: Path, file_format: str, *, trusted: Sequence[str] = (), allow_pickle: bool = False) -> Any:
    """Load an estimator and look through it.

    Args:
        path: The file.
        file_format: MLflow's serialization_format: "skops", "pickle" or "cloudpickle".
        trusted: Names of types that the caller vouches for, beyond TRUSTED.
        allow_pickle: Whether the caller trusts the origin enough to run what a pickle says.

    Raises:
        UntrustedModel: A pickle without `allow_pickle`, or types that are not trusted.
        ArtifactError: The file is damaged, needs a package that is not installed, or holds numbers that point outside
            their arrays.
    """
    if file_format != "skops":
        return _unpickle(path, allow_pickle)
    import skops.io  # half a second, and not needed for a pickle

    try:
        _require_plain_zip(path)
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED - set(trusted))
        if unknown:
            raise UntrustedModel(f"The model holds types that are not trusted: {', '.join(unknown)}.", unknown)
        estimator = skops.io.load(path, trusted=sorted(TRUSTED | set(trusted)))
        fault = next(faults(estimator), None)
    except TrifoldError:
        raise
    except ImportError as error:
        raise ArtifactError(f"The model needs code that is not installed: {_first_line(error)}.") from error
    except Exception as error:  # a file made to do harm may raise anything
        raise ArtifactError(f"The file {path.name} cannot be read as a skops model: {_first_line(error)}.") from error
    if fault:
        raise ArtifactError(f"The model is damaged, or made to do harm: {fault}.")
    return estimator


def faults(estimator: Any) -> Iterator[str]:
    """What in an estimator would make scikit-learn go outside its memory, or open files."""
    parts = list(walk(estimator))
    for part in parts:
        kind = type(part).__name__
        if type(getattr(part, "tree_", None)).__name__ == "Tree":
            yield from _in_tree(part.tree_, part.n_features_in_)
        if kind == "TreePredictor":
            yield from _in_predictor(part)
        if hasattr(part, "_predictors") and hasattr(part, "n_features_in_"):
            yield from _in_boosting(part)
        if {base.__name__ for base in type(part).__mro__} & UNCHECKING and hasattr(part, "estimators_"):
            yield from _in_ensemble(part)
        if kind in ("KDTree", "BallTree"):
            yield from _in_neighbours(part)
        if hasattr(part, "_n_support"):
            yield from _in_libsvm(part)
        if kind == "BSpline" and len(part.c) < len(part.t) - part.k - 1:
            yield "a spline has fewer coefficients than knots ask for"
        if scipy.sparse.issparse(part):
            yield from _in_sparse(part)
        if kind == "OneHotEncoder" and hasattr(part, "categories_"):
            yield from _in_one_hot(part)
        if hasattr(part, "vocabulary_") and sorted(part.vocabulary_.values()) != list(range(len(part.vocabulary_))):
            yield "a vocabulary's words are not numbered from 0 on"
        if hasattr(part, "decode_error") and part.input != "content":
            yield "a vectorizer opens the files that a request names"
    for part in parts:
        if type(part).__name__ in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
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


def _unpickle(path: Path, allow_pickle: bool) -> Any:
    if not allow_pickle:
        raise UntrustedModel("The model is a pickle, which runs whatever its author wrote as soon as it is loaded.")
    with path.open("rb") as file:
        try:
            return pickle.load(file)  # noqa: S301 - the caller vouched for it, and the pin says so
        except (ImportError, AttributeError) as error:
            raise ArtifactError(f"The model needs code that is not installed: {_first_line(error)}.") from error
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
            raise ArtifactError(f"The file {path.name} cannot be read as a pickle: {_first_line(error)}.") from error


def _require_plain_zip(path: Path) -> None:
    """Make sure that the file does not fill the memory: MLflow stores skops files without compression.

    Only sparse matrices are zips inside it that are compressed; they may hold a hundred times their size.
    """
    total = 0
    with zipfile.ZipFile(path) as outer:
        for member in outer.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ArtifactError(f"The file {path.name} is compressed; log the model with mlflow.sklearn.log_model.")
            total += member.file_size
            with outer.open(member) as file:
                if file.read(len(ZIP)) == ZIP:
                    total += sum(part.file_size for part in zipfile.ZipFile(file).infolist())
    if total > max(LARGEST_TIMES * path.stat().st_size, SMALL):
        raise ArtifactError(f"The file {path.name} would fill {total:,} bytes of memory; log the model again.")


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
        yield f"a sparse matrix does not hold together ({_first_line(error)})"


def _inside(index: Any, size: int) -> bool:
    index = np.asarray(index)
    return bool(np.all((index >= 0) & (index < size)))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
