"""The picture of the run: sales, what the backtest forecast, and the intervals."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no screen

import matplotlib.pyplot as plt
import pandas as pd
from backtest import COVERAGE, MONTHS, half_widths, scores
from matplotlib.axes import Axes

BLUE, YELLOW, GREY, INK = "#1f5fa8", "#d99a00", "#8a8f98", "#22262d"
BARS = {
    "model": "the model",
    "drift": "a year before + last change",
    "growth": "a year before × growth",
    "naive": "a year before",
}


def draw(file: Path, history: pd.DataFrame, table: pd.DataFrame) -> None:
    """Write it as a PNG.

    Args:
        file: Where to.
        history: As data.sales gives it.
        table: The backtest of it.
    """
    figure = plt.figure(figsize=(12, 4.4), dpi=150, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2.5, 1))
    _sales(left, history, table)
    _errors(right, table)
    figure.savefig(file)
    plt.close(figure)


def _sales(axes: Axes, history: pd.DataFrame, table: pd.DataFrame) -> None:
    widths = half_widths(table).reindex(table.index).shift(1)
    known, model, low, high = (
        _by_time(series.tail(count))
        for series, count in (
            (history.set_index("month")["sales"], len(history)),
            (table["model"], MONTHS),
            (table["model"] - widths, MONTHS),
            (table["model"] + widths, MONTHS),
        )
    )
    axes.plot(known, color=INK, linewidth=1.2, label="sales")
    axes.plot(model, color=BLUE, linewidth=1.6, label="forecast at the end of the month before")
    axes.fill_between(low.index, low, high, color=BLUE, alpha=0.16, linewidth=0, label=f"{COVERAGE:.0%} interval")
    axes.set_title("Anti-diabetic drugs in Australia", fontsize=12)
    axes.set_ylabel("million AUD a month")
    axes.set_xlim(pd.Timestamp("1998-07-01"), pd.Timestamp("2008-09-01"))
    axes.set_ylim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)


def _errors(axes: Axes, table: pd.DataFrame) -> None:
    found = scores(table)
    errors = [found["mae" if name == "model" else f"mae_{name}"] for name in BARS]
    colours = [BLUE if name == "model" else GREY for name in BARS]
    places = range(len(BARS))
    axes.barh(places, errors, color=colours, height=0.5)
    for place, (words, error) in enumerate(zip(BARS.values(), errors, strict=True)):
        axes.text(0, place - 0.32, words, va="bottom", color=INK)
        axes.text(error - 0.05, place, f"{error:.2f}", va="center", ha="right", color="white", fontweight="bold")
    axes.set_ylim(len(BARS) - 0.6, -0.7)
    axes.set_title(f"Mean absolute error, {MONTHS} months", fontsize=12)
    axes.set_xlabel("million AUD")
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)


def _by_time(series: pd.Series) -> pd.Series:
    return series.set_axis(pd.to_datetime(series.index))
