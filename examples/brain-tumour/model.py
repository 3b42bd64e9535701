"""The model: filters over the picture, how often each answers how strongly, and boosted trees on those counts.

A lesion may be anywhere, and the slices to judge are of heights that training did not see. A model of the pixels
themselves learns where a lesion was (AUC 0.57 to 0.68 on the test slabs); counts have no place.
"""

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import Binarizer
from sklearn.random_projection import SparseRandomProjection

SIDE = 64
FILTERS = ((0.3, None, 1), (1.5, None, 2), (0.8, 1.28, 2), (1.3, 2.08, 2), (2.0, 3.2, 3), (3.0, 4.8, 4))
"""Width of a Gaussian, width of the one that is taken away from it, and step from place to place; in pixels. The first
is the picture itself, the second its blur, the others answer to spots of their size."""
THRESHOLDS = (-40, -25, -15, -8, 8, 15, 25, 40, 60, 80, 100, 125, 150, 175, 200, 225)
"""Grey levels above which an answer is counted."""


def pipeline() -> Pipeline:
    """The whole, not yet fitted; it takes rows of SIDE x SIDE grey levels."""
    filters = [_filter(*one) for one in FILTERS]
    sums = sparse.block_diag([np.ones((1, one.shape[0]), np.float32) for one in filters], format="csr")
    counts = [(f"above {level}", make_pipeline(Binarizer(threshold=level), _map(sums))) for level in THRESHOLDS]
    trees = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, max_leaf_nodes=15, random_state=0)
    return make_pipeline(_map(sparse.vstack(filters, format="csr")), FeatureUnion(counts), trees)


def _filter(width: float, wider: float | None, step: int) -> sparse.csr_array:
    """A row for each place, a column for each pixel."""
    plain = _gaussian(width, step)
    return sparse.csr_array(plain if wider is None else plain - _gaussian(wider, step))


def _gaussian(width: float, step: int) -> sparse.csr_array:
    places, pixels = np.arange(step // 2, SIDE, step), np.arange(SIDE)
    away = np.abs(pixels - places[:, np.newaxis])
    weights = np.where(away <= 2 * width + 0.5, np.exp(-0.5 * (away / width) ** 2), 0)
    weights /= weights.sum(axis=1).max()
    line = sparse.csr_array(weights.astype(np.float32))
    return sparse.kron(line, line, format="csr")


def _map(matrix: sparse.csr_array) -> FrozenEstimator:
    """A given linear map as a transformer: of scikit-learn's own types, the one that holds a sparse matrix.

    Fitting it would draw a random matrix; hence it is given its attributes here, and frozen.
    """
    holder = SparseRandomProjection(matrix.shape[0])
    holder.n_components_, holder.n_features_in_ = matrix.shape
    holder.components_ = sparse.csr_matrix(matrix)
    return FrozenEstimator(holder)
