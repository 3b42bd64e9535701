"""Find out what a plainly logged model's columns were at training, by what it learnt and by asking it.

MLflow's signature keeps neither a time's unit and zone nor the marker of a missing value. Where scikit-learn's own
encoders and imputers learnt a marker, it is that one. Else every candidate is tried: if the model answers all alike,
none of it matters; if it takes only one, it is that one; if answers differ, nobody knows, and nobody guesses.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trifold.answers import Answers, agrees, same_bits
from trifold.contract.contract import Contract
from trifold.contract.dtypes import CATEGORY, NA, NAN, NONE, OBJECT, UNTOLD, Dtype
from trifold.contract.readers import make_time, time_reader, write_time
from trifold.contract.signature import Column
from trifold.errors import RowsRefused, TrifoldError
from trifold.fitted import find_markers, has_own_code
from trifold.frames import default_unit
from trifold.model import FRAME, TEXT, Model, choose_form
from trifold.parity import generate

ROWS = 64
UNITS = ("ns", "us", "ms", "s")
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe")
ZONED, DATE, IS_NAN, IS_NULL = "zoned", "date", "NaN", "null"
"""What the input example shows of a column: times with an offset, dates, how MLflow wrote a missing value."""
NULLABLE = {"integer": "Int32", "long": "Int64", "float": "Float32", "double": "Float64", "boolean": "boolean"}
REQUIRED = {
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "boolean": "bool",
    "string": "str",
}
OBJECTS = ("boolean", "string")
"""Types whose columns hold Python's objects, where values may be missing."""
FRACTION = re.compile(r"\.\d+")
ALTERNATIVES = {
    "integer": ("int8", "uint8", "int16", "uint16", "Int32"), "long": ("uint32", "Int64"), "double": ("Float64",),
    "float": ("float16", "Float32"), "string": (OBJECT, "string"), "boolean": ("boolean",),
}  # fmt: skip
"""Other dtypes of which MLflow's signature says the same."""
SECONDS_A_YEAR = 31_557_600
LAST_BITS = 1e-12
"""Relative: by how much answers differ that are those of the same numbers."""

Rows = list[dict[str, Any]]
Dtypes = dict[str, Dtype]
Found = dict[int, Answers]
"""The answers by row."""


@dataclass(frozen=True)
class Doubt:
    """What could not be found out of a column.

    Attributes:
        column: Its name.
        what: "unit", "zone", "missing" or "dtype".
        matters: Whether the model's answers depend on it, as far as was tried.
    """

    column: str
    what: str
    matters: bool


def settle(
    estimator: Any, contract: Contract, example: Sequence[Any], hints: Mapping[str, str]
) -> tuple[Contract, list[Doubt]]:
    """The contract with what was found out, and what was not.

    Args:
        estimator: As it was loaded.
        contract: By signature and profile.
        example: Rows as `Contract.to_rows` gives them.
        hints: What the artifact's example shows, by column.
    """
    own = has_own_code(estimator)
    known = {
        name: replace(dtype, closed=own) if dtype.name == CATEGORY else dtype for name, dtype in contract.dtypes.items()
    }
    signature = contract.signature
    if not signature.named:
        return contract, []
    asked = _Asked(estimator, _with(contract, known), list(example))
    untold = [column for column in signature.columns if column.name not in known]
    unknown = [column for column in untold if not column.depth]
    doubts = asked.settle_times([column for column in unknown if column.kind.name == "datetime"], hints)
    optional = [column for column in unknown if not column.required and column.kind.name not in ("datetime", "binary")]
    doubts += asked.settle_missing(optional, hints)
    compared = asked.compare_dtypes([column for column in untold if column.depth or column.kind.name in ALTERNATIVES])
    return asked.contract, doubts + [doubt for doubt in compared if own or doubt.matters]


