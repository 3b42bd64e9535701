"""What a shard counts while it scores: small, the same however the rows are cut, and added up over shards."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trifold.answers import Answers
from trifold.batch.bins import Bins, in_bins
from trifold.batch.outputs import MOST_CLASSES, Output
from trifold.model import label
from trifold.rows import Array, Rows

__all__ = ["Bins", "Tally", "merged", "merged_top"]


class Tally:
    """The counts of one shard.

    Args:
        bins: The model's.
        every: Columns are counted of each so many-th accepted row of the shard; scores and classes of all.
        top: How many of the rows with the greatest scores are kept, with their keys.
    """

    def __init__(self, bins: Bins, *, every: int = 1, top: int = 0) -> None:
        self._bins, self._every, self._most = bins, every, top
        self._reader = bins.reader()
        self._document = _empty(bins)
        self._top: list[dict[str, Any]] = []

    def add(
        self, rows: Rows, answers: Answers, keys: pa.Array | None = None, kept: Sequence[Any] | None = None
    ) -> None:
        """Count the next rows of the shard.

        Args:
            rows: As `contract.check` gave them.
            answers: Theirs.
            keys: Theirs, strings; without them no row is kept.
            kept: JSON text of each row's further columns, strings or an array of Arrow's.
        """
        if not len(rows):
            return
        self._count_columns(rows)
        self._document["rows"] += len(rows)
        output = self._reader.read(answers)
        self._count_classes(output)
        if output.scores is None:
            return
        self._count_scores(output.scores)
        if keys is not None and self._most:
            self._keep(output.scores, output.predictions, keys, kept)

    def top(self) -> list[dict[str, Any]]:
        """Key, score, prediction and kept columns (JSON text or None) of the rows with the greatest scores."""
        return list(self._top)

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON values, for `merged`; no key and no value of a row is among them.

        Returns:
            rows; looked_at, the rows whose columns were counted; columns, by name a count a bin; scores, a count a
            bin; classes, by label, or None where they are too many; not_sure; least and greatest score.
        """
        return merged([self._document])

    def _count_columns(self, rows: Rows) -> None:
        start = -self._document["rows"] % self._every
        self._document["looked_at"] += len(range(start, len(rows), self._every))
        for column in self._bins.columns:
            _add(self._document["columns"][column.name], column.count(rows, start, self._every))

    def _count_classes(self, output: Output) -> None:
        if self._reader.classes is None:
            self._document["classes"] = None
        elif output.classes is not None:
            counts = np.bincount(output.classes, minlength=len(self._reader.classes)).tolist()
            found = {label(value): n for value, n in zip(self._reader.classes, counts, strict=True) if n}
            self._document["classes"] = _counted(self._document["classes"], found)
        if output.certainty is not None and self._bins.threshold is not None:
            self._document["not_sure"] += int(np.count_nonzero(output.certainty < self._bins.threshold))

    def _count_scores(self, scores: Array) -> None:
        if self._bins.cuts:
            _add(self._document["scores"], in_bins(scores, self._bins.cuts))
        known = scores[np.isfinite(scores)]
        if len(known):
            span = {"least": float(known.min()), "greatest": float(known.max())}
            self._document |= _wider(self._document, span)

    def _keep(self, scores: Array, predictions: Array, keys: pa.Array, kept: Sequence[Any] | None) -> None:
        floor = self._top[-1]["score"] if len(self._top) == self._most else -math.inf
        places = np.flatnonzero(scores >= floor)
        if len(places) > self._most:
            found = scores[places]
            last = found[np.argpartition(found, -self._most)[-self._most]]
            above, equal = places[found > last], places[found == last]
            first = pc.bottom_k_unstable(keys.take(pa.array(equal)), self._most - len(above))
            places = np.concatenate([above, equal[first.to_numpy()]])
        entries = [
            {
                "key": _text(keys[place]),
                "score": float(scores[place]),
                "prediction": self._reader.name(predictions[place]),
                "kept": None if kept is None else _text(kept[place]),
            }
            for place in places.tolist()
        ]
        self._top = merged_top([self._top, entries], self._most)


def merged(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of several shards as those of one, in whatever order; see `Tally.to_json`."""
    total = _empty(Bins())
    for document in documents:
        for name in ("rows", "looked_at", "not_sure"):
            total[name] += document[name]
        for name, counts in document["columns"].items():
            _add(total["columns"].setdefault(name, [0] * len(counts)), counts)
        total["scores"] = total["scores"] or [0] * len(document["scores"])
        _add(total["scores"], document["scores"])
        total |= _wider(total, document)
        total["classes"] = _counted(total["classes"], document["classes"])
    return total


def merged_top(tops: Iterable[Sequence[Mapping[str, Any]]], most: int) -> list[dict[str, Any]]:
    """The rows with the greatest scores of several shards; of equal ones those with the least keys."""
    rows = [dict(row) for top in tops for row in top]
    return sorted(rows, key=lambda row: (-row["score"], row["key"]))[:most]


def _text(value: Any) -> str | None:
    found: str | None = value.as_py() if isinstance(value, pa.Scalar) else value
    return found


def _empty(bins: Bins) -> dict[str, Any]:
    columns = {column.name: [0] * (len(column.cuts or column.kinds) + 2) for column in bins.columns}
    scores = [0] * (len(bins.cuts) + 2) if bins.cuts else []
    counts = {"rows": 0, "looked_at": 0, "not_sure": 0, "least": None, "greatest": None}
    return {**counts, "columns": columns, "scores": scores, "classes": {}}


def _add(total: list[int], counts: Iterable[int]) -> None:
    for place, count in enumerate(counts):
        total[place] += count


def _counted(one: Mapping[str, int] | None, other: Mapping[str, int] | None) -> dict[str, int] | None:
    """Both counts together, by label; None once they are too many, which no shard's order changes."""
    if one is None or other is None:
        return None
    total = {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
    return total if len(total) <= MOST_CLASSES else None


def _wider(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float | None]:
    """Least and greatest of both."""
    return {
        name: choose([each[name] for each in (one, other) if each[name] is not None], default=None)
        for name, choose in (("least", min), ("greatest", max))
    }
