"""The contract's door for Arrow tables, with every type that a database, a file or a DataFrame brings."""

import datetime as dt
import decimal
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import Array

from trifold.contract.contract import Contract
from trifold.errors import ColumnsMissing, ColumnsRepeated, ColumnsUnknown, SignatureError

WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
DECIMALS = [pa.decimal128(10, 2), pa.decimal128(38, 0), pa.decimal256(50, 10)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
BYTES = [pa.binary(), pa.large_binary(), pa.binary(2), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]
UNITS = ["s", "ms", "us", "ns"]
pytestmark = pytest.mark.filterwarnings("ignore:Hint. Inferred schema:UserWarning")

NO_JSON = [
    pa.array([1], pa.duration("s")),
    pa.array([2**63 - 1], pa.duration("s")),
    pa.array([1], pa.time32("s")),
    pa.array([1], pa.time64("ns")),
    pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    pa.array([{"a": 1}]),
    pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
]


def contract(*columns):
    """The contract of a model with these columns."""
    return Contract.read(ModelSignature(Schema(list(columns))).to_dict())


def one(kind, required=True):
    """The contract of a model with one column x."""
    return contract(ColSpec(kind, "x", required))


def array(checked):
    """The one column's array."""
    return checked.rows.matrix[:, 0] if checked.rows.columns is None else checked.rows.columns["x"]


@pytest.mark.parametrize("source", [*WHOLE, *FLOATS, *DECIMALS, pa.dictionary(pa.int8(), pa.int64())], ids=str)
@pytest.mark.parametrize("kind", ["integer", "long", "float", "double"])
@pytest.mark.parametrize("required", [True, False])
def test_any_numeric_type_is_a_number(source, kind, required):
    """A query's integers, floats and decimals are taken by any numeric column that can hold their values."""
    values = pa.array([decimal.Decimal(n) for n in (1, 2, 100)] if pa.types.is_decimal(source) else [1, 2, 100], source)
    checked = one(kind, required).check(pa.table({"x": values}))
    assert not checked.rejects
    assert array(checked).tolist() == [1, 2, 100]
    wanted = one(kind, required).check_rows([{"x": 1}, {"x": 2}, {"x": 100}])
    assert array(checked).dtype == array(wanted).dtype


@pytest.mark.parametrize("source", TEXTS, ids=str)
def test_any_text_type_is_a_string(source):
    """Short, long, viewed and dictionary-encoded texts are all strings."""
    checked = one("string").check(pa.table({"x": pa.array(["a", "é", ""], source)}))
    assert array(checked).tolist() == ["a", "é", ""]
    gap = one("string", required=False).check(pa.table({"x": pa.array(["a", None], source)}))
    assert array(gap)[0] == "a"
    assert math.isnan(array(gap)[1])


@pytest.mark.parametrize("source", BYTES, ids=str)
def test_any_bytes_are_binary(source):
    """Bytes come as bytes, without the base64 that JSON needs."""
    checked = one("binary", required=False).check(pa.table({"x": pa.array([b"\x00\xff", None], source)}))
    assert array(checked).tolist() == [b"\x00\xff", None]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+02:00", "Mars/Phobos"])
def test_times_of_any_unit_and_zone_are_utc(unit, zone):
    """An instant is an instant: 64-bit counts since 1970 in UTC, also where the zone is not installed."""
    values = pa.array([0, -86_400, 1_790_000_000], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp(unit))
    checked = one("datetime").check(pa.table({"x": values.cast(pa.timestamp(unit, zone))}))
    assert array(checked).astype("int64").tolist() == [0, -86_400 * 10**9, 1_790_000_000 * 10**9]
    assert array(checked).dtype == "datetime64[ns]"


@pytest.mark.parametrize("source", [pa.date32(), pa.date64()], ids=str)
def test_dates_are_midnights(source):
    """A date column is a time column at 00:00 UTC."""
    checked = one("datetime").check(pa.table({"x": pa.array([dt.date(2026, 11, 23)], source)}))
    assert array(checked)[0] == np.datetime64("2026-11-23", "ns")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 10**15], pa.timestamp("s")),
        pa.array([0, 10**15], pa.timestamp("s", "Mars/Phobos")),
        pa.array([0, 10**17], pa.timestamp("ms", "UTC")),
        pa.array([0, -(2**63)], pa.timestamp("ns")),
        pa.array([0, 10**8], pa.date32()),
        pa.array([dt.date(1970, 1, 1), dt.date(1600, 1, 1)]),
        pa.array([dt.datetime(1970, 1, 1), dt.datetime(2300, 1, 1)], pa.timestamp("us")),
    ],
    ids=lambda values: str(values.type),
)
def test_times_past_64_bits_of_nanoseconds_are_rejects(values):
    """A date such as 9999-12-31, by which databases say "for ever", refuses its row and not the run."""
    checked = one("datetime").check(pa.table({"x": values}))
    assert checked.accepted.tolist() == [0]
    rule = checked.rejects[0].rule
    assert rule == "out_of_range" or (rule, checked.rejects[0].got) == ("type", '"NaT"')  # the latter is numpy's own


