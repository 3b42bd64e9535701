"""Distributions of scipy.stats that a search keeps: loaded without the program text that their state holds.

scipy's rv_generic.__setstate__ runs, by exec, text that is in the state, and so in the file. A distribution is one of
scipy's own by its type; its state says nothing more that a prediction needs, so it is made anew instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CONTINUOUS = (
    "beta", "cauchy", "chi2", "expon", "gamma", "halfcauchy", "halfnorm", "invgamma", "laplace", "logistic", "lognorm",
    "norm", "pareto", "powerlaw", "rayleigh", "reciprocal", "t", "triang", "truncnorm", "uniform", "weibull_min",
)  # fmt: skip
DISTRIBUTIONS = frozenset(
    {
        "scipy.stats._distn_infrastructure.rv_continuous_frozen",
        *(f"scipy.stats._continuous_distns.{name}_gen" for name in _CONTINUOUS),
    }
)
"""Types of distributions, and of those with their parameters; skops can write none of the discrete ones."""


@contextmanager
def without_programs() -> Iterator[None]:
    """Let distributions that are loaded meanwhile be made by their type alone."""
    from scipy.stats._distn_infrastructure import rv_generic

    original = rv_generic.__setstate__
    rv_generic.__setstate__ = _make_anew
    try:
        yield
    finally:
        rv_generic.__setstate__ = original


def _make_anew(distribution: Any, state: object) -> None:
    distribution.__init__()
