"""Tables in CSV, as spreadsheets write them: each row comes back with an answer, or with the reason why it has none."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trifold import metrics
from trifold.accepted import predict_accepted
from trifold.answers import Answers
from trifold.contract.cells import cell_reader, check_values, count_surplus, find_columns
from trifold.contract.checked import Checked
from trifold.contract.contract import Contract
from trifold.contract.csv import DELIMITERS, TABLE, CsvText
from trifold.errors import Reject, TableRefused
from trifold.model import Model, label
from trifold.online.refusals import Refused, count

MOST_CELLS = 5_000_000
ADVICE = '; save it as "CSV UTF-8", or send its charset, as in Content-Type: text/csv; charset=windows-1252'
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
    """

    delimiter: str
    header: list[str]
    rows: list[list[str]]


def answered(model: Model, body: bytes, most_rows: int, encoding: str = "") -> bytes:
    """The table with more columns: prediction, probabilities, whether the model is sure, why a row was refused.

    Args:
        model: What predicts.
        body: The table.
        most_rows: Most rows.
        encoding: See `checked`.

    Raises:
        TableRefused: It is no table, or lacks a column that the model requires.
        Refused: It has too many rows.
    """
    table, found = checked(model.contract, body, most_rows, encoding)
    answers, fine, refused = predict_accepted(model, found.rows)
    reasons: dict[int, list[str]] = {}
    for reject in found.rejects:
        reasons.setdefault(int(reject.row or 0), []).append(_reason(reject))
    for reject in refused:
        reasons[int(found.accepted[reject.row or 0])] = [reject.got]
    count([*found.rejects, *refused])
    taken = found.accepted[fine].tolist()
    metrics.ROWS.labels("online").inc(len(taken))
    more = dict(zip(taken, _cells(model, answers, comma=table.delimiter == ";"), strict=True)) if taken else {}
    said = {row: "; ".join(words) for row, words in reasons.items()}
    return _written(table, _names(model, answers if taken else None), more, said)


def checked(contract: Contract, body: bytes, most_rows: int, encoding: str = "") -> tuple[Table, Checked]:
    """A table, and what the contract says of its rows.

    Args:
        contract: What the model takes.
        body: The table, by the grammar of docs/csv.md.
        most_rows: Most rows.
        encoding: Of a table without a byte-order mark, a name of ENCODINGS; empty: UTF-8.

    Raises:
        TableRefused: It is no table, or lacks a column that the model requires.
        Refused: It has too many rows or cells.
    """
    text = CsvText(io.BytesIO(body), encoding, ADVICE)
    places, width = find_columns(contract, text.header), len(text.header)
    rows, long = _rows(text, most_rows)
    nothing, columns = [None] * len(rows), []
    for column in contract.signature.columns:
        read, place = cell_reader(column, comma=text.comma), places.get(column.name)
        columns.append(nothing if place is None else [read(row[place]) for row in rows])
    return Table(text.delimiter, text.header, rows), check_values(contract, columns, long, width, comma=text.comma)


def _rows(text: CsvText, most_rows: int) -> tuple[list[list[str]], dict[int, int]]:
    """The rows, each as long as the first line; and how many cells a row has that has more."""
    width, cells = len(text.header), 0
    rows, long = list[list[str]](), dict[int, int]()
    for chunk in text.chunks():
        for record in text.records(chunk):
            cells += max(len(record), width)
            # Counted here: ten megabytes of short lines would fill the memory as lists.
            if len(rows) == most_rows or cells > MOST_CELLS:
                raise Refused(413, "too_large", f"at most {most_rows} rows and {MOST_CELLS} cells", "more")
            surplus = count_surplus(record, width)
            if surplus is not None:
                long[len(rows)] = surplus
            rows.append(record[:width] + [""] * (width - len(record)))
    if not rows:
        raise TableRefused(TABLE, "no row below the first line")
    return rows, long


def example(contract: Contract, rows: Iterable[Any]) -> str:
    """A table of rows in JSON, to be filled in or scored as it is."""
    names, file = contract.signature.names, io.StringIO()
    _write_header(file, names, ",")
    for row in rows:
        values = [row.get(name) for name in names] if isinstance(row, dict) else row if len(names) > 1 else [row]
        cells = [_text(value) for value in values]
        # A row of nothing but commas would be left out at the table's end.
        csv.writer(file, quoting=csv.QUOTE_MINIMAL if any(cells) else csv.QUOTE_ALL).writerow(cells)
    return MARK + file.getvalue()


def _reason(reject: Reject) -> str:
    where = f"{reject.column}: " if reject.column else ""
    return f"{where}expected {reject.expected}, got {reject.got}"


def _names(model: Model, answers: Answers | None) -> list[str]:
    """Names of the columns that are added, but for the last; outputs without names are numbered."""
    outputs: Sequence[Any] = model.contract.signature.outputs
    width = answers.predictions[:1].size if answers else max(len(outputs), len(model.labels))
    if len(outputs) != width:
        outputs = range(width)
    several = [f" {name}" for name in outputs] if width > 1 else [""]
    names = [f"prediction{name}" for name in several]
    for output, labels in zip(several, model.labels, strict=False):
        names += [f"probability{output} {label}" for label in labels]
    return [*names, *(["sure"] if _threshold(model) is not None else [])]


def _cells(model: Model, answers: Answers, *, comma: bool) -> Iterator[list[str]]:
    """The added cells of each row, with decimal commas where the table has them, or a spreadsheet misreads them."""
    predictions = answers.predictions.reshape(len(answers.predictions), -1)
    probabilities = list(answers.probabilities or ())
    threshold = _threshold(model)
    for row, values in enumerate(predictions.tolist()):
        cells = [_text(value, comma=comma) for value in values]
        for output in probabilities:
            cells += [_text(value, comma=comma) for value in output[row].tolist()]
        if threshold is not None:
            certainty = probabilities[0][row][model.labels[0].index(label(values[0]))]
            cells.append("yes" if certainty >= threshold else "no")
        yield cells


def _threshold(model: Model) -> float | None:
    """Below which a classifier of one output is not sure."""
    profile = model.contract.profile
    return profile.threshold if profile and len(model.labels) == 1 else None


def _text(value: Any, *, comma: bool = False) -> str:
    if value is None:
        return ""
    if comma and isinstance(value, float):
        return json.dumps(value).replace(".", ",")
    return value if isinstance(value, str) else json.dumps(value)


def _written(table: Table, names: list[str], more: Mapping[int, list[str]], reasons: Mapping[int, str]) -> bytes:
    file = io.StringIO()
    _write_header(file, [*table.header, *names, REFUSED], table.delimiter)
    writer = csv.writer(file, delimiter=table.delimiter)
    nothing = [""] * len(names)
    for number, row in enumerate(table.rows):
        writer.writerow([*row, *more.get(number, nothing), reasons.get(number, "")])
    return (MARK + file.getvalue()).encode()


def _write_header(file: io.StringIO, names: Sequence[str], delimiter: str) -> None:
    """The first line, in quotation marks where a name has what would be taken for the delimiter."""
    odd = any(mark in name for name in names for mark in DELIMITERS)
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL).writerow(names)
