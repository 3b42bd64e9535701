"""The model: rows in, predictions and probabilities out, the same bits however the rows are cut."""

import copy
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from trifold import digest
from trifold.answers import Answers, joined
from trifold.contract.contract import Contract
from trifold.errors import ArtifactError, Reject, RowsRefused
from trifold.faults import walk
from trifold.packed import ARTIFACT, Packed
from trifold.rows import Array, Rows
from trifold.settings import THREAD_VARIABLES
from trifold.trust import load_estimator

FRAME, MATRIX, TEXT = "frame", "matrix", "text"
MOST_ROWS = 4096
"""Rows in one call of the estimator: as many as the parity probe tried, and memory stays flat."""
TREES = frozenset({"DecisionTreeClassifier", "ExtraTreesClassifier", "RandomForestClassifier"})
MONOTONE = frozenset(
    {"GaussianNB", "GradientBoostingClassifier", "HistGradientBoostingClassifier", "LogisticRegression"}
)
"""Classifiers whose predict() is, by their own source, the class of the greatest predict_proba(): asked once, not
twice. Of these only where no other is equal: they compare scores that rounding may make equal as probabilities."""
ONE_ARRAY = frozenset({"ClassifierChain", "StackingClassifier"})
"""Classifiers that give, for several outputs, one array: a column for each output's probability of 1."""


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
        _settle_threads(estimator)
        self.estimator = _unwrap(estimator)
        self.contract = contract
        self.form = form or choose_form(self.estimator, contract)
        self.blocks = tuple(blocks)
        if self.form == MATRIX:
            _forget_names(self.estimator)
        self._before, self._final = _split(self.estimator)
        if not hasattr(self._final, "predict"):
            raise ArtifactError(f"The model, a {type(self._final).__name__}, has no predict(); log a fitted predictor.")
        self.labels = _labels(self._final)
        self._scores = self._final.predict_proba if self.labels else None

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
            RowsRefused: The model raised ValueError for some of the rows, each also when alone.
        """
        if not len(rows):
            return Answers(np.empty(0), tuple(np.empty((0, len(names))) for names in self.labels) or None)
        try:
            return self._predict(rows)
        except ValueError as error:
            rejects: list[Reject] = []
            self._search(rows, 0, error, rejects, most_refused or len(rows))
            if not rejects:
                raise
            raise RowsRefused(rejects) from error

    def with_scores(self) -> "Model":
        """The same model for the parity probe: its answers hold scores where labels alone would hide the last bits."""
        other = copy.copy(self)
        other._scores = self._scores or getattr(self._final, "decision_function", None)
        return other

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
        given = self._given(rows)
        for step in self._before:
            given = step.transform(given)
        if self._scores is None:
            return Answers(_checked(self._final.predict(given), len(rows)))
        scores = self._scores(given)
        outputs = tuple(scores) if isinstance(scores, list) else (scores,)
        predictions = _greatest(self._final, outputs) if self.labels else None
        if predictions is None:
            predictions = self._final.predict(given)
        return Answers(_checked(predictions, len(rows)), outputs)

    def _given(self, rows: Rows) -> Any:
        if self.form == FRAME:
            return _frame(self.contract, rows)
        if self.form == TEXT and rows.columns is not None:
            return next(iter(rows.columns.values()))
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
    name or look at types: column and function transformers, and code that is not scikit-learn's.
    """
    signature = contract.signature
    if signature.tensor is not None:
        return MATRIX
    columns = signature.columns
    before, final = _split(_unwrap(estimator))
    first = before[0] if before else final
    if len(columns) == 1 and columns[0].kind.name == "string" and (not signature.named or hasattr(first, "analyzer")):
        return TEXT
    numeric = all(column.kind.numpy.kind in "fi" and not column.depth for column in columns)
    if signature.named and not (numeric and not any(map(_looks_at_columns, walk(estimator)))):
        return FRAME
    return MATRIX


def label(value: Any) -> str:
    """A class's name: JSON text of anything but a string."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return str(value.item() if isinstance(value, np.generic) else value)


def _looks_at_columns(part: Any) -> bool:
    kind = type(part)
    if kind.__name__ in ("ColumnTransformer", "FunctionTransformer") or hasattr(part, "_sklearn_output_config"):
        return True
    estimator = hasattr(part, "get_params") and hasattr(part, "fit")
    return estimator and not kind.__module__.startswith("sklearn.")


def _frame(contract: Contract, rows: Rows) -> Any:
    pd = _pandas()
    labels = [column.label for column in contract.signature.columns]
    if rows.matrix is not None:
        return pd.DataFrame(np.ascontiguousarray(rows.matrix), columns=labels, copy=False)
    assert rows.columns is not None
    frame = pd.DataFrame(dict(zip(labels, rows.columns.values(), strict=True)), copy=False)
    # pandas infers text from the values: where all are missing, say so, or the type would depend on the neighbours.
    text = _text_dtype()
    for column in contract.signature.columns:
        if column.kind.name == "string" and not column.depth and frame[column.label].dtype != text:
            frame[column.label] = frame[column.label].astype(text)
    return frame


@functools.cache
def _pandas() -> Any:
    import pandas as pd  # a matrix model does without

    # As in a process without Arrow, so that a model is given the same in every mode.
    pd.set_option("mode.string_storage", "python")
    return pd


@functools.cache
def _text_dtype() -> Any:
    return _pandas().Series(["", None]).dtype


def _unwrap(estimator: Any) -> Any:
    """The best estimator of a search, which is all that its predict() asks."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def _split(estimator: Any) -> tuple[list[Any], Any]:
    """A pipeline's transformers and its last step, so that rows are transformed once for two questions."""
    if type(estimator).__name__ != "Pipeline":
        return [], estimator
    *before, (_, final) = estimator.steps
    return [step for _, step in before if step is not None and step != "passthrough"], final


def _greatest(final: Any, outputs: tuple[Array, ...]) -> Array | None:
    """What predict() would say, from the probabilities; None where only predict() itself can."""
    kind, probabilities = type(final).__name__, outputs[0]
    if len(outputs) > 1 or kind not in TREES | MONOTONE:
        return None
    greatest = probabilities.max(axis=1, keepdims=True)
    if kind in MONOTONE and not ((probabilities == greatest).sum(axis=1) == 1).all():  # a tie, or NaN
        return None
    return np.asarray(final.classes_.take(probabilities.argmax(axis=1), axis=0))


def _settle_threads(estimator: Any) -> None:
    for part in walk(estimator):
        if "n_jobs" in getattr(part, "__dict__", {}):
            part.n_jobs = 1


def _forget_names(estimator: Any) -> None:
    """Without names a matrix is taken without a warning for each prediction."""
    for part in walk(estimator):
        getattr(part, "__dict__", {}).pop("feature_names_in_", None)


def _labels(final: Any) -> tuple[tuple[str, ...], ...]:
    if not (hasattr(final, "predict_proba") and hasattr(final, "classes_")):
        return ()
    classes = final.classes_
    outputs = classes if isinstance(classes, list) else [classes]
    if len(outputs) > 1 and type(final).__name__ in ONE_ARRAY:
        return (tuple(map(str, range(len(outputs)))),)
    return tuple(tuple(map(label, output)) for output in outputs)


def _checked(predictions: Any, count: int) -> Array:
    array = np.asarray(predictions)
    if array.shape[:1] != (count,):
        raise ArtifactError(f"The model gave {len(array)} predictions for {count} rows; a step of it drops rows.")
    return array[:, 0] if array.shape[1:] == (1,) else array  # one output is a value, not a list of one
