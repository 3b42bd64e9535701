"""The picture of the run: how well slices are told apart, and some of them."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no screen

import matplotlib.pyplot as plt
import numpy as np
from data import Slices
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

ROWS, COLUMNS = 2, 4
BLUE, YELLOW, GREY = "#1f5fa8", "#ffd34d", "#8a8f98"


def draw(file: Path, lesion: NDArray[np.bool_], probabilities: NDArray[np.float64], slices: Slices) -> None:
    """Write the ROC curve of all, and the first slices with their answers, as a PNG.

    Args:
        file: Where to.
        lesion: Whether each held-out slice has a lesion.
        probabilities: Of a lesion, for each.
        slices: The first of them.
    """
    figure = plt.figure(figsize=(12, 4.2), dpi=150, facecolor="white", layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.9))
    _roc(left.subplots(), lesion, probabilities)
    for axes, number in zip(right.subplots(ROWS, COLUMNS).flat, range(ROWS * COLUMNS), strict=True):
        _slice(axes, slices, number, probabilities[number])
    figure.savefig(file)
    plt.close(figure)


def _roc(axes: Axes, lesion: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> None:
    false, true, _ = roc_curve(lesion, probabilities)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    axes.plot(false, true, color=BLUE, linewidth=2.5)
    axes.fill_between(false, true, color=BLUE, alpha=0.08)
    axes.text(0.94, 0.08, f"AUC {roc_auc_score(lesion, probabilities):.2f}", ha="right", fontsize=20, color=BLUE)
    axes.set_title(f"{len(lesion):,} slices from slabs that training did not see", fontsize=12)
    axes.set_xlabel("share of healthy slices taken for one with a lesion")
    axes.set_ylabel("share of lesions that are found")
    axes.set(xlim=(-0.005, 1), ylim=(0, 1.005), aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)


def _slice(axes: Axes, slices: Slices, number: int, probability: float) -> None:
    axes.imshow(slices.pixels[number], cmap="gray", vmin=0, vmax=255)
    if slices.lesion[number]:
        axes.contour(slices.outlines[number], levels=[0.5], colors=YELLOW, linewidths=1)
    truth = "lesion (outlined)" if slices.lesion[number] else "no lesion"
    axes.set_title(f"{truth}\nmodel: {probability:.0%} lesion", fontsize=10.5)
    axes.axis("off")
