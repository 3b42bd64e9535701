"""Tables in CSV, as spreadsheets write them: each row comes back with an answer, or with the reason why it has none."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifold import metrics
from trifold.answers import Answers
from trifold.contract.contract import Contract
from trifold.contract.signature import Column
from trifold.errors import BodyRefused, Reject, RowsRefused
from trifold.model import Model, label
from trifold.online.refusals import Refused, count
from trifold.rows import Rows

DELIMITERS = ",;\t"
TABLE = "a table in CSV with a line of column names and a row or more"
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
COMMA_NUMBER = re.compile(r"[+-]?\d{1,400},\d+", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)
MOST_CELLS = 5_000_000
REFUSED = "refused"
MARK = "\ufeff"
"""By which spreadsheets know UTF-8."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        delimiter: Between its cells.
        header: Names of its columns.
        rows: Each as long as the header.
        long: Positions of rows that had more cells.
    """

    delimiter: str
    header: list[str]
    rows: list[list[str]]
    long: frozenset[int]


def answered(model: Model, body: bytes, most_rows: int) -> bytes:
    """The table with more columns: prediction, probabilities, whether the model is sure, why a row was refused.

    Args:
        model: What predicts.
        body: The table, in UTF-8, UTF-16 or Windows-1252.
        most_rows: Most rows.

    Raises:
        BodyRefused: It is no table, or lacks a column that the model requires.
        Refused: It has too many rows.
    """
    table = parsed(body, most_rows)
    found = _found(model.contract, table.header)
    checked = model.contract.check_rows(_values(model.contract, found, table), extra="ignore")
    reasons: dict[int, list[str]] = {row: ["more cells than there are column names"] for row in table.long}
    for reject in checked.rejects:
        reasons.setdefault(int(reject.row or 0), []).append(_reason(reject))
    fit = np.flatnonzero([int(row) not in reasons for row in checked.accepted])
    rows, places = checked.rows.take(fit), checked.accepted[fit]
    answers, refused = _predicted(model, rows)
    for reject in refused:
        reasons[int(places[reject.row or 0])] = [reject.got]
    count([*checked.rejects, *refused])
    taken = [int(place) for place in places if int(place) not in reasons]
    metrics.ROWS.labels("online").inc(len(taken))
    more = dict(zip(taken, _cells(model, answers) if answers else (), strict=True))
    return _written(table, _names(model), more, {row: "; ".join(said) for row, said in reasons.items()})


def parsed(body: bytes, most_rows: int) -> Table:
    """A table as spreadsheets write it: cells between commas, semicolons or tabs; empty lines are left out.

    Raises:
        BodyRefused: It is none.
        Refused: It has too many rows or cells.
    """
    text = _decoded(body)
    delimiter = max(DELIMITERS, key=text.split("\n", 1)[0].count)
    lines: list[list[str]] = []
    try:
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            if any(line):
                lines.append(line)
            # Counted here: ten megabytes of short lines would fill the memory as lists.
            if len(lines) > most_rows + 1 or (lines and len(lines) * len(lines[0]) > MOST_CELLS):
                raise Refused(413, "too_large", f"at most {most_rows} rows and {MOST_CELLS} cells", "more")
    except csv.Error as error:
        raise BodyRefused(TABLE, f"text that is none: {error}") from None
    if len(lines) < 2:
        raise BodyRefused(TABLE, "nothing" if not lines else "no row below the first line")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    width = len(header)
    long = frozenset(number for number, row in enumerate(rows) if any(row[width:]))
    return Table(delimiter, header, [row[:width] + [""] * (width - len(row)) for row in rows], long)


def example(contract: Contract, rows: Iterable[Any]) -> str:
    """A table of rows in JSON, to be filled in or scored as it is."""
    names, file = contract.signature.names, io.StringIO()
    writer = csv.writer(file)
    writer.writerow(names)
    for row in rows:
        values = [row.get(name) for name in names] if isinstance(row, dict) else row if len(names) > 1 else [row]
        writer.writerow(_text(value) for value in values)
    return MARK + file.getvalue()


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    if "\0" in text:
        raise BodyRefused(TABLE, "a file that is no text; save the list as CSV")
    return text


def _found(contract: Contract, header: Sequence[str]) -> list[tuple[Column, int | None]]:
    """Each of the model's columns, with its position in the table by its name or its title."""
    features = contract.profile.features if contract.profile else {}
    places = {name.casefold(): place for place, name in reversed(list(enumerate(header)))}
    places |= {name: place for place, name in reversed(list(enumerate(header)))}
    found, missing = [], []
    for column in contract.signature.columns:
        title = features[column.name].title if column.name in features else None
        names = (column.name, column.name.casefold(), (title or column.name).casefold())
        place = next((places[name] for name in names if name in places), None)
        if place is None and column.required:
            missing.append(column.name)
        found.append((column, place))
    if missing:
        shown = ", ".join(f'"{name}"' for name in missing[:10]) + (" …" if len(missing) > 10 else "")
        raise BodyRefused(f"the columns {shown}", f"columns named {', '.join(header)}")
    return found


