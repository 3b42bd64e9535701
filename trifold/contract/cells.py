"""CSV from cells to columns: which column a name means, and what a cell's text is in each kind of column.

docs/csv.md has it as a table. Batch reads plain cells faster, by batch/csv_columns.py, and these functions the others.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from trifold.contract import json
from trifold.contract.checked import Checked, NotFinite
from trifold.contract.contract import Contract
from trifold.contract.readers import EXACT_FLOAT
from trifold.contract.signature import Column
from trifold.errors import NotJson, Reject, TableRefused

SPACES = " \t"
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NUMBERS = {
    comma: re.compile(rf"[+-]?(?:\d+(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)
    for comma, point in ((False, r"\."), (True, ","))
}
"""By whether the table has decimal commas."""
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(?:inf|infinity|nan|∞)", re.IGNORECASE)
LONGEST_WHOLE = 400
"""Digits; a longer number is past every type, and Python needs quadratic time to read it."""
WITH_COMMA = " with a decimal comma, as semicolons stand between the cells"
NAMED = 10
"""Columns that a refusal names; of more it says that there are more."""


def find_columns(contract: Contract, header: Sequence[str]) -> dict[str, int]:
    """The places of a model's columns in a table, by name.

    Raises:
        TableRefused: A required one lacks, or it is not clear which one is meant.
    """
    features = contract.profile.features if contract.profile else {}
    titles = {name: features[name].title if name in features else None for name in contract.signature.names}
    found = find_names(header, titles)
    lacking = [column.name for column in contract.signature.columns if column.required and column.name not in found]
    if lacking:
        shown = ", ".join(f'"{name}"' for name in lacking[:NAMED]) + (" …" if len(lacking) > NAMED else "")
        raise TableRefused(f"the columns {shown} in the first line", "one without them")
    return found


def find_names(header: Sequence[str], titles: Mapping[str, str | None]) -> dict[str, int]:
    """The places of names in a first line: as they are; else by name or title, whatever their case and spaces around.

    Args:
        header: The first line.
        titles: By name, another word for it.

    Raises:
        TableRefused: A name stands there twice, or one there means two.
    """
    exact, loose = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for place, cell in enumerate(header):
        exact[cell].append(place)
        loose[_loose(cell)].append(place)
    found = {name: exact[name] for name in titles if name in exact}
    taken = {place for places in found.values() for place in places}
    for name in titles.keys() - found.keys():
        words = {_loose(word) for word in (name, titles[name]) if word is not None}
        found[name] = sorted({place for word in words for place in loose.get(word, ())} - taken)
    _require_clear({name: found[name] for name in titles if found[name]})
    return {name: found[name][0] for name in titles if found[name]}


def to_rows(contract: Contract, columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Values by column as rows that the contract checks; at least one column."""
    signature, rows = contract.signature, zip(*columns, strict=True)
    if signature.named:
        return [dict(zip(signature.names, row, strict=True)) for row in rows]
    return [row[0] if len(row) == 1 else list(row) for row in rows]


def check_values(
    contract: Contract, columns: Sequence[Sequence[Any]], long: Mapping[int, int], width: int, *, comma: bool
) -> Checked:
    """Check a table's values.

    Args:
        contract: What the model takes.
        columns: What `cell_reader` gave, for each of the contract's columns in order.
        long: How many cells a row has, by the positions of those that have more than the first line.
        width: How many the first line has.
        comma: Whether the table has decimal commas.
    """
    checked = contract.check_rows(to_rows(contract, columns), extra="ignore")
    if not (checked.rejects or long):
        return checked
    numbers = {column.name for column in contract.signature.columns if _is_number(column)}
    rejects = [
        replace(reject, expected=reject.expected + WITH_COMMA)
        if comma and reject.rule == "type" and reject.column in numbers
        else reject
        for reject in checked.rejects
        if reject.row not in long
    ]
    cells = f"at most {width} cells, one for each name in the first line"
    rejects += [Reject(row, None, "row", cells, f"{count} cells") for row, count in long.items()]
    fit = np.flatnonzero([row not in long for row in checked.accepted.tolist()])
    rejects.sort(key=lambda reject: reject.row or 0)
    return Checked(checked.rows.take(fit), checked.accepted[fit], tuple(rejects))