@pytest.mark.parametrize("values", NO_JSON, ids=lambda values: str(values.type))
@pytest.mark.parametrize(
    "kind", ["boolean", "integer", "double", "string", "binary", "datetime", Array("double")], ids=str
)
def test_types_without_a_json_form_are_rejects(values, kind):
    """A column of durations, structs or maps is refused row by row, whatever Python makes of such values."""
    checked = one(kind).check(pa.table({"x": values}))
    assert [reject.rule for reject in checked.rejects] == ["type"]
    assert str(values.type).split("(")[0].split("<")[0] in checked.rejects[0].got.lower()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *[(kind, ["1"]) for kind in ("integer", "long", "float", "double", "boolean")],
        *[(kind, [True]) for kind in ("integer", "long", "float", "double", "string", "binary", "datetime")],
        *[(kind, [1]) for kind in ("boolean", "string", "binary", "datetime")],
        *[(kind, [1.5]) for kind in ("boolean", "integer", "long", "string", "binary", "datetime")],
        *[(kind, [[1]]) for kind in ("boolean", "integer", "double", "string")],
        *[(kind, [b"\xff"]) for kind in ("boolean", "integer", "double", "string", "datetime")],
        *[(kind, [dt.datetime(2026, 1, 1)]) for kind in ("boolean", "long", "double")],
    ],
)
def test_another_type_is_refused_as_in_json(kind, values):
    """Text is no number and a number no text, however easily a database would cast it."""
    checked = one(kind).check(pa.table({"x": pa.array(values)}))
    assert [reject.rule for reject in checked.rejects] == ["type"]


def test_text_that_json_would_carry_is_read():
    """Times and bytes that a table holds as text are read as JSON's are."""
    assert array(one("datetime").check(pa.table({"x": ["2026-01-01T00:00:00+01:00"]})))[0] == np.datetime64(
        "2025-12-31T23:00:00", "ns"
    )
    assert array(one("binary").check(pa.table({"x": ["AP8="]}))).tolist() == [b"\x00\xff"]


@pytest.mark.parametrize("scale", [1, 2, 8, 12])
@pytest.mark.parametrize("kind", ["double", "float"])
def test_decimals_are_read_as_the_same_text_is(scale, kind):
    """Arrow's own cast is off in the last bits for every third value: a batch job would score other rows than HTTP."""
    numbers = np.random.default_rng(scale).integers(-(10**14), 10**14, 2_000)
    values = [decimal.Decimal(int(number)).scaleb(-scale) for number in numbers]
    found = one(kind).check(pa.table({"x": pa.array(values, pa.decimal128(38, scale))}))
    wanted = one(kind).check_rows([{"x": float(str(value))} for value in values])
    assert array(found).tobytes() == array(wanted).tobytes()


@pytest.mark.parametrize("required", [True, False])
def test_nan_is_a_missing_value_in_a_table(required):
    """Pandas has no other word for missing, so a table's NaN is null: refused where required, else missing."""
    values = pa.array([1.5, math.nan, None])
    checked = one("double", required).check(pa.table({"x": values}))
    if required:
        assert [(r.row, r.rule, r.got) for r in checked.rejects] == [(1, "missing", "null"), (2, "missing", "null")]
    else:
        assert np.isnan(array(checked)).tolist() == [False, True, True]


