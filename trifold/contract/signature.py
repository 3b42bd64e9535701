"""MLflow's model signature, read without MLflow.

Source of the format: the `signature` of an MLmodel file, as mlflow.types.schema writes it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from trifold.contract.dtypes import UNTOLD, Dtype, settle_kind
from trifold.contract.readers import Invalid
from trifold.contract.types import TYPES, ColumnType
from trifold.errors import SignatureError

PARTS = ("inputs", "outputs", "params")
TENSOR_KINDS = "fiubU"
UNTYPED = {
    "any": " (MLflow writes it where no row of the example has a value in the column, or where it has no type for the "
    "values of one, as for unsigned 64-bit integers, spans of time and decimals; log the model with rows that have "
    "values, of a type below)",
    "object": " (it holds objects; give each of their names a column of its own)",
    "map": " (it holds objects; give each of their names a column of its own)",
}
"""Types of MLflow's that are none of a value's, and what to do about them."""
LARGEST_ITEM = 8
"""Bytes; a longer float has no JSON that keeps its value."""


@dataclass(frozen=True)
class Column:
    """One column of the input.

    Attributes:
        name: Its name in JSON and in tables; its position for columns without names.
        kind: Its type, or that of its items.
        required: Whether each row must have a value.
        depth: 0 for a value, 1 for a list of values, 2 for a list of lists …
        label: Its name in a DataFrame, where it may be a number.
        dtype: How it stood in the DataFrame at training; None where nobody knows.
    """

    name: str
    kind: ColumnType
    required: bool
    depth: int = 0
    label: str | int = ""
    dtype: Dtype | None = None


@dataclass(frozen=True)
class Tensor:
    """An input without columns: one array.

    Attributes:
        dtype: Type of its numbers.
        shape: Shape of one row.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Param:
    """A parameter that a request may set; `default` is its value in JSON."""

    name: str
    kind: ColumnType
    default: Any
    is_list: bool


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out.

    Attributes:
        columns: The input's columns, in order; empty for a tensor.
        named: Whether a row is an object (columns have names) or a list.
        tensor: The input, if it is a tensor.
        params: By name.
        outputs: Names of the outputs; one, possibly empty, for a single output.
    """

    columns: tuple[Column, ...]
    named: bool
    tensor: Tensor | None
    params: Mapping[str, Param]
    outputs: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def all_doubles(self) -> bool:
        """Whether rows are kept as one matrix of float64."""
        return all(
            column.kind.name == "double" and column.kind.numpy == np.float64 and not column.depth
            for column in self.columns
        )

    def narrow(self, dtypes: Mapping[str, Dtype]) -> "Signature":
        """The signature with what is known of the columns at training; what contradicts it is not taken."""
        return replace(self, columns=tuple(_narrow(column, dtypes.get(column.name)) for column in self.columns))


def parse(document: Mapping[str, Any] | None) -> Signature:
    """Read the signature of an MLmodel file.

    Raises:
        SignatureError: There is none, or it has a type that no scikit-learn model takes.
    """
    try:
        inputs, outputs, params = (json.loads((document or {}).get(part) or "[]") for part in PARTS)
        if inputs:
            return _signature(inputs, outputs, params)
    except (AttributeError, IndexError, Invalid, KeyError, TypeError, ValueError) as error:
        raise SignatureError(f"The model's signature cannot be read ({error!r}); log the model again.") from error
    raise SignatureError(
        "The model was logged without a signature, so its columns are unknown; "
        "log it again with input_example=X.head(), from which MLflow makes the signature."
    )


def _signature(inputs: Any, outputs: Any, specs: Any) -> Signature:
    params = {spec["name"]: _param(spec) for spec in specs}
    names = tuple(str(output.get("name", "")) for output in outputs) or ("",)
    if any(spec["type"] == "tensor" for spec in inputs):
        return Signature((), False, _tensor(inputs), params, names)
    named = all("name" in spec for spec in inputs)
    columns = tuple(_column(spec, position, named) for position, spec in enumerate(inputs))
    if len({column.name for column in columns}) < len(columns):
        raise SignatureError("Two columns of the signature have the same name; rename one and log the model again.")
    return Signature(columns, named, None, params, names)


def _column(spec: Mapping[str, Any], position: int, named: bool) -> Column:
    label = spec["name"] if named else position
    if isinstance(label, list):
        raise SignatureError(
            f"A column has a name of several levels, {label}, which no JSON and no table has; give it one, "
            "X.columns = X.columns.map('_'.join), and fit again."
        )
    kind, depth = spec, 0
    while kind["type"] == "array":
        kind, depth = kind["items"], depth + 1
    if kind["type"] not in TYPES:
        where = f"Column {label!r}" if named else "A column"
        raise SignatureError(
            f"{where} has type {kind['type']!r} in the signature, which is no value's"
            f"{UNTYPED.get(kind['type'], '')}; use one of {', '.join(TYPES)} or a list of one."
        )
    return Column(str(label), TYPES[kind["type"]], spec.get("required", True), depth, label)


def _narrow(column: Column, dtype: Dtype | None) -> Column:
    if dtype is None:
        return column
    if column.depth:
        return replace(column, dtype=dtype if dtype.items in ("list", "ndarray") else None)
    kind = settle_kind(column.kind, dtype)
    if kind is None:
        return column
    if dtype.missing == UNTOLD and not column.required:
        words = f"{kind.expected}; what stood for a missing one at training is not known"
        return replace(column, kind=replace(kind, expected=words), dtype=dtype, required=True)
    return replace(column, kind=kind, dtype=dtype)


def _tensor(inputs: list[Mapping[str, Any]]) -> Tensor:
    if len(inputs) > 1 or "name" in inputs[0]:
        raise SignatureError(
            "The signature has an array for each column, which no scikit-learn model takes; log the model with "
            "input_example=pd.DataFrame(example), or with one array."
        )
    spec = inputs[0]["tensor-spec"]
    dtype, shape = np.dtype(spec["dtype"]), tuple(spec["shape"])
    if dtype.kind not in TENSOR_KINDS or (dtype.kind == "f" and dtype.itemsize > LARGEST_ITEM):
        raise SignatureError(
            f"A tensor of type {dtype} cannot be sent as JSON, since it does not say what its values are; use float64, "
            "an integer type or bool, log the model with columns, pd.DataFrame(X), or texts as a list, X.tolist()."
        )
    if not shape or shape[0] != -1 or any(size < 1 for size in shape[1:]):
        raise SignatureError(
            f"The tensor's shape is {shape}; the first size must be -1 (rows) and each other a fixed number."
        )
    return Tensor(dtype, shape[1:])


def _param(spec: Mapping[str, Any]) -> Param:
    if spec["type"] not in TYPES:
        raise SignatureError(f"Parameter {spec['name']!r} has type {spec['type']!r}; use one of {', '.join(TYPES)}.")
    param = Param(spec["name"], TYPES[spec["type"]], spec["default"], spec.get("shape") is not None)
    if param.kind.name == "datetime":  # the one kind whose default is read again for each request
        for moment in param.default if param.is_list else [param.default]:
            param.kind.read(moment)
    return param
