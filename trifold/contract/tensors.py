"""Decoded JSON rows to a tensor: all at once, or row by row to find the place that is wrong.

An array of floats says missing by NaN, which JSON writes as null; whether a model takes it the model decides.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from trifold.contract.checked import Checked, text
from trifold.contract.readers import Invalid, integer_reader, is_text, number_reader
from trifold.contract.signature import Tensor
from trifold.contract.types import TYPES
from trifold.errors import Reject
from trifold.rows import Array, Rows

NAN = float("nan")
PLAIN: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}, "U": {str}}
KIND = {"f": "double", "i": "long", "u": "long", "b": "boolean", "U": "string"}


def check_tensor(tensor: Tensor, rows: Sequence[Any]) -> Checked:
    """See `Contract.check_rows`."""
    whole = _tensor_at_once(tensor, rows)
    if whole is not None:
        return Checked(Rows(matrix=whole), np.arange(len(rows)), ())
    matrix = np.zeros((len(rows), *tensor.shape), dtype=_tensor_dtype(tensor))
    rejects, keep = [], []
    for number, row in enumerate(rows):
        try:
            matrix[number] = _read_row(tensor, row)
            keep.append(number)
        except BadPlace as place:
            rejects.append(Reject(number, place.path or None, place.rule, place.expected, text(place.value)))
    accepted = np.array(keep, dtype=int)
    return Checked(Rows(matrix=matrix[accepted]), accepted, tuple(rejects))


def _tensor_dtype(tensor: Tensor) -> np.dtype[Any]:
    # A fixed-width text type would depend on the longest neighbour.
    return np.dtype(object) if tensor.dtype.kind == "U" else tensor.dtype


def _tensor_at_once(tensor: Tensor, rows: Sequence[Any]) -> Array | None:
    level: list[Any] = list(rows)
    for size in tensor.shape:
        if set(map(type, level)) - {list} or set(map(len, level)) - {size}:
            return None
        level = list(chain.from_iterable(level))
    missing = level.count(None) if tensor.dtype.kind == "f" else 0
    if missing:
        level = [NAN if value is None else value for value in level]
    if set(map(type, level)) - PLAIN[tensor.dtype.kind] or (tensor.dtype.kind == "U" and not is_text(level)):
        return None
    dtype = _tensor_dtype(tensor)
    wide = {"f": "float64", "i": "int64", "u": "int64"}.get(dtype.kind)
    try:
        flat = np.array(level, dtype=wide or dtype)
    except OverflowError:
        return None
    if wide and len(flat):
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        known = flat[flat == flat]
        if len(flat) - len(known) != missing:
            return None
        if len(known) and not (limits.min <= known.min() and known.max() <= limits.max):
            return None
    return flat.astype(dtype, copy=False).reshape(len(rows), *tensor.shape)


class BadPlace(Exception):
    """A place in a tensor that breaks a rule; `path` is such as [3][0]."""

    def __init__(self, path: str, rule: str, expected: str, value: Any) -> None:
        self.path, self.rule, self.expected, self.value = path, rule, expected, value
        super().__init__(path)


def _read_row(tensor: Tensor, row: Any) -> Array:
    """A row's array.

    Raises:
        BadPlace: The first place that is wrong.
    """
    plain = _tensor_at_once(tensor, [row])
    if plain is not None:
        return plain[0]  # type: ignore[no-any-return]
    flat = _read_level(tensor, _reader(tensor), row, "", 0)
    return np.array(flat, dtype=_tensor_dtype(tensor)).reshape(tensor.shape)


def _reader(tensor: Tensor) -> Callable[[Any], Any]:
    kind, name = tensor.dtype.kind, tensor.dtype.name
    if kind == "f":
        return number_reader(name)
    return integer_reader(name) if kind in "iu" else TYPES[KIND[kind]].read


def _read_level(tensor: Tensor, read: Callable[[Any], Any], value: Any, path: str, depth: int) -> list[Any]:
    """All values below a place, flat."""
    if depth < len(tensor.shape):
        if type(value) is not list or len(value) != tensor.shape[depth]:
            raise BadPlace(path, "shape", f"a list of shape {list(tensor.shape[depth:])}", value)
        below = (_read_level(tensor, read, item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
        return list(chain.from_iterable(below))
    if value is None and tensor.dtype.kind == "f":
        return [NAN]
    if value is None:
        raise BadPlace(path, "missing", TYPES[KIND[tensor.dtype.kind]].expected, value)
    try:
        return [read(value)]
    except Invalid as error:
        raise BadPlace(path, error.rule, error.expected, value) from None