def count_surplus(record: Sequence[str], width: int) -> int | None:
    """How many cells a record has, if it has more than the first line; empty ones at its end do not count."""
    count = len(record)
    while count > width and not record[count - 1]:
        count -= 1
    return count if count > width else None


def cell_reader(column: Column, *, comma: bool) -> Callable[[str], Any]:
    """How a cell of a column is read.

    Returns:
        A function from text to the value that JSON would have carried, None where it is missing. Text that is nothing
        of the column's kind is given as it is, or as a number that is out of range, for the contract to refuse.
    """
    kind = column.kind.name
    if column.depth:
        return _read_list
    if kind == "string":
        return lambda text: text or None
    if kind == "boolean":
        return _read_boolean
    if kind in ("integer", "long"):
        return lambda text: _read_whole(text, comma)
    if kind in ("float", "double"):
        return lambda text: _read_number(text, comma)
    return lambda text: text.strip(SPACES) or None


def _read_boolean(text: str) -> bool | str | None:
    stripped = text.strip(SPACES)
    return BOOLEANS.get(stripped.lower(), text) if stripped else None


def _read_number(text: str, comma: bool) -> float | str | None:
    stripped = text.strip(SPACES)
    if not NUMBERS[comma].fullmatch(stripped):
        return _refused(stripped, text)
    number = float(stripped.replace(",", "."))
    return number if math.isfinite(number) else _as_written(number, stripped)


def _read_whole(text: str, comma: bool) -> float | str | None:
    """An exact whole number, however it is written below 2**53, and by its digits alone from there on."""
    stripped = text.strip(SPACES)
    if WHOLE.fullmatch(stripped):
        return int(stripped) if len(stripped) < LONGEST_WHOLE else _as_written(math.inf, stripped)
    if not NUMBERS[comma].fullmatch(stripped):
        return _refused(stripped, text)
    plain = stripped.replace(",", ".")
    number = float(plain)
    if abs(number) >= EXACT_FLOAT:
        return _as_written(math.copysign(max(abs(number), EXACT_FLOAT + 2), number), stripped)
    try:
        exact = Decimal(plain)
    except InvalidOperation:  # an exponent of twenty digits
        return text
    return int(exact) if exact == exact.to_integral_value() else text


def _refused(stripped: str, text: str) -> str | NotFinite | None:
    """What is no number: nothing, infinity, or any other text."""
    if not stripped:
        return None
    return _as_written(math.nan, stripped) if NOT_FINITE.fullmatch(stripped) else text


def _as_written(number: float, text: str) -> NotFinite:
    """A number that the contract refuses, and shows as it was written."""
    refused = NotFinite(number)
    refused.token = text
    return refused


def _read_list(text: str) -> Any:
    if not text.strip(SPACES):
        return None
    try:
        return json.read(text.encode(), "cell")
    except NotJson:
        return text


def _is_number(column: Column) -> bool:
    return not column.depth and column.kind.name in ("integer", "long", "float", "double")


def _require_clear(found: Mapping[str, Sequence[int]]) -> None:
    """Make sure that a name has one place, and a place one name."""
    owners: dict[int, str] = {}
    for name, places in found.items():
        if len(places) > 1:
            raise TableRefused(f'one column that means "{name}"', f"{len(places)} of them")
        if places[0] in owners:
            raise TableRefused("columns by their exact names", f'one that means "{owners[places[0]]}" and "{name}"')
        owners[places[0]] = name


def _loose(name: str) -> str:
    return name.strip(SPACES).casefold()
