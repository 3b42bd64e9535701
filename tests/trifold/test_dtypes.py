"""What a column was at training, kept to the bit from a DataFrame through JSON and tables into the model's own."""

import base64
import datetime as dt
import io
import json
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow.models import infer_signature

from trifold.contract.contract import Contract
from trifold.contract.dtypes import CATEGORY, OBJECT, UNTOLD, Dtype
from trifold.contract.signature import parse
from trifold.frames import make_frame, read_dtype

BERLIN = "Europe/Berlin"
pd.set_option("mode.string_storage", "python")  # as in a server; else texts differ in how they are stored


def objects(*values):
    """A column of Python's objects, as they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return pd.Series(array, dtype=object)


def times(*texts, **options):
    """A column of times."""
    return pd.Series(pd.to_datetime(list(texts), format="ISO8601", **options))


COLUMNS = {
    "None among texts": objects("a", None, ""),
    "NaN among texts": objects("a", np.nan, "b"),
    "NA among texts": objects("a", pd.NA, "b"),
    "str": pd.Series(["a", None, " b"]),
    "string": pd.Series(["a", None, "c"], dtype="string"),
    "categories": pd.Series(["a", None, "b"], dtype="category"),
    "categories of numbers": pd.Series([1, 2, 1], dtype="category"),
    "ordered categories": pd.Series(pd.Categorical(["lo", "hi", None], ["lo", "mid", "hi"], ordered=True)),
    "categories of floats": pd.Series([1.5, None, 2.0], dtype="category"),
    "Int64": pd.Series([1, None, 2**60 + 1], dtype="Int64"),
    "Int64 without a gap": pd.Series([1, 2, 2**60 + 1], dtype="Int64"),
    "Int8": pd.Series([1, None, -128], dtype="Int8"),
    "UInt8": pd.Series([1, None, 255], dtype="UInt8"),
    "Float64": pd.Series([1.5, None, -0.0], dtype="Float64"),
    "Float32": pd.Series([1.5, None, 0.1], dtype="Float32"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "None among booleans": objects(True, None, False),
    "NaN among booleans": objects(True, np.nan, False),
    "bool": pd.Series([True, False, True]),
    "None among whole numbers": objects(1, None, 3),
    "whole numbers as objects": objects(1, 2, 3),
    "None among floats": objects(1.5, None, 2.0),
    "NaN among floats": objects(1.5, np.nan, 2.0),
    "int8": pd.Series([1, 2, -128], dtype="int8"),
    "uint8": pd.Series([1, 2, 255], dtype="uint8"),
    "uint32": pd.Series([1, 2, 2**32 - 1], dtype="uint32"),
    "int64": pd.Series([1, 2, 2**63 - 1]),
    "float16": pd.Series([1, None, 0.5], dtype="float16"),
    "float32": pd.Series([1, None, 0.1], dtype="float32"),
    "float64": pd.Series([1.5, None, -0.0]),
    "microseconds": times("2024-01-01 05:00:00.123456", None, "1500-01-01"),
    "nanoseconds": times("2024-01-01", None, "2024-01-01 00:00:00.123456789").astype("datetime64[ns]"),
    "seconds": times("2024-01-01", None, "2500-01-01 05:00:01").astype("datetime64[s]"),
    "an hour that comes twice": pd.Series(pd.date_range("2024-10-27 00:00", periods=4, freq="45min", tz=BERLIN)),
    "milliseconds in a zone": pd.Series(pd.date_range("2024-03-31", periods=3, freq="1h", tz=BERLIN)).astype(
        f"datetime64[ms, {BERLIN}]"
    ),
    "UTC": times("2024-01-01", None, "2024-07-01", utc=True),
    "a fixed offset": times("2024-01-01T00:00+05:30", "2024-07-01T00:00+05:30"),
    "dates": objects(dt.date(2024, 1, 1), None, dt.date(2024, 2, 29)),
    "Python's times": objects(dt.datetime(2024, 1, 1, 5), None, dt.datetime(2025, 1, 1)),
    "timestamps as objects": objects(pd.Timestamp("2024-01-01"), pd.NaT, pd.Timestamp("2024-01-02 05:00")),
    "bytes": objects(b"a", None, b"\x00"),
    "lists": objects([1, 2], [3], []),
    "arrays": objects(np.array([1.0, 2.0]), np.array([3.0])),
    "lists of lists": objects([["a"]], None, [[]]),
}


def contract(values):
    """The contract of a model that was fitted on one column, as `trifold.log_model` finds it out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(pd.DataFrame({"x": values}), [0] * len(values)).to_dict()
    return Contract.from_json(
        json.loads(json.dumps(Contract.read(signature, None, {"x": read_dtype(values)}).to_json()))
    )


def plain(value):
    """A value as a client writes it in JSON."""
    if isinstance(value, list | np.ndarray):
        return [plain(item) for item in value]
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.item() if isinstance(value, np.generic) else value


def as_json(values):
    """The column's contract and its rows, through JSON."""
    found = contract(values)
    return found, found.check_rows(json.loads(json.dumps([{"x": plain(value)} for value in values])))


def as_table(values):
    """The column's contract and its rows, through a Parquet file."""
    found, file = contract(values), io.BytesIO()
    pd.DataFrame({"x": values}).to_parquet(file)
    return found, found.check(pq.read_table(file))


