"""Load an estimator from an artifact that nobody vouches for but its digest.

skops builds only types that it is told to trust. The list below is ours, by exact name: a prefix
such as "numpy." would let in numpy.load or numpy.testing._private.utils.runstring, and the list
inside the artifact is whatever its author wrote. A trusted type can still hold content that does harm:
see trifold/faults.py.
"""

import pickle
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trifold.distributions import DISTRIBUTIONS, without_programs
from trifold.errors import ArtifactError, TrifoldError, UntrustedModel, first_line
from trifold.faults import faults

_GAUSSIAN_KERNELS = (
    "CompoundKernel", "ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Matern", "PairwiseKernel",
    "Product", "RationalQuadratic", "RBF", "Sum", "WhiteKernel",
)  # fmt: skip
# What a search remembers of how it searched; nothing of it is called to predict.
_SEARCHES = ("HalvingGridSearchCV", "HalvingRandomSearchCV")
_SPLITTERS = (
    "GroupKFold", "GroupShuffleSplit", "KFold", "LeaveOneGroupOut", "LeaveOneOut", "LeavePGroupsOut", "LeavePOut",
    "PredefinedSplit", "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedGroupKFold",
    "StratifiedKFold", "StratifiedShuffleSplit", "TimeSeriesSplit",
)  # fmt: skip
_METRICS = {
    "_classification": (
        "accuracy_score", "balanced_accuracy_score", "brier_score_loss", "cohen_kappa_score", "d2_brier_score",
        "d2_log_loss_score", "f1_score", "fbeta_score", "hamming_loss", "hinge_loss", "jaccard_score", "log_loss",
        "matthews_corrcoef", "precision_score", "recall_score", "zero_one_loss",
    ),
    "_ranking": (
        "average_precision_score", "dcg_score", "label_ranking_average_precision_score", "ndcg_score", "roc_auc_score",
        "top_k_accuracy_score",
    ),
    "_regression": (
        "d2_absolute_error_score", "d2_pinball_score", "d2_tweedie_score", "explained_variance_score", "max_error",
        "mean_absolute_error", "mean_absolute_percentage_error", "mean_gamma_deviance", "mean_pinball_loss",
        "mean_poisson_deviance", "mean_squared_error", "mean_squared_log_error", "mean_tweedie_deviance",
        "median_absolute_error", "r2_score", "root_mean_squared_error", "root_mean_squared_log_error",
    ),
    "_scorer": ("negative_likelihood_ratio", "positive_likelihood_ratio"),
    "cluster._supervised": (
        "adjusted_mutual_info_score", "adjusted_rand_score", "completeness_score", "fowlkes_mallows_score",
        "homogeneity_score", "mutual_info_score", "normalized_mutual_info_score", "rand_score", "v_measure_score",
    ),
}  # fmt: skip
# What a column selector was told to look for; they hold nothing, and nothing can be made of them.
_ABSTRACT = ("builtins.object", "numpy.floating", "numpy.integer", "numpy.number")
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
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer.make_column_selector",  # called by fit alone
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_oneway",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.r_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.impute._iterative.IterativeImputer",  # experimental, which skops' own list leaves out
        "sklearn.impute._iterative._ImputerTriplet",  # a named tuple
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
        *(f"sklearn.metrics.{module}.{name}" for module, names in _METRICS.items() for name in names),
        *(f"sklearn.model_selection._search_successive_halving.{name}" for name in _SEARCHES),
        *(f"sklearn.model_selection._split.{name}" for name in _SPLITTERS),
        *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in _DISTANCES for bits in ("32", "64")),
        *_ABSTRACT,
        *DISTRIBUTIONS,
    }
)
"""Types and functions beyond skops' own defaults, each read and found to run nothing that it is given."""

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
        types = set(skops.io.get_untrusted_types(file=path))
        unknown = sorted(types - TRUSTED - set(trusted))
        if unknown:
            raise UntrustedModel(f"The model holds types that are not trusted: {', '.join(unknown)}.", unknown)
        with without_programs() if types & DISTRIBUTIONS else nullcontext():
            estimator = skops.io.load(path, trusted=sorted(TRUSTED | set(trusted)))
        fault = next(faults(estimator), None)
    except TrifoldError:
        raise
    except ImportError as error:
        raise ArtifactError(f"The model needs code that is not installed: {first_line(error)}.") from error
    except Exception as error:  # a file made to do harm may raise anything
        raise ArtifactError(f"The file {path.name} cannot be read as a skops model: {first_line(error)}.") from error
    if fault:
        raise ArtifactError(f"The model is damaged, or made to do harm: {fault}.")
    return estimator


def _unpickle(path: Path, allow_pickle: bool) -> Any:
    if not allow_pickle:
        raise UntrustedModel("The model is a pickle, which runs whatever its author wrote as soon as it is loaded.")
    with path.open("rb") as file:
        try:
            return pickle.load(file)  # noqa: S301 - the caller vouched for it, and the pin says so
        except (ImportError, AttributeError) as error:
            raise ArtifactError(f"The model needs code that is not installed: {first_line(error)}.") from error
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
            raise ArtifactError(f"The file {path.name} cannot be read as a pickle: {first_line(error)}.") from error


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
