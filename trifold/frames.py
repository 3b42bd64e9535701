"""Rows as the DataFrame that a model was fitted on: its dtypes, categories, units, zones and missing markers."""

import functools
from typing import Any

import numpy as np

from trifold.contract.contract import Contract
from trifold.contract.dtypes import CATEGORY, NA, NAN, NAT, NONE, NULLABLE, NUMPY, OBJECT, TIME, UNTOLD, Dtype
from trifold.contract.signature import Column
from trifold.rows import Array, Rows


def make_frame(contract: Contract, rows: Rows) -> Any:
    """The rows as a DataFrame; its dtypes never depend on the values."""
    pd = _pandas()
    columns = contract.signature.columns
    labels = [column.label for column in columns]
    if rows.matrix is not None and all(column.dtype is None or column.dtype.name == "float64" for column in columns):
        return pd.DataFrame(np.ascontiguousarray(rows.matrix), columns=labels, copy=False)
    arrays = list(rows.columns.values()) if rows.columns is not None else list(np.asarray(rows.matrix).T)
    made = [make_array(column, values) for column, values in zip(columns, arrays, strict=True)]
    return pd.DataFrame(dict(zip(labels, made, strict=True)), copy=False)


def make_array(column: Column, values: Array) -> Any:
    """One column as pandas held it at training.

    Args:
        column: Its `dtype` says how; None: as pandas reads such a column by default.
        values: Of shape (rows,), as the contract gave them.
    """
    pd, dtype = _pandas(), column.dtype
    if column.depth:
        return _make_lists(values) if dtype is not None and dtype.items == "list" else values
    if dtype is None:
        # pandas infers text from the values: where all are missing, the type would depend on the neighbours.
        return pd.Series(values, dtype=_text_dtype()) if column.kind.name == "string" else values
    if dtype.zone:
        return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(dtype.zone)
    if dtype.name == OBJECT:
        return _make_objects(dtype, values)
    if dtype.name == CATEGORY:
        return _make_categories(dtype, values)
    if dtype.name == "str":
        return pd.Series(values, dtype=_text_dtype())
    if dtype.name == "string" or NULLABLE.fullmatch(dtype.name):
        return pd.array(values, dtype=dtype.name)
    return values


def read_dtype(values: Any) -> Dtype | None:
    """How a Series stands; None for one whose dtype cannot be made again from a request.

    Args:
        values: A Series of pandas, with all its missing values.
    """
    import pandas as pd  # as it is set up where a model is trained

    dtype = values.dtype
    missing = sorted({name_marker(value) for value in values[values.isna()]})
    marker = missing[0] if len(missing) == 1 else (UNTOLD if missing else None)
    if isinstance(dtype, pd.CategoricalDtype):
        return _read_categories(dtype, marker)
    if dtype == np.dtype(object):
        items = {_name_item(value) for value in values.dropna()}
        return Dtype(OBJECT, marker, items.pop() if len(items) == 1 else None)
    if isinstance(dtype, pd.StringDtype):
        return Dtype("string" if dtype.na_value is pd.NA else "str", marker)
    name = str(dtype)
    known = NUMPY.fullmatch(name) or NULLABLE.fullmatch(name) or TIME.fullmatch(name)
    return Dtype(name, marker) if known and _is_named(dtype, name) else None


def _is_named(dtype: Any, name: str) -> bool:
    """Whether a name says all of a dtype; a zone of dateutil's has none that can be read."""
    import pandas as pd

    try:
        return bool(pd.api.types.pandas_dtype(name) == dtype)
    except TypeError:
        return False


def default_unit() -> str:
    """The unit in which this pandas reads times that do not say one."""
    name = str(_pandas().to_datetime(["2026-11-23"]).dtype)
    return name[name.index("[") + 1 : -1]


def _make_objects(dtype: Dtype, values: Array) -> Any:
    pd = _pandas()
    missing = pd.isna(values)
    if dtype.items == "date":
        objects = values.astype("datetime64[D]").astype(object)
    elif dtype.items == "datetime":
        objects = values.astype("datetime64[us]").astype(object)
    elif dtype.items == "Timestamp":
        objects = np.array([pd.Timestamp(value) for value in values], dtype=object)
    else:
        objects = values.astype(object)
    if missing.any():
        objects[missing] = {NONE: None, NAN: np.nan, NAT: pd.NaT, NA: pd.NA, None: None}[dtype.missing]
    return pd.Series(objects, dtype=object)  # an array alone would be text, if all its values are


def _make_lists(values: Array) -> Array:
    lists = np.empty(len(values), dtype=object)
    lists[:] = [_make_list(value) for value in values]
    return lists


def _make_list(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return [_make_list(item) for item in value] if value.dtype == object else value.tolist()


def _make_categories(dtype: Dtype, values: Array) -> Any:
    """Categories as learnt; a value beyond them comes after them, and the model decides."""
    pd = _pandas()
    known = pd.Index(dtype.categories, dtype=dtype.of)
    found = pd.Index(values[~pd.isna(values)]).unique()
    more = found[~found.isin(known)]
    categories = known if not len(more) else pd.Index([*known, *more], dtype=dtype.of)
    return pd.Categorical(values, categories=categories, ordered=dtype.ordered)


def _read_categories(dtype: Any, marker: str | None) -> Dtype | None:
    of, values = str(dtype.categories.dtype), tuple(dtype.categories.tolist())
    if of not in ("str", "object", "int64", "float64", "bool") or not all(
        type(value) in (str, int, float, bool) for value in values
    ):
        return None
    return Dtype(CATEGORY, marker, categories=values, of=of, ordered=bool(dtype.ordered))


def _name_item(value: Any) -> str:
    """The Python type of a value in an object column, numpy's scalars as Python's."""
    kind = type(value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value)
    return kind.__name__


def name_marker(value: Any) -> str:
    """Which marker of a missing value this is."""
    import pandas as pd

    if value is None:
        return NONE
    if value is pd.NA:
        return NA
    return NAT if value is pd.NaT or isinstance(value, np.datetime64) else NAN


@functools.cache
def _pandas() -> Any:
    import pandas as pd  # a matrix model does without

    # As in a process without Arrow, so that a model is given the same in every mode.
    pd.set_option("mode.string_storage", "python")
    return pd


@functools.cache
def _text_dtype() -> Any:
    return _pandas().Series(["", None]).dtype
