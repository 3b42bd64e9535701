"""Real pictures: a folder with a subfolder for each class, such as yes/ and no/."""

import hashlib
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import trifold
from trifold.pictures import PictureRefused

ENDINGS = {".png", ".jpg", ".jpeg"}
LEAST = 20
"""Readable pictures of a class, below which nothing can be learnt or tested."""
TEST_SHARE = 0.2


def load(folder: Path, image: trifold.ImageInput) -> tuple[NDArray[np.uint8], NDArray[np.str_], NDArray[np.bool_]]:
    """Rows of pixels, the class of each, and whether it is for the test; files that cannot be read are named and left.

    Two files of the same content are on the same side of the test, which is chosen by hash. Pictures of one patient may
    be on both: the folders do not say whose they are, so the AUC may be too good.

    Raises:
        SystemExit: There is no such folder, there are fewer than two classes, or too few pictures of one.
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder} is no folder; one with a subfolder for each class is needed.")
    rows, labels, test = [], [], []
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in kind.iterdir() if path.suffix.lower() in ENDINGS)
        for path in files:
            try:
                rows.append(trifold.read_pictures([path], image)[0])
            except PictureRefused as error:
                print(f"  left out {path}: {error}", file=sys.stderr)
                continue
            labels.append(kind.name)
            test.append(hashlib.sha256(path.read_bytes()).digest()[0] < 256 * TEST_SHARE)
    _require_enough(folder, labels)
    y, held_out = np.array(labels), np.array(test)
    if lacking := set(labels) - set(y[held_out].tolist()):
        raise SystemExit(f"By chance no picture of {', '.join(sorted(lacking))} is in the test; add some to {folder}.")
    return np.stack(rows), y, held_out


def _require_enough(folder: Path, labels: list[str]) -> None:
    counts = {label: labels.count(label) for label in sorted(set(labels))}
    if len(counts) < 2:
        raise SystemExit(
            f"{folder} has pictures of {len(counts)} classes; a subfolder for each of two or more is needed."
        )
    few = [f"{label} ({count})" for label, count in counts.items() if count < LEAST]
    if few:
        raise SystemExit(f"{folder} has too few readable pictures of {', '.join(few)}; at least {LEAST} are needed.")
