"""Rows for MLflow's pyfunc, and how its answers to them compare with the server's: without a process or a file."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trifold.contract.contract import Contract
from trifold.contract.dtypes import NAN, NAT, NONE, OBJECT
from trifold.contract.signature import Column

PYFUNC, SERVER = "MLflow's pyfunc", "Trifold"
TOLERANCE = 1e-9
"""Relative: pyfunc is asked for all rows at once, the server in blocks, so that sums are rounded otherwise."""
SINGLE = 1e-5
"""The same where the model computes in single precision, which has 24 bits."""
SMALL = 1e-3
"""Numbers below this part of an output's greatest are what is left of greater ones: their error is that of these."""
MARKERS = {"boolean": NONE, "binary": NONE, "datetime": NAT}
"""What stands for a missing value in columns of which no more is known than MLflow's type; else NaN."""
Values = Sequence[Sequence[Any]]
"""What is said of a row: the values of each output, predictions first."""


@dataclass(frozen=True)
class Pair:
    """What both sides say of a row.

    Attributes:
        row: As JSON has it.
        ours: The server's answer; None: it refuses.
        theirs: MLflow's; None: it refuses, or has no finite number.
        why: What was said by who refuses.
        left_out: Why they are not compared; empty if they are.
    """

    row: Any
    ours: Values | None
    theirs: Values | None
    why: str = ""
    left_out: str = ""


@dataclass
class Judgement:
    """How the answers compare.

    Attributes:
        rows: Rows that both answered, and that were compared.
        close: Of these, rows whose numbers are not the same to the last bit.
        rough: Of these, rows that differ by more than TOLERANCE and no more than SINGLE.
        wrong: Of these, rows whose label differs, or a number by more than SINGLE.
        worst: The greatest relative difference of the rough ones.
        first: The first row that is wrong, or else rough: what was expected, and what came.
        refused: Rows that only one side refuses, by side.
        why: What was said to the first of them, by side.
        left_out: Rows that were not compared, by reason.
    """

    rows: int = 0
    close: int = 0
    rough: int = 0
    wrong: int = 0
    worst: float = 0.0
    first: str = ""
    refused: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def judge(pairs: Sequence[Pair]) -> Judgement:
    """Compare row by row; a number's difference is relative to it, or to a small part of its output's greatest."""
    found, left_out = Judgement(), Counter[str]()
    compared = [pair for pair in pairs if not pair.left_out and pair.ours is not None and pair.theirs is not None]
    floors = _find_floors([pair.theirs for pair in compared if pair.theirs is not None])
    for pair in pairs:
        if pair.left_out:
            left_out[pair.left_out] += 1
        elif pair.ours is None and pair.theirs is None:
            left_out["refused by both"] += 1
        elif pair.ours is None or pair.theirs is None:
            side = SERVER if pair.ours is None else PYFUNC
            found.refused[side] = found.refused.get(side, 0) + 1
            found.why.setdefault(side, pair.why)
        else:
            _compare(found, pair, floors)
    found.left_out = dict(left_out)
    return found


def write_body(contract: Contract, rows: Sequence[Any]) -> dict[str, Any]:
    """A request of MLflow's with these rows: missing values as they stood at training, times without a zone.

    Args:
        contract: The columns as far as they are known.
        rows: As `Contract.to_rows` gives them.
    """
    signature = contract.signature
    if signature.tensor is not None:
        return {"inputs": list(rows)}
    data = [
        [_write(column, value) for column, value in zip(signature.columns, _values(contract, row), strict=True)]
        for row in rows
    ]
    names = {"columns": [column.label for column in signature.columns]} if signature.named else {}
    return {"dataframe_split": {**names, "data": data}}


def find_gaps(contract: Contract, row: Any) -> list[tuple[str | int, str]]:
    """The columns in which a row has no value, each with the marker of training."""
    pairs = zip(contract.signature.columns, _values(contract, row), strict=True)
    return [(column.label, name_marker(column)) for column, value in pairs if value is None]


