"""The input example of an artifact: each form that MLflow writes, or wrote, as rows of JSON.

Source of the forms: mlflow.models.utils._Example, and its parse_tf_serving_input for those before MLflow 2.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trifold.contract.contract import Contract
from trifold.contract.signature import Column, Signature
from trifold.errors import ArtifactError, Reject
from trifold.rows import Rows

FRAME, ARRAY, OBJECT = "dataframe", "ndarray", "json_object"
SPARSE = ("sparse_matrix_csr", "sparse_matrix_csc")
WORDS = {
    FRAME: "a DataFrame",
    ARRAY: "an array",
    OBJECT: "an object of JSON",
    **dict.fromkeys(SPARSE, "a sparse matrix"),
}
WRAPPED = ("inputs", "instances", "dataframe_split", "dataframe_records")
"""Names under which a serving example, or one of an older MLflow, has its data."""
LARGEST = 10_000_000
"""Numbers of a sparse example that are written out."""


@dataclass(frozen=True)
class Example:
    """An input example as it was logged.

    Attributes:
        kind: MLflow's type of it.
        data: Its decoded JSON, without parameters.
        has_params: Whether parameters were logged with it.
    """

    kind: str
    data: Any
    has_params: bool = False

    @property
    def words(self) -> str:
        """What was logged."""
        return WORDS.get(self.kind, self.kind)


@dataclass(frozen=True)
class Fitting:
    """The rows of an example that fit a contract.

    Attributes:
        rows: Those that do.
        kept: Their positions.
        count: How many the example has.
        rejects: Why others do not.
    """

    rows: Rows
    kept: tuple[int, ...]
    count: int
    rejects: tuple[Reject, ...]


def read(folder: Path, info: Mapping[str, Any] | None) -> Example | None:
    """Read the example that an MLmodel file names in `saved_input_example_info`; None without one.

    Raises:
        ArtifactError: It cannot be read.
    """
    if not info:
        return None
    names = [str(info[key]) for key in ("artifact_path", "serving_input_path") if info.get(key)]
    files = [path for name in names if (path := (folder / name).resolve()).is_relative_to(folder.resolve())]
    file = next((path for path in files if path.is_file()), None)
    if file is None:
        raise ArtifactError(f"The MLmodel file names {' and '.join(names)}, which the artifact lacks; log it again.")
    try:
        document = json.loads(file.read_text())
    except ValueError:
        raise ArtifactError(f"The input example, {file.name}, is not JSON; log the model again.") from None
    has_params = bool(info.get("params"))
    kind = str(info.get("type") or _guess(document))
    return Example(kind, _unwrap(document, kind, always=has_params or file.name != names[0]), has_params)


def fit(example: Example, contract: Contract) -> Fitting:
    """The example's rows that a contract accepts.

    Raises:
        ArtifactError: It has none, or is of a form that the signature does not have.
    """
    rows = to_rows(example, contract.signature)
    checked = contract.check_rows(rows, extra="ignore")
    if not len(checked.accepted):
        reject = checked.rejects[0] if checked.rejects else None
        raise ArtifactError(f"No row of the input example fits the signature: {_why(reject)}.")
    kept = tuple(int(row) for row in checked.accepted)
    return Fitting(checked.rows, kept, len(rows), tuple(checked.rejects))


def to_rows(example: Example, signature: Signature) -> list[Any]:
    """The example as rows that could be posted: objects by column, or lists.

    Raises:
        ArtifactError: It is of a form that the signature does not have.
    """
    try:
        rows = list(_rows(example, signature))
        return [_named(signature, row) for row in rows] if signature.tensor is None else rows
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"The input example is not written as {example.words} is ({error!r}).") from error


def _guess(document: Any) -> str:
    if isinstance(document, dict):
        return FRAME if "data" in document and document.keys() <= {"columns", "data", "index"} else OBJECT
    return ARRAY


def _unwrap(document: Any, kind: str, *, always: bool) -> Any:
    """The data of a document that has more beside it, or stands under a name."""
    if isinstance(document, dict) and (always or (kind != OBJECT and document.keys() <= {*WRAPPED, "params"})):
        return next((document[name] for name in WRAPPED if name in document), document)
    return document


def _rows(example: Example, signature: Signature) -> list[Any]:
    data = example.data
    if example.kind in SPARSE:
        return _dense(data, by_rows=example.kind == SPARSE[0])
    if example.kind == FRAME and isinstance(data, dict):
        names = data.get("columns")
        return data["data"] if names is None else [dict(zip(map(str, names), row, strict=True)) for row in data["data"]]
    if isinstance(data, dict):
        return _rows_of_columns(data, signature)
    return data if isinstance(data, list) else [data]


def _rows_of_columns(data: Mapping[str, Any], signature: Signature) -> list[Any]:
    """An object by column: one row, or a list of values for each column of values."""
    depths = {column.name: column.depth for column in signature.columns}
    lists = [isinstance(value, list) and not depths.get(name, 0) for name, value in data.items()]
    if not lists or not all(lists):
        return [dict(data)]
    return [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]


def _dense(data: Mapping[str, Any], *, by_rows: bool) -> list[Any]:
    """The rows of a sparse matrix, by its compressed rows or columns."""
    height, width = map(int, data["shape"])
    if height * width > LARGEST:
        raise ArtifactError(f"The input example has {height:,} x {width:,} numbers; log fewer rows of it, as X[:2].")
    rows: list[list[Any]] = [[0] * width for _ in range(height)]
    for one, (start, end) in enumerate(zip(data["indptr"], data["indptr"][1:], strict=False)):
        for other, value in zip(data["indices"][start:end], data["data"][start:end], strict=True):
            row, column = (one, other) if by_rows else (other, one)
            rows[row][column] = value
    return rows


def _named(signature: Signature, row: Any) -> Any:
    """A row of a model with columns, its values as JSON has them."""
    columns = signature.columns
    if isinstance(row, dict):
        row = {str(name): value for name, value in row.items()}
        if not signature.named:
            return [_value(columns[place], value) for place, value in enumerate(row.values())]
        known = {column.name: column for column in columns}
        return {name: _value(known[name], value) if name in known else value for name, value in row.items()}
    values = row if isinstance(row, list) and (len(columns) > 1 or not columns[0].depth) else [row]
    values = [_value(column, value) for column, value in zip(columns, values, strict=True)]
    return dict(zip(signature.names, values, strict=True)) if signature.named else values


def _value(column: Column, value: Any) -> Any:
    if isinstance(value, list) and column.depth:
        return [_value(column, item) for item in value]
    if (isinstance(value, float) and value != value) or (value == "NaT" and column.kind.name == "datetime"):
        return None  # MLflow writes a missing number as NaN, a missing time as NaT
    if isinstance(value, str) and column.kind.name == "binary":
        return value.replace("\n", "")  # and base64 with ends of lines
    return value


def _why(reject: Reject | None) -> str:
    if reject is None:
        return "it has no rows"
    return f"{f'column {reject.column}: ' if reject.column else ''}expected {reject.expected}, got {reject.got}"


def tell(rejects: Sequence[Reject]) -> str:
    """Why rows of an example do not fit, by the first of them."""
    return _why(rejects[0] if rejects else None)
