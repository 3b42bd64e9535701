"""The model: rows in, predictions and probabilities out, the same bits however the rows are cut."""

import copy
import datetime as dt
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import threadpoolctl

from trifold import digest
from trifold.answers import Answers, joined
from trifold.contract.contract import Contract
from trifold.contract.readers import write_time
from trifold.errors import ArtifactError, Reject, RowsRefused
from trifold.faults import name_bases
from trifold.fitted import (
    ONE_ARRAY,
    choose_greatest,
    forget_names,
    looks_at_columns,
    may_write,
    settle_threads,
    split,
    takes_text,
    unwrap,
)
from trifold.frames import make_array, make_frame
from trifold.packed import ARTIFACT, Packed
from trifold.rows import Array, Rows
from trifold.settings import THREAD_VARIABLES
from trifold.trust import load_estimator

FRAME, MATRIX, TEXT = "frame", "matrix", "text"
MOST_ROWS = 4096
"""Rows in one call of the estimator: as many as the parity probe tried, and memory stays flat."""
NOT_FINITE = {float("inf"): "Infinity", float("-inf"): "-Infinity"}


class Model:
    """A loaded estimator with its contract.

    Attributes:
        contract: What it takes.
        form: What the estimator is given: "frame", "matrix" or "text".
        blocks: Sizes of blocks that all give the same bits, rising; empty to predict rows as they come.
        labels: Names of the classes, an entry an output; empty for anything but a classifier.
    """

    def __init__(
        self, estimator: Any, contract: Contract, *, form: str | None = None, blocks: Sequence[int] = ()
    ) -> None:
        self._asking = settle_threads(estimator)
        self._writes = may_write(estimator)
        self.estimator = unwrap(estimator)
        self.contract = contract
        self.form = form or choose_form(self.estimator, contract)
        self.blocks = tuple(blocks)
        if self.form == MATRIX:
            forget_names(self.estimator)
        self._before, self._final = split(self.estimator)
        if not hasattr(self._final, "predict"):
            raise ArtifactError(f"The model, a {type(self._final).__name__}, has no predict(); log a fitted predictor.")
        self.labels = _labels(self._final)
        self._scores = self._final.predict_proba if self.labels else None
        self._finite = True

    @classmethod
    def load(cls, folder: Path, *, expected_digest: str | None = None, threads: int = 1) -> "Model":
        """Load a packed model after its digest.

        Args:
            folder: Where `trifold build` packed it.
            expected_digest: What the deployment asks for; None: what the folder says of itself.
            threads: Threads of BLAS and OpenMP, for the whole process; of OpenMP only if this is what imports
                scikit-learn.

        Raises:
            DigestMismatch: The files are not the pinned ones.
            UntrustedModel: It holds a pickle or types that nobody vouched for.
            ArtifactError: It cannot be loaded.
        """
        packed = Packed.read(folder)
        artifact = folder / ARTIFACT
        digest.require(artifact, expected_digest or packed.digest)
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        estimator = load(artifact, packed.file, packed.file_format, packed.trusted, packed.allow_pickle, packed.code)
        threadpoolctl.threadpool_limits(threads)
        return cls(estimator, Contract.from_json(packed.contract), form=packed.form, blocks=packed.blocks)

    def predict(self, rows: Rows, *, most_refused: int | None = None) -> Answers:
        """Predict accepted rows.

        Args:
            rows: As `contract.check` gave them.
            most_refused: Stop the search for rows that the model refuses after so many.

        Raises:
            RowsRefused: The model raised ValueError for some of the rows, each also when alone, or answered them with
                NaN or infinity, for which JSON has no form.
        """
        if not len(rows):
            return Answers(np.empty(0), tuple(np.empty((0, len(names))) for names in self.labels) or None)
        try:
            answers = self._predict(rows)
        except ValueError as error:
            rejects: list[Reject] = []
            most = most_refused or len(rows)
            self._search(rows, 0, error, rejects, most)
            if not rejects:
                raise
            raise RowsRefused(rejects if len(rejects) >= most else self._refuse_answers(rows, rejects)) from error
        rejects = _find_infinite(answers) if self._finite else []
        if rejects:
            raise RowsRefused(rejects)
        return answers

    def with_scores(self) -> "Model":
        """The same model for the parity probe: its answers hold scores where labels alone would hide the last bits."""
        other = copy.copy(self)
        other._scores = self._scores or getattr(self._final, "decision_function", None)
        other._finite = False
        return other

    def _refuse_answers(self, rows: Rows, rejects: list[Reject]) -> list[Reject]:
        """What is refused, and of the rest what the model answers with no finite number."""
        fine = np.delete(np.arange(len(rows)), [reject.row for reject in rejects if reject.row is not None])
        more = _find_infinite(self._predict(rows.take(fine))) if len(fine) else []
        return sorted([*rejects, *(replace(found, row=int(fine[found.row or 0])) for found in more)], key=_row)

    def _predict(self, rows: Rows) -> Answers:
        parts = [self._predict_at_once(rows.padded(start, size)) for start, size in self._cuts(len(rows))]
        return (joined(parts) if len(parts) > 1 else parts[0]).take(slice(0, len(rows)))

    def _cuts(self, count: int) -> Iterator[tuple[int, int]]:
        """Where blocks start and how large they are: the largest that are full, at last the smallest, padded."""
        start = 0
        for size in reversed(self.blocks or (MOST_ROWS,)):
            while count - start >= size:
                yield start, size
                start += size
        if start < count:
            yield start, self.blocks[0] if self.blocks else count - start

    def _predict_at_once(self, rows: Rows) -> Answers:
        with self._asking():
            return self._ask(self._given(rows.copied() if self._writes else rows), len(rows))

    def _ask(self, given: Any, count: int) -> Answers:
        for step in self._before:
            given = step.transform(given)
        if self._scores is None:
            return Answers(_checked(self._final.predict(given), count))
        # It is asked twice: what the first question wrote into the rows must not answer the second.
        scores = self._scores(copy.deepcopy(given) if self._writes else given)
        outputs = tuple(scores) if isinstance(scores, list) else (scores,)
        if self.labels:
            _require_labels(outputs, self.labels)
        predictions = choose_greatest(self._final, outputs) if self.labels else None
        if predictions is None:
            predictions = self._final.predict(given)
        return Answers(_checked(predictions, count), outputs)

    def _given(self, rows: Rows) -> Any:
        if self.form == FRAME:
            return make_frame(self.contract, rows)
        if self.form == TEXT and rows.columns is not None:
            (column,), (values,) = self.contract.signature.columns, rows.columns.values()
            return values if column.dtype is None else make_array(column, values)
        # BLAS takes another path for columns side by side than for rows, with other last bits: always rows.
        if rows.matrix is not None:
            return np.ascontiguousarray(rows.matrix)
        assert rows.columns is not None
        return np.column_stack(list(rows.columns.values()))

    def _search(self, rows: Rows, first: int, error: ValueError, found: list[Reject], most: int) -> None:
        """Halve until each refused row stands alone."""
        if len(found) >= most:
            return
        if len(rows) == 1:
            sentence = str(error).splitlines()[0] if str(error) else type(error).__name__
            found.append(Reject(first, None, "refused_by_model", "a row that the model can predict", sentence))
            return
        middle = len(rows) // 2
        for start, half in ((0, rows.take(slice(0, middle))), (middle, rows.take(slice(middle, len(rows))))):
            try:
                self._predict(half)
            except ValueError as inner:
                self._search(half, first + start, inner, found, most)