@pytest.mark.parametrize("kind", ["float", "double", "integer", "long"])
@pytest.mark.parametrize("source", FLOATS, ids=str)
@pytest.mark.parametrize("required", [True, False])
def test_infinity_is_refused(kind, source, required):
    """Infinity refuses its row in every numeric column."""
    values = pa.array([1.0, math.inf, -math.inf, 2.0]).cast(source)
    checked = one(kind, required).check(pa.table({"x": values}))
    found = [(reject.row, reject.rule, reject.got) for reject in checked.rejects]
    assert found == [(1, "not_finite", "Infinity"), (2, "not_finite", "-Infinity")]
    assert array(checked).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "required", "values"),
    [
        ("integer", True, pa.array([0, 2**31])),
        ("integer", False, pa.array([0, -(2**31) - 1])),
        ("integer", True, pa.array([0.0, 1e10])),
        ("long", True, pa.array([0, 2**63], pa.uint64())),
        ("long", False, pa.array([0, 2**53 + 1])),
        ("long", True, pa.array([0.0, 2.0**53 + 2])),
        ("long", True, pa.array([0, decimal.Decimal(10) ** 30])),
        ("float", True, pa.array([0.0, 1e39])),
        ("float", False, pa.array([0.0, -1e300])),
        ("float", True, pa.array([decimal.Decimal(0), decimal.Decimal(10) ** 60], pa.decimal256(76, 0))),
    ],
)
def test_numbers_past_the_type_are_refused(kind, required, values):
    """A value that the column cannot hold refuses its row; it is never cut, wrapped or made infinite."""
    checked = one(kind, required).check(pa.table({"x": values}))
    assert [(reject.row, reject.rule) for reject in checked.rejects] == [(1, "out_of_range")]
    assert array(checked).tolist() == [0]


def test_integers_past_doubles_are_rounded_in_columns_of_doubles_only():
    """2**60 + 1 in a double column is the nearest double, as in JSON; in a long column all its digits count."""
    table = pa.table({"x": [2**60 + 1]})
    assert array(one("double").check(table)).tolist() == [float(2**60)]
    assert array(one("long").check(table)).tolist() == [2**60 + 1]


@pytest.mark.parametrize("kind", ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"])
def test_a_column_of_nulls_has_no_type_and_is_missing(kind):
    """A query whose column is all NULL gives Arrow's null type: missing everywhere."""
    table = pa.table({"x": pa.nulls(2)})
    assert [reject.rule for reject in one(kind).check(table).rejects] == ["missing", "missing"]
    checked = one(kind, required=False).check(table)
    wanted = one(kind, required=False).check_rows([{"x": None}] * 2)
    assert repr(array(checked)) == repr(array(wanted))


@pytest.mark.parametrize(
    "source",
    [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.int8(), 2), pa.list_view(pa.int64())],
    ids=str,
)
def test_lists_of_any_kind_are_lists(source):
    """Variable, long, fixed and viewed lists become an array a row, of the items' type."""
    column = pa.array([[1, 2], None, [3, 4]], source)
    checked = contract(ColSpec(Array("double"), "x", False)).check(pa.table({"x": column}))
    assert not checked.rejects
    assert [value if value is None else value.tolist() for value in array(checked)] == [[1, 2], None, [3, 4]]


def test_bad_items_of_lists_are_rejects():
    """One null, one infinite number and one text in a list refuse these rows only."""
    model = contract(ColSpec(Array(Array("double")), "x"))
    numbers = pa.array([[[1.0]], [[None]], [[math.inf]], [], None])
    checked = model.check(pa.table({"x": numbers}))
    assert [(reject.row, reject.rule) for reject in checked.rejects] == [(1, "type"), (2, "not_finite"), (4, "missing")]
    times = pa.array([[10**15]], pa.list_(pa.timestamp("s")))
    assert [r.rule for r in contract(ColSpec(Array("datetime"), "x")).check(pa.table({"x": times})).rejects] == [
        "out_of_range"
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([["a"], [], ["b", "c"]], pa.string()),
        pa.chunked_array([pa.array(["z", "a", "b", "c", "y"])]).slice(1, 3),
        pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b", "c"]).dictionary_encode()]),
        pa.chunked_array([pc.run_end_encode(pa.array(["a", "b", "c"]))]),
        pa.chunked_array([pa.ExtensionArray.from_storage(pa.json_(), pa.array(["a", "b", "c"]))]),
    ],
    ids=["chunks", "slice", "dictionaries", "run ends", "extension"],
)
def test_how_a_column_is_laid_out_does_not_matter(column):
    """Chunks, slices, dictionaries and run ends hold the same values as one plain array."""
    assert array(one("string").check(pa.table({"x": column}))).tolist() == ["a", "b", "c"]