class _Asked:
    """An estimator that is asked by example rows; `contract` grows by what is found out."""

    def __init__(self, estimator: Any, contract: Contract, example: Rows) -> None:
        self.contract = contract
        self._estimator = estimator
        self._random = np.random.default_rng(0)
        self._rows = list(_vary(contract, example)) if example else []
        self._example = self._rows[: len(example)]

    def settle_times(self, columns: Sequence[Column], hints: Mapping[str, str]) -> list[Doubt]:
        """Units and zones."""
        for column in columns:  # something to begin with, so that the others can be asked
            self._take({column.name: _time(hints.get(column.name), default_unit(), "UTC")})
        return [doubt for column in columns for doubt in self._settle_time(column.name, hints.get(column.name))]

    def settle_missing(self, columns: Sequence[Column], hints: Mapping[str, str]) -> list[Doubt]:
        """Markers of missing values."""
        learnt = find_markers(self._estimator, {column.name: column.kind.name in OBJECTS for column in columns})
        open_ones = []
        for column in columns:
            markers = learnt[column.name]
            if len(markers) == 1 or (not markers and hints.get(column.name) == IS_NAN):
                self._take(_marked([column], markers.pop() if markers else NAN))
            else:
                open_ones.append((column, len(markers) > 1))
        doubts = [self._refuse_missing(column.name) for column, several in open_ones if several]
        for kind in sorted({column.kind.name for column, several in open_ones if not several}):
            alike = [column for column, several in open_ones if not several and column.kind.name == kind]
            if self._is_settled(alike):
                continue
            for column in alike if len(alike) > 1 else ():
                if not self._is_settled([column]):
                    doubts.append(self._refuse_missing(column.name))
            if len(alike) == 1:
                doubts.append(self._refuse_missing(alike[0].name))
        return doubts

    def compare_dtypes(self, columns: Sequence[Column]) -> list[Doubt]:
        """Columns whose width or kind of text the model might tell; each comes as the signature says."""
        shown = [column for column in columns if self._rows and all(row[column.name] is not None for row in self._rows)]
        now = self._ask({}, self._rows) if shown else None
        telling = [
            column.name
            for kind in sorted({_alike(column) for column in shown} if now else ())
            for column in self._find_telling([column for column in shown if _alike(column) == kind], now)
        ]
        return [Doubt(column.name, "dtype", column.name in telling) for column in columns]

    def _find_telling(self, columns: Sequence[Column], now: Found | None) -> Sequence[Column]:
        """Those of columns of one type on whose dtype answers depend: by halves, since mostly none does."""
        others = (OBJECT,) if columns[0].depth else ALTERNATIVES[columns[0].kind.name]
        if not any(self._tells(columns, other, now) for other in others):
            return []
        half = len(columns) // 2
        parts = (columns[:half], columns[half:]) if half else ()
        return [column for part in parts for column in self._find_telling(part, now)] or columns

    def _tells(self, columns: Sequence[Column], other: str, now: Found | None) -> bool:
        """Whether answers are others than now where the columns whose example it holds have the other dtype."""
        names = [column.name for column in columns if all(_holds(other, row[column.name]) for row in self._example)]
        known, items = self.contract.dtypes, "list" if columns[0].depth else None
        dtypes = {name: Dtype(other, known[name].missing if name in known else None, items) for name in names}
        rows = [row | {name: _cut(other, row[name]) for name in names} for row in self._rows]
        if not names:
            return False
        one = now if rows == self._rows else self._ask({}, rows)  # others only where values were rounded
        another = self._ask(dtypes, rows)
        return one is not None and another is not None and not _agree(one, another, _nearly)

    def _settle_time(self, name: str, hint: str | None) -> list[Doubt]:
        if hint == DATE:
            return []
        rows, unit = self._with_times(name), default_unit()
        units = self._matters([{name: _time(hint, other, "UTC")} for other in (unit, *UNITS)], rows)
        doubts = [Doubt(name, "unit", units)]
        if hint == ZONED:
            zones = self._matters([{name: _time(hint, unit, zone)} for zone in ZONES], rows)
            doubts.append(Doubt(name, "zone", zones))
        return doubts

    def _is_settled(self, columns: Sequence[Column]) -> bool:
        """Whether one marker was found that is right for all of the columns, and taken."""
        rows = self._with_gaps([column.name for column in columns])
        answers = [(marker, self._ask(_marked(columns, marker), rows)) for marker in (NAN, NONE, NA)]
        taken = [(marker, answer) for marker, answer in answers if answer is not None]
        taken.sort(key=lambda entry: -len(entry[1]))  # the one that the model refuses least, NaN before others
        if taken and not all(_agree(taken[0][1], answer) for _, answer in taken):
            return False
        self._take(_marked(columns, taken[0][0]) if taken else {})
        return True

    def _refuse_missing(self, name: str) -> Doubt:
        self._take({name: Dtype(REQUIRED[self._kind(name)], UNTOLD)})
        return Doubt(name, "missing", True)

    def _kind(self, name: str) -> str:
        return next(column.kind.name for column in self.contract.signature.columns if column.name == name)

    def _take(self, dtypes: Mapping[str, Dtype]) -> None:
        self.contract = _with(self.contract, dtypes)

    def _matters(self, candidates: Sequence[Dtypes], rows: Rows) -> bool:
        answers = [self._ask(dtypes, rows) for dtypes in candidates]
        taken = [answer for answer in answers if answer is not None]
        return len(taken) < len(answers) or not all(_agree(taken[0], answer) for answer in taken)

    def _ask(self, dtypes: Mapping[str, Dtype], rows: Rows) -> Found | None:
        """The answers by row, with columns as in `dtypes`; None if the model takes no row so."""
        contract = _with(self.contract, dtypes)
        try:
            checked = contract.check_rows(rows)
            form = TEXT if choose_form(self._estimator, contract) == TEXT else FRAME
            model = Model(self._estimator, contract, form=form).with_scores()
            places = checked.accepted
            try:
                answers = model.predict(checked.rows)
            except RowsRefused as error:
                fine = np.delete(np.arange(len(places)), [reject.row or 0 for reject in error.rejects])
                answers, places = model.predict(checked.rows.take(fine)), places[fine]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, TrifoldError):
            return None  # a marker that the model's code cannot compare, a time that it cannot turn into a number
        found = {int(place): answers.take(slice(number, number + 1)) for number, place in enumerate(places)}
        return found or None

    def _with_gaps(self, names: Sequence[str]) -> Rows:
        """Rows in half of which the columns' values are missing, each by itself."""
        gaps = self._random.random((len(self._rows), len(names))) < 0.5
        return [
            row | {name: None for name, gap in zip(names, gaps[number], strict=True) if gap}
            for number, row in enumerate(self._rows)
        ]

    def _with_times(self, name: str) -> Rows:
        """Rows with times around the example's, of any month and hour."""
        rows = []
        for row in self._rows:
            moved = int(self._random.integers(-SECONDS_A_YEAR, SECONDS_A_YEAR))
            value = row[name]
            if value is not None:
                whole = time_reader("s")(FRACTION.sub("", value)).astype("int64")
                value = write_time(make_time(int(whole) + moved, "s"))
            rows.append(row | {name: value})
        return rows


