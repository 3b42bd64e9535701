"""How far a run's rows are from the training data: the population stability index, and what it says in a word."""

import math
from collections.abc import Sequence

EPSILON = 1e-4
"""Least share in a PSI, whose logarithm knows no empty bin; the usual choice."""
LOOK_FROM, CHANGED_FROM = 0.1, 0.25
"""Rule of thumb for a PSI; source: N. Siddiqi, Credit Risk Scorecards (Wiley 2006), chapter on monitoring."""
STABLE, LOOK, CHANGED, TOO_FEW = "stable", "look", "changed", "too-few"
ONE_IN_100 = 2.326
"""The normal distribution's quantile of 0.99."""


def psi(expected: Sequence[float], found: Sequence[int]) -> float | None:
    """The population stability index, the sum of (f - e) ln(f / e) over bins; None where there is nothing to compare.

    Source: B. Yurdakul and J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model
    Validation 14 (4), 2020, equation 1.

    Args:
        expected: A share a bin.
        found: Rows in each.
    """
    total = sum(found)
    if not total or not sum(expected):
        return None
    pairs = ((max(share, EPSILON), max(count / total, EPSILON)) for share, count in zip(expected, found, strict=True))
    return sum((after - before) * math.log(after / before) for before, after in pairs)


def judge(reference: Sequence[int], found: Sequence[int]) -> str | None:
    """What a PSI says: "stable" below 0.1, "look" below 0.25, else "changed"; None where there is nothing to compare.

    "too-few" where chance alone makes such a difference: of 12 rows in 10 bins most bins are empty, and their PSI is
    above 1 whatever they are. So before a column is called changed, Pearson's chi-square test of both samples has to
    find a difference that 1 of 100 equal ones has.

    Args:
        reference: Rows of the reference sample in each bin.
        found: Rows of the run in each.
    """
    value = psi([count / max(sum(reference), 1) for count in reference], found)
    if value is None or value < LOOK_FROM:
        return STABLE if value is not None else None
    if not _differ(reference, found):
        return TOO_FEW
    return LOOK if value < CHANGED_FROM else CHANGED


def _differ(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two samples come from different populations; source: Press et al., Numerical Recipes, chstwo."""
    ratio = math.sqrt(sum(one) / sum(other))
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a + b]
    statistic = sum((a / ratio - b * ratio) ** 2 / (a + b) for a, b in pairs)
    freedom = max(len(pairs) - 1, 1)
    spread = 2 / (9 * freedom)  # chi-square's quantile by Wilson and Hilferty's cube root
    return statistic > freedom * (1 - spread + ONE_IN_100 * math.sqrt(spread)) ** 3