def name_marker(column: Column) -> str:
    """What stands for a missing value in a column, as far as is known."""
    known = column.dtype.missing if column.dtype else None
    return known or MARKERS.get(column.kind.name, NAN)


def find_lost_times(contract: Contract) -> str:
    """Why no row can be compared: a column of times that no request of MLflow's carries; empty if there is none."""
    for column in contract.signature.columns:
        dtype = column.dtype
        if column.kind.name != "datetime" or dtype is None:
            continue
        if dtype.zone:
            return f"{column.name} has the zone {dtype.zone}, and MLflow's times have none"
        if dtype.name == OBJECT:
            return f"{column.name} holds objects ({dtype.items}), and MLflow makes datetime64 of them"
        if contract.profile and dtype.unit != "ns":
            return f"{column.name} is in {dtype.unit}, and MLflow makes ns of it"
    return ""


def is_single(contract: Contract) -> bool:
    """Whether the input holds numbers of single precision."""
    tensor = contract.signature.tensor
    if tensor is not None:
        return tensor.dtype.kind == "f" and tensor.dtype.itemsize < 8
    return any(
        column.kind.numpy.kind == "f" and column.kind.numpy.itemsize < 8 for column in contract.signature.columns
    )


def _compare(found: Judgement, pair: Pair, floors: Mapping[int, float]) -> None:
    assert pair.ours is not None
    assert pair.theirs is not None
    found.rows += 1
    found.close += repr(pair.ours) != repr(pair.theirs)
    differences = list(_differences(pair.ours, pair.theirs, floors))
    difference = max(differences)
    if difference <= TOLERANCE:
        return
    if not found.first or (difference > SINGLE and not found.wrong):
        output = differences.index(difference)
        expected, came = _short(pair.theirs[output]), _short(pair.ours[output])
        found.first = f"{_short(pair.row, 200)}: expected {expected}, came {came}"
    if difference > SINGLE:
        found.wrong += 1
    else:
        found.rough += 1
        found.worst = max(found.worst, difference)


def _differences(ours: Values, theirs: Values, floors: Mapping[int, float]) -> Iterator[float]:
    """Of each output: 0 for the same, infinity for another label or number of values, else relative."""
    if len(ours) != len(theirs):
        yield math.inf
        return
    for output, (came, expected) in enumerate(zip(ours, theirs, strict=True)):
        same_length = len(came) == len(expected)
        pairs = zip(came, expected, strict=True) if same_length else ()
        yield max((_difference(*pair, floors[output]) for pair in pairs), default=0.0 if same_length else math.inf)


def _difference(came: Any, expected: Any, floor: float) -> float:
    if came == expected and isinstance(came, bool) == isinstance(expected, bool):
        return 0.0
    if type(came) is float and type(expected) is float:
        return abs(came - expected) / max(abs(expected), floor)
    return math.inf


def _find_floors(answers: Sequence[Values]) -> dict[int, float]:
    """By output, the size below which numbers are not looked at by themselves."""
    floors: dict[int, float] = {}
    for values in answers:
        for output, row in enumerate(values):
            sizes = [abs(value) * SMALL for value in row if type(value) is float]
            floors[output] = max([floors.get(output, 0.0), *sizes])
    return floors


def _values(contract: Contract, row: Any) -> list[Any]:
    """A row's values by column."""
    columns = contract.signature.columns
    if isinstance(row, dict):
        return [row.get(column.name) for column in columns]
    if contract.signature.tensor is not None:
        return []
    return row if len(columns) > 1 else [row]


def _write(column: Column, value: Any) -> Any:
    if value is None:
        return float("nan") if name_marker(column) == NAN else None
    if isinstance(value, list):
        return [_write(column, item) for item in value]
    return value.removesuffix("Z") if column.kind.name == "datetime" else value


def _short(value: Any, most: int = 100) -> str:
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[: most - 1]}…"