def _vary(contract: Contract, example: Rows) -> Iterator[dict[str, Any]]:
    """The example's rows and others like them, without gaps where the example has any value of a column."""
    given = contract.check_rows(example).rows
    rows = [*example, *contract.to_rows(generate(contract, given, ROWS))] if len(given) else example
    known = {name: value for row in reversed(example) for name, value in row.items() if value is not None}
    for row in rows:
        yield {name: known.get(name) if row.get(name) is None else row[name] for name in contract.signature.names}


def _with(contract: Contract, dtypes: Mapping[str, Dtype]) -> Contract:
    return Contract.read(contract.document, contract.profile, {**contract.dtypes, **dtypes})


def _time(hint: str | None, unit: str, zone: str) -> Dtype:
    if hint == DATE:
        return Dtype(OBJECT, NONE, items="date")
    return Dtype(f"datetime64[{unit}, {zone}]" if hint == ZONED else f"datetime64[{unit}]", "NaT")


def _marked(columns: Sequence[Column], marker: str) -> Dtypes:
    """The columns with this marker of a missing value; without an entry where that is pandas' own way."""
    found = {}
    for column in columns:
        kind = column.kind.name
        if marker == NAN:
            if kind == "boolean":
                found[column.name] = Dtype(OBJECT, NAN)
        elif marker == NONE:
            found[column.name] = Dtype(OBJECT, NONE)
        else:
            found[column.name] = Dtype("string" if kind == "string" else NULLABLE[kind], NA)
    return found


def _alike(column: Column) -> tuple[str, bool]:
    return column.kind.name, bool(column.depth)


def _holds(dtype: str, value: Any) -> bool:
    """Whether a column of a dtype could have held a value."""
    return bool(_cut(dtype, value) == value) and (
        not dtype.startswith(("int", "uint")) or np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    )


def _cut(dtype: str, value: Any) -> Any:
    """A value as one that a column of a dtype holds, where it is but rounded."""
    with np.errstate(over="ignore"):
        return float(np.float16(value)) if dtype == "float16" else value


def _agree(
    one: Mapping[int, Answers], other: Mapping[int, Answers], same: Callable[[Answers, Answers], bool] = same_bits
) -> bool:
    """Whether two ways give the same, for the rows that both take."""
    return all(same(one[row], other[row]) for row in one.keys() & other.keys())


def _nearly(one: Answers, other: Answers) -> bool:
    """Whether only last bits differ, as by the order of a matrix in memory."""
    return agrees(one, {"predictions": other.predictions, "probabilities": other.probabilities}, LAST_BITS)