def test_dictionaries_that_together_are_too_large_are_read():
    """Two chunks with 100 words each fit no common dictionary of int8, and need none."""
    kind = pa.dictionary(pa.int8(), pa.string())
    words = [[f"{letter}{number}" for number in range(100)] for letter in "ab"]
    column = pa.chunked_array([pa.array(chunk, kind) for chunk in words])
    assert array(one("string").check(pa.table({"x": column}))).tolist() == words[0] + words[1]


def test_rejects_of_a_slice_count_from_its_start():
    """The row of a reject is that of the table at hand, not of the buffer below."""
    table = pa.table({"x": [None, 1.0, None, 2.0, math.inf]}).slice(2)
    assert [(r.row, r.rule) for r in one("double").check(table).rejects] == [(0, "missing"), (2, "not_finite")]


@pytest.mark.parametrize("columns", [[ColSpec("double", "x"), ColSpec("double", "y")], [ColSpec("string", "x")]])
def test_a_table_without_rows_is_accepted(columns):
    """A slot without rows gives empty columns of the right types, with and without chunks."""
    model = contract(*columns)
    for table in (
        pa.table({column.name: pa.array([], pa.float64()) for column in columns}),
        pa.table({column.name: pa.chunked_array([], pa.int8()) for column in columns}),
        pa.table({column.name: [1.0] for column in columns}).slice(1),
    ):
        checked = model.check(table)
        assert (len(checked.rows), checked.accepted.tolist(), checked.rejects) == (0, [], ())
        assert repr(checked.rows) == repr(model.check_rows([]).rows)


def test_columns_come_in_any_order():
    """Columns are found by name."""
    model = contract(ColSpec("double", "x"), ColSpec("string", "y"))
    checked = model.check(pa.table({"y": ["a"], "x": [1.5]}))
    assert list(checked.rows.columns) == ["x", "y"]


def test_a_lacking_required_column_is_an_error_that_names_it():
    """The query is wrong, not its rows: nothing is scored."""
    model = contract(ColSpec("double", "x"), ColSpec("double", "y"), ColSpec("double", "z", required=False))
    with pytest.raises(ColumnsMissing, match="lacks columns 'x', 'y'") as caught:
        model.check(pa.table({"w": [1.0]}), extra="ignore")
    assert caught.value.columns == ("x", "y")


def test_a_lacking_optional_column_is_missing_values():
    """An optional column that the query leaves out is missing in every row, as in JSON."""
    model = contract(
        ColSpec("double", "x"), ColSpec("long", "n", required=False), ColSpec("string", "s", required=False)
    )
    checked = model.check(pa.table({"x": [1.0, 2.0]}))
    assert repr(checked.rows) == repr(model.check_rows([{"x": 1.0}, {"x": 2.0}]).rows)


def test_unknown_columns_are_refused_or_ignored():
    """Batch and stream carry keys and context; only HTTP is strict."""
    model, table = one("double"), pa.table({"x": [1.0], "key": [pa.scalar(1)], "b": [None], "a": [None]})
    with pytest.raises(ColumnsUnknown, match="columns 'a', 'b', 'key', which the model does not know") as caught:
        model.check(table)
    assert caught.value.columns == ("a", "b", "key")
    assert array(model.check(table, extra="ignore")).tolist() == [1.0]