def _values(contract: Contract, found: Sequence[tuple[Column, int | None]], table: Table) -> list[Any]:
    """The rows as JSON has them; text that a column's type cannot be read from stays text, and is refused as such."""
    signature = contract.signature
    nothing = [None] * len(table.rows)
    columns = []
    for column, place in found:
        read = _reader(column, comma=table.delimiter != ",")
        texts = [row[place].strip() for row in table.rows] if place is not None else nothing
        columns.append([read(text) if text else None for text in texts])
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True)
    if signature.named:
        return [dict(zip(signature.names, row, strict=True)) for row in rows]
    return [row[0] if len(row) == 1 else list(row) for row in rows]


def _reader(column: Column, *, comma: bool) -> Callable[[str], Any]:
    kind = column.kind.name
    if column.depth:
        return _json
    if kind == "boolean":
        return lambda text: BOOLEANS.get(text.casefold(), text)
    if kind in ("integer", "long"):
        return lambda text: int(text) if WHOLE.fullmatch(text) else _number(text, comma=comma)
    if kind in ("float", "double"):
        return lambda text: _number(text, comma=comma)
    return str


def _number(text: str, *, comma: bool) -> float | str:
    if NUMBER.fullmatch(text):
        return float(text)
    return float(text.replace(",", ".")) if comma and COMMA_NUMBER.fullmatch(text) else text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reason(reject: Reject) -> str:
    where = f"{reject.column}: " if reject.column else ""
    return f"{where}expected {reject.expected}, got {reject.got}"


def _predicted(model: Model, rows: Rows) -> tuple[Answers | None, Sequence[Reject]]:
    """Answers to the rows that the model takes, and why it refuses the others."""
    if not len(rows):
        return None, ()
    try:
        return model.predict(rows), ()
    except RowsRefused as refused:
        bad = {reject.row for reject in refused.rejects}
        rest = rows.take(np.array([row for row in range(len(rows)) if row not in bad], dtype=int))
        return (model.predict(rest) if len(rest) else None), refused.rejects


def _names(model: Model) -> list[str]:
    """Names of the columns that are added, but for the last."""
    outputs = model.contract.signature.outputs
    several = [f" {name}" for name in outputs] if len(outputs) > 1 else [""]
    names = [f"prediction{name}" for name in several]
    for output, labels in zip(several, model.labels, strict=False):
        names += [f"probability{output} {label}" for label in labels]
    return [*names, *(["sure"] if _threshold(model) is not None else [])]


def _cells(model: Model, answers: Answers) -> Iterator[list[str]]:
    """The added cells of each row."""
    predictions = answers.predictions.reshape(len(answers.predictions), -1)
    probabilities = list(answers.probabilities or ())
    threshold = _threshold(model)
    for row, values in enumerate(predictions.tolist()):
        cells = [_text(value) for value in values]
        for output in probabilities:
            cells += [_text(value) for value in output[row].tolist()]
        if threshold is not None:
            certainty = probabilities[0][row][model.labels[0].index(label(values[0]))]
            cells.append("yes" if certainty >= threshold else "no")
        yield cells


def _threshold(model: Model) -> float | None:
    """Below which a classifier of one output is not sure."""
    profile = model.contract.profile
    return profile.threshold if profile and len(model.labels) == 1 else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _written(table: Table, names: list[str], more: Mapping[int, list[str]], reasons: Mapping[int, str]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=table.delimiter)
    writer.writerow([*table.header, *names, REFUSED])
    nothing = [""] * len(names)
    for number, row in enumerate(table.rows):
        writer.writerow([*row, *more.get(number, nothing), reasons.get(number, "")])
    return (MARK + file.getvalue()).encode()
