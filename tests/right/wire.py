"""A case's rows as clients send them: JSON, cells of CSV, Arrow's table. Nothing of Trifold's is imported here."""

import base64
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.right.pipelines import Case


def as_rows(case: Case) -> list[Any]:
    """JSON values, a row each; of every fourth case, what is missing is left out."""
    if isinstance(case.asked, pd.Series):
        return [{str(case.asked.name): line} for line in case.asked]
    if not case.columns:
        return [_nested(row) for row in case.asked]
    columns = [[as_json(value, case.number) for value in column.ask.tolist()] for column in case.columns]
    names = [str(column.name) for column in case.columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if case.number % 4 == 3:
        return [{name: value for name, value in row.items() if value is not None} for row in rows]
    return rows


def as_table(case: Case) -> tuple[list[str], list[list[str]]] | None:
    """Names and cells of CSV; None of a tensor."""
    if isinstance(case.asked, np.ndarray):
        return None
    if not case.columns:
        return [str(getattr(case.asked, "name", 0))], [[line] for line in case.asked]
    columns = [[as_cell(value, case.number) for value in column.ask.tolist()] for column in case.columns]
    return [str(column.name) for column in case.columns], [list(row) for row in zip(*columns, strict=True)]


def as_arrow(case: Case) -> pa.Table | None:
    """What pandas writes to Parquet, of every second case in the types of a database; None without names."""
    if isinstance(case.asked, np.ndarray | list):
        return None
    frame = case.asked.to_frame() if isinstance(case.asked, pd.Series) else case.asked.rename(columns=str)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return _as_databases_have_it(table) if case.number % 2 else table


def as_json(value: Any, style: int = 0) -> Any:
    """A value in JSON: times in one of the forms that mean the same, whatever is missing as null."""
    if isinstance(value, list | np.ndarray):
        return [as_json(item, style) for item in value]
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return _time(value, style)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.item() if isinstance(value, np.generic) else value


def as_cell(value: Any, style: int = 0) -> str:
    """A value in CSV; nothing where it is missing."""
    found = as_json(value, style)
    if found is None:
        return ""
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _time(value: pd.Timestamp, style: int) -> str:
    """With the zone's own offset, or in UTC; a time without a zone may be called UTC too."""
    if value.tz is not None:
        return (value if style % 3 else value.tz_convert("UTC")).isoformat()
    return value.isoformat() + ("Z" if style % 3 == 0 else "")


def _nested(row: Any) -> Any:
    if isinstance(row, str):
        return row
    return as_json(row.tolist())


def _as_databases_have_it(table: pa.Table) -> pa.Table:
    """Numbers in 64 bits, times in microseconds and UTC, texts without dictionaries."""
    columns: Sequence[pa.ChunkedArray] = table.columns
    return pa.table([_wide(column) for column in columns], names=table.column_names)


def _wide(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float32()).cast(pa.float64()) if kind.bit_width == 16 else column.cast(pa.float64())
    if pa.types.is_timestamp(kind):
        try:
            return column.cast(pa.timestamp("us", "UTC" if kind.tz else None))
        except pa.ArrowInvalid:  # nanoseconds would be lost
            return column
    return column
