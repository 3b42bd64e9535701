"""Backtest: what the model would have forecast for each of the last months, trained on the months before alone.

Run as a program, it prints the errors, those of the months before as well, and the coverage by window.
"""

import math

import numpy as np
import pandas as pd
from data import load, sales
from model import pipeline
from numpy.typing import ArrayLike

MONTHS = 60
"""What errors and coverage are counted on."""
COVERAGE = 0.9
WINDOW = 36
"""Months whose errors make an interval. Chosen by looking at the coverage, of which README.md gives more."""
LATE = 24
FORECASTS = ("model", "naive", "drift", "growth")


def backtest(history: pd.DataFrame | None = None, months: int = MONTHS + WINDOW) -> pd.DataFrame:
    """Forecast each of the last months as it would have been at the end of the month before.

    Args:
        history: As data.sales gives it, which is what is taken without it.
        months: How many.

    Returns:
        By month: sales; level, the mean of the twelve months before; the model's forecast; and to compare, the sales of
        twelve months before (naive), the same with the last month's change over a year added (drift) or times the last
        twelve months' growth (growth).
    """
    history = sales() if history is None else history
    X, y = load(history)
    model = [pipeline().fit(X[:end], y[:end]).predict(X[end : end + 1])[0] for end in range(len(X) - months, len(X))]
    known = history.set_index("month")["sales"]
    before, level = known.shift(1), known.rolling(12).mean().shift(1)
    naive = known.shift(12)
    table = {
        "sales": known,
        "level": level,
        "naive": naive,
        "drift": naive + (before - before.shift(12)),
        "growth": naive * level / level.shift(12),
    }
    return pd.DataFrame(table).tail(months).assign(model=model)


def conformal(errors: ArrayLike) -> float:
    """Half width of the split-conformal interval: of n errors the ⌈(n + 1) · COVERAGE⌉-th by size.

    If the next error is as likely to have any rank among them as any other, it is within with probability COVERAGE
    or more (Lei et al., Distribution-Free Predictive Inference for Regression, 2018, section 2.2).
    """
    ranked = np.sort(np.abs(errors))
    return float(ranked[math.ceil((len(ranked) + 1) * COVERAGE) - 1])


def half_widths(table: pd.DataFrame, window: int = WINDOW) -> pd.Series:
    """At the end of each month of a backtest, the half width for the next month; the first window - 1 have none.

    Errors grow with the sales. So what is ranked is the error as a share of the level, and the share is taken of the
    level that the next month has.
    """
    shares = (table["model"] - table["sales"]) / table["level"]
    next_level = table["sales"].rolling(12).mean()
    return (shares.rolling(window).apply(conformal, raw=True) * next_level).dropna()


def scores(table: pd.DataFrame, window: int = WINDOW) -> dict[str, float]:
    """The run's metrics: errors of each forecast in million AUD and in percent, the next half width, the coverage."""
    errors = table[list(FORECASTS)].sub(table["sales"], axis=0).abs()
    widths = half_widths(table, window)
    covered = (errors["model"] <= widths.reindex(table.index).shift(1)).tail(MONTHS)
    errors = errors.tail(MONTHS)
    percent = errors.div(table["sales"].tail(MONTHS), axis=0) * 100
    named = {name: "" if name == "model" else f"_{name}" for name in FORECASTS}
    return {
        **{f"mae{end}": float(errors[name].mean()) for name, end in named.items()},
        **{f"mape{end}": float(percent[name].mean()) for name, end in named.items()},
        "months_nearer_than_naive": float((errors["model"] < errors["naive"]).sum()),
        "interval": float(widths.iloc[-1]),
        "coverage": float(covered.mean()),
        "coverage_late": float(covered.tail(LATE).mean()),
    }


def main() -> None:
    """Print the figures of README.md."""
    table = backtest(months=2 * MONTHS)
    for part in (table.head(MONTHS), table.tail(MONTHS)):
        print(f"{part.index[0]} to {part.index[-1]}")
        found = scores(part)
        for name in FORECASTS:
            end = "" if name == "model" else f"_{name}"
            print(f"  {name:<7} {found[f'mae{end}']:5.2f} million AUD  {found[f'mape{end}']:5.1f} %")
    for window in (24, 36, 48, 60):
        found = scores(table, window)
        print(f"{window} months: {found['coverage']:.0%}, of the last {LATE} {found['coverage_late']:.0%} are covered")


if __name__ == "__main__":
    main()