def load(
    artifact: Path, file: str, file_format: str, trusted: Sequence[str], allow_pickle: bool, code: str | None
) -> Any:
    """Load an artifact's estimator; its own code is importable only if somebody vouched for it."""
    if code and (trusted or allow_pickle) and str(artifact / code) not in sys.path:
        sys.dont_write_bytecode = True  # what Python writes beside the code would change the artifact's digest
        sys.path.append(str(artifact / code))
    return load_estimator(artifact / file, file_format, trusted=trusted, allow_pickle=allow_pickle)


def choose_form(estimator: Any, contract: Contract) -> str:
    """What the estimator is given: text, a matrix where all columns are numbers, else a DataFrame.

    A DataFrame costs more than most linear models, so one is built only for those that select columns by
    name or look at types: column and function transformers, and code that is not scikit-learn's; and where
    the columns were no plain numbers of numpy's.
    """
    signature = contract.signature
    if signature.tensor is not None:
        return MATRIX
    columns = signature.columns
    if len(columns) == 1 and columns[0].kind.name == "string" and (not signature.named or takes_text(estimator)):
        return TEXT
    numeric = all(
        column.kind.numpy.kind in "fi" and not column.depth and (column.dtype is None or column.dtype.is_array)
        for column in columns
    )
    return FRAME if signature.named and not (numeric and not looks_at_columns(estimator)) else MATRIX


def label(value: Any) -> str:
    """A class's name: JSON text of anything but a string."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, dt.datetime | np.datetime64):
        return write_time(np.datetime64(value))
    return str(value.item() if isinstance(value, np.generic) else value)


def _labels(final: Any) -> tuple[tuple[str, ...], ...]:
    if not (hasattr(final, "predict_proba") and hasattr(final, "classes_")):
        return ()
    classes = final.classes_
    outputs = classes if isinstance(classes, list) else [classes]
    if len(outputs) > 1 and name_bases(final) & ONE_ARRAY:
        return (tuple(map(str, range(len(outputs)))),)
    return tuple(tuple(map(label, output)) for output in outputs)


def _require_labels(outputs: tuple[Array, ...], labels: Sequence[Sequence[str]]) -> None:
    """Make sure that each probability has its class."""
    widths, known = [output.shape[1:] for output in outputs], [(len(names),) for names in labels]
    if widths != known:
        raise ArtifactError(
            f"The model gives probabilities of shape {widths} a row for classes of shape {known}; "
            "its predict_proba() has to give one for each of its classes_."
        )


def _find_infinite(answers: Answers) -> list[Reject]:
    """A reject for each row whose answer holds NaN or infinity."""
    rejects: dict[int, Reject] = {}
    for values in (answers.predictions, *(answers.probabilities or ())):
        if values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        flat = values.reshape(len(values), -1)
        for row in np.flatnonzero(~np.isfinite(flat).all(axis=1)).tolist():
            found = flat[row][~np.isfinite(flat[row])][0]
            words = NOT_FINITE.get(float(found), "NaN")
            rejects.setdefault(row, Reject(row, None, "refused_by_model", "a row with a finite answer", words))
    return [rejects[row] for row in sorted(rejects)]


def _row(reject: Reject) -> int:
    return reject.row or 0


def _checked(predictions: Any, count: int) -> Array:
    array = predictions.toarray() if scipy.sparse.issparse(predictions) else np.asarray(predictions)
    if array.dtype.kind == "M" or (array.dtype == object and array.size and isinstance(array.flat[0], dt.date)):
        array = np.array([label(value) for value in array.flat], dtype=object).reshape(array.shape)
    if array.shape[:1] != (count,):
        raise ArtifactError(f"The model gave {len(array)} predictions for {count} rows; a step of it drops rows.")
    return array[:, 0] if array.shape[1:] == (1,) else array  # one output is a value, not a list of one