def test_a_column_that_a_table_has_twice_is_an_error():
    """A join that gives one name two columns is a mistake in the query; which of them counts is not guessed."""
    model = one("double")
    with pytest.raises(ColumnsRepeated, match="column 'x' more than once") as caught:
        model.check(pa.table([[1.0], [2.0], [3.0]], names=["x", "x", "key"]), extra="ignore")
    assert caught.value.columns == ("x",)
    assert not model.check(pa.table([[1.0], [2.0], [3.0]], names=["x", "key", "key"]), extra="ignore").rejects


def test_a_tensor_model_takes_no_table():
    """A model that was logged with an array has no columns to look for; the sentence says how to log it."""
    model = Contract.read(infer_signature(np.zeros((2, 3)), np.zeros(2)).to_dict())
    with pytest.raises(SignatureError, match="DataFrame as input_example"):
        model.check(pa.table({"0": [1.0]}))


@pytest.mark.parametrize("kind", ["string", "double", "datetime", "binary"])
def test_text_that_is_no_utf_8_is_a_reject(kind):
    """Parquet files with broken text exist; such a value refuses its row, not the whole run."""
    broken = pa.array([b"2026-01-01", b"\xff\xfe"]).view(pa.string())
    checked = one(kind).check(pa.table({"x": broken}))
    assert (1 in [reject.row for reject in checked.rejects]) is (kind != "binary")
    assert kind not in ("string", "datetime") or checked.accepted.tolist() == [0]


def test_rows_of_a_table_are_the_models_to_write():
    """Some estimators write into what they are given; what Arrow lends is read-only, so they get their own."""
    model = contract(ColSpec("double", "x"), ColSpec("long", "n"), ColSpec("datetime", "t"), ColSpec("float", "f"))
    frame = pd.DataFrame({"x": [1.0], "n": [1], "t": pd.to_datetime(["2026"]), "f": np.ones(1, "float32")})
    table = pa.Table.from_pandas(frame)
    checked = model.check(table)
    for values in checked.rows.columns.values():
        assert values.flags.writeable
        values[:] = values[:1]
    assert table.equals(pa.Table.from_pandas(frame))


def test_a_data_frame_of_many_types_is_its_own_good_table():
    """What a model was trained on passes its own contract: categories, gaps, dates and pandas' own dtypes."""
    frame = pd.DataFrame(
        {
            "c": pd.Categorical(["a", "b", "a"]),
            "i": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "s": pd.array(["x", None, "z"], dtype="string"),
            "t": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "f": np.array([1, np.nan, 3], dtype="float32"),
            "l": [[1.5], [], [2.5, 3.5]],
        }
    )
    model = Contract.read(infer_signature(frame, np.zeros(3)).to_dict())
    checked = model.check(pa.Table.from_pandas(frame))
    assert not checked.rejects
    assert checked.rows.columns["i"].tolist()[::2] == [1.0, 3.0]
    assert checked.rows.columns["c"].tolist() == ["a", "b", "a"]
    assert checked.rows.columns["b"].tolist() == [True, None, False]


@pytest.mark.parametrize("name", ["", "rows", "a.b", 'say "x"', "naïve 🦆", "x" * 5_000, "0"])
def test_odd_names_are_columns_like_any_other(name):
    """No name of a column is special in a table either."""
    model = contract(ColSpec("string", name), ColSpec("string", "y"))
    checked = model.check(pa.table({name: ["v", None], "y": ["w", "w"]}))
    assert [(reject.row, reject.column, reject.rule) for reject in checked.rejects] == [(1, name, "missing")]


def test_columns_without_names_are_found_by_position():
    """A signature without names calls its columns "0", "1" and on in tables."""
    model = contract(ColSpec("double"), ColSpec("string"))
    checked = model.check(pa.table({"1": ["a"], "0": [1.5]}))
    assert checked.rows.columns["0"].tolist() == [1.5]


def test_five_hundred_columns_are_checked_by_column():
    """A wide table gives one array a column and names the one bad value in it."""
    names = [f"column {number}" for number in range(500)]
    model = contract(*(ColSpec("long", name) for name in names))
    table = pa.table({name: [1, None] if name == "column 321" else [1, 2] for name in reversed(names)})
    checked = model.check(table)
    assert [(reject.row, reject.column) for reject in checked.rejects] == [(1, "column 321")]
    assert list(checked.rows.columns) == names
