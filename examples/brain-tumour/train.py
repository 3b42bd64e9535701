"""Train the brain-tumour model, log it with Trifold's profile and call it champion.

Without --real the slices are of one head, their lesions simulated, and the test is on slabs of the head that training
keeps away from. With it they are yours: a fifth, chosen by the hash of each file's content, is the test. The files do
not say which are of one patient, so that the test may be too easy.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import data
import folders
import mlflow
import numpy as np
from model import SIDE, pipeline
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

import trifold
from trifold.ops import registry, trainer

NAME = "brain-tumour"
ADDRESS = f"{NAME}@champion"
IMAGE = trifold.ImageInput(SIDE, SIDE, "L")
TRAINING, TEST = 4000, 1000
SEED = 0
THRESHOLD = 0.75
"""The greatest, in steps of 0.05, that leaves less than a fifth of the test slices without a sure answer: 17 %. Of the
others 92 % are right, of all 88 %."""
SIMULATED = {
    "title": "Is there a lesion in this MRI slice?",
    "description": "Whether an axial T1 slice of a brain, skull removed, shows signs of a lesion.",
    "classes": {
        data.LESION: "There are signs of a lesion in this slice.",
        data.NO_LESION: "There is no sign of a lesion in this slice.",
    },
    "note": "This is no medical device. The lesions that the model learnt from are simulated, all in one head.",
}
REAL = {
    "title": "Which kind of picture is this?",
    "description": "The class of a picture, as its folder was called at training.",
    "note": "This is no medical device.",
}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Rows of pixels with their classes for training and test, and what the model says of itself."""

    X: NDArray[np.uint8]
    y: NDArray[np.str_]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.str_]
    about: dict[str, Any]
    shown: list[data.Slices] = field(default_factory=list)


def main() -> None:
    """Train unless asked not to."""
    parser = trainer.parser(__doc__, ADDRESS)
    parser.add_argument("--real", type=Path, metavar="DIR", help="pictures of yours, a subfolder for each class")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the ROC curve's picture here as well")
    options = parser.parse_args()

    def chosen() -> str:
        return train(real(options.real) if options.real else simulated(), options.picture)

    trainer.run(ADDRESS, chosen, if_missing=options.if_missing)


def train(pictures: Pictures, file: Path | None = None) -> str:
    """Fit, log, register; gives the version."""
    registry.use_experiment(NAME)
    model = pipeline().fit(pictures.X, pictures.y)
    probabilities = model.predict_proba(pictures.X_test)
    samples = offered(model) if pictures.shown else {}
    with mlflow.start_run():
        mlflow.log_metrics(scores(model.classes_, pictures.y_test, probabilities))
        if pictures.shown:
            _log_picture(pictures, probabilities[:, 0], file)
        info = trifold.log_model(
            model,
            pictures.X,
            registered_model_name=NAME,
            image=IMAGE,
            samples=samples,
            threshold=THRESHOLD,
            **pictures.about,
        )
    return str(info.registered_model_version)


def simulated(training: int = TRAINING, test: int = TEST) -> Pictures:
    """Slices of the head, those of the test from other slabs."""
    X, y, _ = _slices(training, test=False)
    X_test, y_test, shown = _slices(test, test=True)
    return Pictures(X, y, X_test, y_test, SIMULATED, shown)


def real(folder: Path) -> Pictures:
    """Pictures in folders. None of them is offered on the page: they may be of patients."""
    X, y, test = folders.load(folder, IMAGE)
    return Pictures(X[~test], y[~test], X[test], y[test], REAL)


def scores(classes: NDArray[np.str_], y: NDArray[np.str_], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """The test's metrics: AUC, share of answers that are not sure, and accuracy of those that are."""
    ranked = probabilities[:, 1] if len(classes) == 2 else probabilities
    sure = probabilities.max(axis=1) >= THRESHOLD
    right = classes[probabilities.argmax(axis=1)] == y
    return {
        "auc": float(roc_auc_score(y, ranked, multi_class="ovr", labels=classes)),
        "not_sure": float(1 - sure.mean()),
        "accuracy_when_sure": float(right[sure].mean()) if sure.any() else 0.0,
        "accuracy": float(right.mean()),
    }


def offered(model: Pipeline) -> dict[str, bytes]:
    """Held-out slices for the page, by title: of each slab one that the model is sure of, and one that it is not."""
    slices = next(data.draw(data.heights(90, test=True, seed=SEED + 3), seed=SEED + 3, size=205))
    files = [data.as_file(pixels, side=410) for pixels in slices.pixels]
    probabilities = model.predict_proba(trifold.read_pictures(files, IMAGE))[:, 0]
    low, middle, high = (
        (bottom <= slices.heights) & (slices.heights < top) & (np.abs(probabilities - slices.lesion) < 1 - THRESHOLD)
        for bottom, top in data.TEST_SLABS
    )
    chosen = {
        "A slice with a simulated lesion": middle & slices.lesion,
        "A slice without a lesion": middle & ~slices.lesion,
        "A lower slice with a simulated lesion": low & slices.lesion,
        "A higher slice without a lesion": high & ~slices.lesion,
    }
    samples = {title: files[np.flatnonzero(fitting)[0]] for title, fitting in chosen.items()}
    doubtful = np.where(slices.lesion, np.abs(probabilities - 0.5), 1).argmin()
    return samples | {
        "A simulated lesion that the model is not sure of": data.as_file(slices.pixels[doubtful], "JPEG", side=410)
    }


def _slices(count: int, *, test: bool) -> tuple[NDArray[np.uint8], NDArray[np.str_], list[data.Slices]]:
    seed = SEED + 1 + test
    X, y, first = [], [], []
    for slices in data.draw(data.heights(count, test=test, seed=seed), seed=seed):
        X.append(trifold.read_pictures(data.files(slices), IMAGE))
        y.append(np.where(slices.lesion, data.LESION, data.NO_LESION))
        first = first or [slices]
    return np.concatenate(X), np.concatenate(y), first


def _log_picture(pictures: Pictures, probabilities: NDArray[np.float64], file: Path | None) -> None:
    from picture import draw  # matplotlib takes a second

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "auc.png"
        draw(target, pictures.y_test == data.LESION, probabilities, pictures.shown[0])
        mlflow.log_artifact(str(target))
        if file:
            file.write_bytes(target.read_bytes())


if __name__ == "__main__":
    main()
