"""Into which bins columns and scores are counted, fixed by the profile and its reference sample.

They depend on nothing but the model version, so any two runs of it compare with each other and with training.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trifold.accepted import predict_accepted
from trifold.answers import Answers
from trifold.batch.outputs import Reader
from trifold.contract.contract import Contract
from trifold.contract.profile import REFERENCE_FILE, Profile, find
from trifold.model import Model
from trifold.packed import ARTIFACT
from trifold.rows import Array, Rows

SCORE_BINS = 20
SCORE_CUTS = tuple(number / SCORE_BINS for number in range(1, SCORE_BINS))
"""Of a probability."""
MOST_KINDS = 20


@dataclass(frozen=True)
class ColumnBins:
    """How one column is cut.

    Attributes:
        name: The column's name.
        place: Its position in the signature.
        title: Words for people.
        unit: Unit of its values.
        cuts: Of a number, rising; what lies on a cut counts below it. Empty for a category.
        kinds: Values of a category that have a bin each, the most frequent at training first; another holds the rest.
        reference: Rows of the reference sample in each bin; the last bin is that of missing values.
    """

    name: str
    place: int
    title: str | None = None
    unit: str | None = None
    cuts: tuple[float, ...] = ()
    kinds: tuple[str, ...] = ()
    reference: tuple[int, ...] = ()

    @property
    def expected(self) -> tuple[float, ...]:
        """The share of each bin at training."""
        return tuple(count / max(sum(self.reference), 1) for count in self.reference)

    def count(self, rows: Rows, start: int = 0, every: int = 1) -> list[int]:
        """Rows in each bin, of each so many-th row from `start` on."""
        values = rows.columns[self.name] if rows.columns is not None else np.asarray(rows.matrix)[:, self.place]
        values = values[start::every]
        return in_bins(values, self.cuts) if self.cuts else _by_kind(values, self.kinds)


@dataclass(frozen=True)
class Bins:
    """How columns and scores are cut, and what the reference sample has in each bin. Of several outputs, the first.

    Attributes:
        columns: The columns that the profile has statistics of; none without a reference sample.
        cuts: Of the score; none of a regressor without a reference sample, nor where there is no score.
        scores: Rows of the reference sample in each bin of the score, the last for those without; none without one.
        labels: Names of the classes, for a classifier that gives probabilities.
        has_classes: Whether predictions are classes.
        words: Of a class, by label.
        threshold: The certainty below which an answer is called not sure.
    """

    columns: tuple[ColumnBins, ...] = ()
    cuts: tuple[float, ...] = ()
    scores: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    has_classes: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    threshold: float | None = None

    @classmethod
    def of(cls, model: Model, folder: Path) -> "Bins":
        """The bins of a packed model of columns.

        The reference sample, not the profile, says what to expect of each bin: a value that many rows share fills
        several of the profile's quantiles, and of a category the profile counts the most frequent values only.
        """
        profile = model.contract.profile or Profile()
        labels = model.labels[0] if model.labels else ()
        bins = cls(
            cuts=SCORE_CUTS if labels else (),
            labels=labels,
            has_classes=bool(labels) or hasattr(model.estimator, "classes_"),
            words=profile.classes,
            threshold=profile.threshold,
        )
        file = find(folder / ARTIFACT, REFERENCE_FILE)
        if file is None:
            return bins
        rows, answers = _reference(model, file)
        columns = [replace(each, reference=tuple(each.count(rows))) for each in _columns(model.contract, profile)]
        scores = bins.reader().read(answers).scores
        cuts = () if scores is None else bins.cuts or _range(scores)
        counts = tuple(in_bins(scores, cuts)) if scores is not None and cuts else ()
        return replace(bins, columns=tuple(columns), cuts=cuts, scores=counts)

    def reader(self) -> Reader:
        """What reads the model's answers."""
        return Reader(self.labels, has_classes=self.has_classes)


def in_bins(values: Array, cuts: Sequence[float]) -> list[int]:
    """Numbers in each bin, then missing ones; a comparison a cut is eight times faster than a search for each value."""
    values = np.ascontiguousarray(values, dtype="float64")
    missing = int(np.count_nonzero(values != values))
    up_to = [int(np.count_nonzero(values <= cut)) for cut in cuts]
    steps = zip([*up_to, len(values) - missing], [0, *up_to], strict=True)
    return [*(after - before for after, before in steps), missing]


def _by_kind(values: Array, kinds: Sequence[str]) -> list[int]:
    """Values of each kind, then others, then missing ones."""
    array = pa.array(values, from_pandas=True)
    if pa.types.is_boolean(array.type):
        array = pc.if_else(array, "True", "False")
    found = pc.index_in(array.cast(pa.string()), value_set=pa.array(kinds, pa.string()))
    places = np.asarray(found.fill_null(len(kinds)).to_numpy(zero_copy_only=False))
    counts: list[int] = np.bincount(places, minlength=len(kinds) + 1).tolist()
    counts[-1] -= array.null_count
    return [*counts, array.null_count]


def _reference(model: Model, file: Path) -> tuple[Rows, Answers]:
    rows = model.contract.check(pq.read_table(file), extra="ignore").rows
    answers, fine, refused = predict_accepted(model, rows)  # a pipeline may drop at training what it cannot predict
    return rows.take(fine) if refused else rows, answers


def _columns(contract: Contract, profile: Profile) -> Iterator[ColumnBins]:
    for place, column in enumerate(contract.signature.columns):
        feature = profile.features.get(column.name)
        if feature is None or column.depth:
            continue
        bins = ColumnBins(column.name, place, feature.title, feature.unit)
        if "quantiles" in feature.statistics and column.kind.numpy.kind in "iuf":
            yield replace(bins, cuts=_cuts(feature.statistics["quantiles"]))
        elif "counts" in feature.statistics and column.kind.name in ("boolean", "string"):
            yield replace(bins, kinds=tuple(feature.statistics["counts"])[:MOST_KINDS])


def _cuts(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Cuts by the quantiles, each once; where many rows share the least or the greatest value, it has a bin of its own.

    Without one, a column of ones that turns to twos would stay in its bin.
    """
    least, *inner, greatest = quantiles
    shared = {end for end in (least, greatest) if end in inner}
    return tuple(sorted({*inner, *(math.nextafter(end, -math.inf) for end in shared)}))


def _range(predictions: Array) -> tuple[float, ...]:
    """Cuts of equal bins over a regressor's predictions; below and above them is one more each."""
    known = predictions[np.isfinite(predictions)]
    if not len(known):
        return ()
    least, greatest = float(known.min()), float(known.max())
    if least == greatest:
        room = abs(least) / 2 or 0.5
        least, greatest = least - room, greatest + room
    cuts = np.linspace(least, greatest, SCORE_BINS + 1).tolist()
    return (math.nextafter(least, -math.inf), *cuts[1:-1], greatest)