@pytest.mark.parametrize("door", [as_json, as_table])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_to_the_model_as_it_was_at_training(name, door):
    """dtype, unit, zone, categories, Python types and missing markers are those that the model was fitted on."""
    values = COLUMNS[name]
    found, checked = door(values)
    assert not checked.rejects
    frame = make_frame(found, checked.rows)
    pd.testing.assert_series_equal(frame["x"], values.rename("x"), check_exact=True, check_freq=False)
    assert [type(value) for value in frame["x"]] == [type(value) for value in values]


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_written_as_json_are_read_again(name):
    """The example that OpenAPI shows is made by writing rows."""
    found, checked = as_json(COLUMNS[name])
    again = found.check_rows(json.loads(json.dumps(found.to_rows(checked.rows))))
    assert not again.rejects
    pd.testing.assert_frame_equal(make_frame(found, again.rows), make_frame(found, checked.rows), check_exact=True)


def test_a_dtype_never_depends_on_the_values():
    """One row alone, a gap alone and all rows give the same dtypes, so that no row changes with its neighbours."""
    for values in COLUMNS.values():
        found, checked = as_json(values)
        dtypes = {
            str(make_frame(found, checked.rows.take(np.array([place])))["x"].dtype) for place in range(len(values))
        }
        assert dtypes == {str(values.dtype)}


@pytest.mark.parametrize(
    ("name", "value", "rule", "expected"),
    [
        ("uint8", 256, "out_of_range", "a whole number from 0 to 255"),
        ("Int8", -129, "out_of_range", "a whole number from -128 to 127"),
        ("Int64", float(2**53), "out_of_range", f"a whole number without a point or exponent from {2**53} on"),
        ("None among whole numbers", 1.5, "type", "a whole number"),
        ("float16", 70000, "out_of_range", "a number from -65504 to 65504"),
        ("seconds", "2024-01-01T00:00:00.5Z", "out_of_range", "a time such as 2026-11-23T08:00:00Z, in whole seconds"),
        ("microseconds", "2024-01-01T00:00:00.1234567Z", "out_of_range",
         "a time such as 2026-11-23T08:00:00Z, in whole microseconds"),
        ("dates", "2024-01-01T05:00:00Z", "out_of_range", "a date such as 2026-11-23, in whole days"),
        ("UTC", "2024-01-01T05:00:00", "type", "a time with its offset, such as 2026-11-23T08:00:00+01:00"),
        ("an hour that comes twice", "2024-10-27", "type", "a time with its offset, such as 2026-11-23T08:00:00+01:00"),
    ],
)  # fmt: skip
def test_what_the_dtype_cannot_hold_is_refused(name, value, rule, expected):
    """Nothing is rounded, cut or guessed on its way into a narrower column."""
    reject = contract(COLUMNS[name]).check_rows([{"x": value}]).rejects[0]
    assert (reject.rule, reject.expected) == (rule, expected)


def test_tables_without_a_zone_are_refused_where_the_model_had_one():
    """An hour in UTC is another hour for a model of Berlin's."""
    found, file = contract(COLUMNS["an hour that comes twice"]), io.BytesIO()
    pd.DataFrame({"x": times("2024-10-27 00:30")}).to_parquet(file)
    assert found.check(pq.read_table(file)).rejects[0].expected.startswith("a time with its offset")
    pd.DataFrame({"x": [dt.date(2024, 10, 27)]}).to_parquet(file := io.BytesIO())
    assert found.check(pq.read_table(file)).rejects[0].expected.startswith("a time with its offset")


def test_dates_of_a_table_are_midnights():
    """Arrow's date32 comes as a time of the column's unit."""
    found, file = contract(COLUMNS["seconds"]), io.BytesIO()
    pd.DataFrame({"x": [dt.date(2024, 10, 27)]}).to_parquet(file)
    assert make_frame(found, found.check(pq.read_table(file)).rows)["x"].tolist() == [pd.Timestamp("2024-10-27")]


def test_two_markers_in_one_column_make_a_missing_value_refused():
    """JSON's null cannot say which of them is meant, and the model can tell them apart."""
    values = objects("a", None, np.nan)
    assert read_dtype(values) == Dtype(OBJECT, UNTOLD, "str")
    checked = contract(values).check_rows([{"x": None}, {"x": "a"}])
    assert [reject.rule for reject in checked.rejects] == ["missing"]
    assert checked.rejects[0].expected == "a string; what stood for a missing one at training is not known"
    assert checked.accepted.tolist() == [1]


def test_a_category_that_training_never_saw_comes_after_the_known_ones():
    """The model decides about it, and the numbers of the known ones stay."""
    found, checked = contract(COLUMNS["categories"]), None
    checked = found.check_rows([{"x": "b"}, {"x": "z"}, {"x": "a"}])
    frame = make_frame(found, checked.rows)
    assert frame["x"].tolist() == ["b", "z", "a"]
    assert frame["x"].cat.codes.tolist() == [1, 2, 0]


def test_a_closed_category_refuses_what_training_never_saw():
    """Code of the model's own may count on the categories' numbers, which another row's value must not shift."""
    signature = parse(contract(COLUMNS["categories"]).document).narrow(
        {"x": Dtype(CATEGORY, "NaN", categories=("a", "b"), of="str", closed=True)}
    )
    column = signature.columns[0]
    assert column.kind.read("a") == "a"
    assert column.kind.expected == "one of the categories of training, a, b"


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(pd.period_range("2024-01", periods=2, freq="M")),
        pd.Series(pd.to_timedelta(["1D", "2D"])),
        pd.Series([1, 2], dtype="int64[pyarrow]"),
        pd.Series(pd.arrays.SparseArray([0, 1.0])),
        pd.Series([pd.Timestamp("2024-01-01")], dtype="category"),
    ],
    ids=str,
)
def test_what_cannot_be_made_again_has_no_dtype(values):
    """Such a column is found out by asking the model, as one that was logged plainly."""
    assert read_dtype(values) is None
