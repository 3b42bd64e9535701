"""The table of types: MLflow's name, JSON, Arrow and numpy, for every type that MLflow has."""

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from trifold.contract.contract import Contract
from trifold.contract.readers import EXACT_FLOAT, Invalid
from trifold.contract.types import TYPES

NAMES = [kind.name for kind in DataType]
FLOAT32_MAX = float(np.finfo("float32").max)
FLOAT64_MAX = float(np.finfo("float64").max)
LAST_TIME, FIRST_TIME = "2262-04-11T23:47:16.854775807Z", "1677-09-21T00:12:43.145224193Z"

# By MLflow's name: Arrow, JSON schema, numpy of an optional column, and what says missing in it.
TABLE = {
    "boolean": (pa.bool_(), "boolean", "object", None),
    "integer": (pa.int32(), "integer", "float64", math.nan),
    "long": (pa.int64(), "integer", "float64", math.nan),
    "float": (pa.float32(), "number", "float32", math.nan),
    "double": (pa.float64(), "number", "float64", math.nan),
    "string": (pa.string(), "string", "object", math.nan),
    "binary": (pa.binary(), "string", "object", None),
    "datetime": (pa.timestamp("ns"), "string", "datetime64[ns]", np.datetime64("NaT", "ns")),
}

ACCEPTED = [
    ("boolean", True, True),
    ("boolean", False, False),
    ("integer", 2**31 - 1, 2**31 - 1),
    ("integer", -(2**31), -(2**31)),
    ("integer", 3.0, 3),
    ("integer", -0.0, 0),
    ("long", 2**63 - 1, 2**63 - 1),
    ("long", -(2**63), -(2**63)),
    ("long", float(EXACT_FLOAT - 1), EXACT_FLOAT - 1),
    ("float", 3, 3.0),
    ("float", FLOAT32_MAX, FLOAT32_MAX),
    ("float", -FLOAT32_MAX, -FLOAT32_MAX),
    ("double", 2**70, 2.0**70),
    ("double", FLOAT64_MAX, FLOAT64_MAX),
    ("double", 5e-324, 5e-324),
    ("string", "", ""),
    ("string", "zażółć \0 🦆", "zażółć \0 🦆"),
    ("binary", "", b""),
    ("binary", "AP8=", b"\x00\xff"),
    ("datetime", "2026-11-23T08:00:00Z", np.datetime64("2026-11-23T08:00:00", "ns")),
    ("datetime", "2026-11-23t08:00:00z", np.datetime64("2026-11-23T08:00:00", "ns")),
    ("datetime", "2026-11-23 08:00", np.datetime64("2026-11-23T08:00:00", "ns")),
    ("datetime", "2026-11-23", np.datetime64("2026-11-23", "ns")),
    ("datetime", "2026-11-23T08:00:00+02:00", np.datetime64("2026-11-23T06:00:00", "ns")),
    ("datetime", "2026-01-01T00:30:00-0130", np.datetime64("2026-01-01T02:00:00", "ns")),
    ("datetime", "2026-11-23T08:00:00.5Z", np.datetime64("2026-11-23T08:00:00.5", "ns")),
    ("datetime", "2026-11-23T08:00:00.123456789", np.datetime64("2026-11-23T08:00:00.123456789", "ns")),
    ("datetime", LAST_TIME, np.datetime64(2**63 - 1, "ns")),
    ("datetime", FIRST_TIME, np.datetime64(1 - 2**63, "ns")),
]

WHOLE, TIME = "a whole number", "a time such as 2026-11-23T08:00:00Z"
INT32, INT64 = f"{WHOLE} from -2147483648 to 2147483647", f"{WHOLE} from -9223372036854775808 to 9223372036854775807"
TIMES = "a time from 1677-09-21T00:12:44Z to 2262-04-11T23:47:16Z"
FINITE = "a finite number, or null where it is missing"
REFUSED = [
    *[("boolean", value, "type", "true or false") for value in (0, 1, 1.0, "true", [], {})],
    *[("integer", value, "type", WHOLE) for value in (True, "3", 3.5, 2.0**31 + 0.5, [3], {})],
    *[("long", value, "type", WHOLE) for value in (False, "3", 0.1, "")],
    *[(name, value, "not_finite", WHOLE) for name in ("integer", "long") for value in (math.nan, math.inf, -math.inf)],
    *[("integer", value, "out_of_range", INT32) for value in (2**31, -(2**31) - 1, 2.0**31, 1e300, 10**400)],
    *[("long", value, "out_of_range", INT64) for value in (2**63, -(2**63) - 1, 2.0**63, 1e300, 10**400)],
    *[(name, value, "type", "a number") for name in ("float", "double") for value in (True, "1.5", "", [1.5], {})],
    *[(name, value, "not_finite", FINITE) for name in ("float", "double") for value in (math.nan, math.inf, -math.inf)],
    *[
        ("float", value, "out_of_range", "a number from -3.40282e+38 to 3.40282e+38")
        for value in (3.5e38, -1e39, 10**39)
    ],
    *[
        ("double", value, "out_of_range", "a number from -1.79769e+308 to 1.79769e+308")
        for value in (10**309, -(10**400))
    ],
    *[("string", value, "type", "a string") for value in (1, 1.5, True, ["a"], {})],
    ("string", "half a pair: \ud83e", "type", "a string without lone surrogates"),
    *[
        ("binary", value, "type", "a string in base64")
        for value in (1, True, "AP8", "A", "!!!!", "żółć", "AP8=AP8=", [])
    ],
    *[("datetime", value, "type", TIME) for value in (1764000000, 1.5, True, "", "today", "08:00:00", "20261123", [])],
    *[
        ("datetime", f"2026-{text}", "type", TIME)
        for text in (
            "13-01",
            "02-30",
            "11-23T24:00:00",
            "11-23T08:60",
            "11-23x08:00",
            "11-23T08",
            "11-23-05:00",
            "W01-1",
        )
    ],
    ("datetime", "2026-11-23T08:00:00.1234567891", "type", TIME),
    ("datetime", "２０２６-11-23", "type", TIME),
    *[
        ("datetime", text, "out_of_range", TIMES)
        for text in ("2262-04-11T23:47:16.854775808Z", "1677-09-21T00:12:43.145224192Z", "9999-12-31T23:59:59-01:00")
    ],
    *[
        ("datetime", text, "out_of_range", TIMES)
        for text in ("0001-01-01T00:00:00+01:00", "0000-01-01", "+12026-01-01")
    ],
]


def contract(kind, required):
    """The contract of a model with one column."""
    return Contract.read(ModelSignature(Schema([ColSpec(kind, "x", required)])).to_dict())


def array(checked):
    """The one column's array, of rows that are all accepted."""
    assert not checked.rejects
    return checked.rows.matrix[:, 0] if checked.rows.columns is None else checked.rows.columns["x"]


def test_every_type_of_mlflow_has_a_row():
    """A type that a later MLflow adds fails here, not in a deployment."""
    assert list(TYPES) == NAMES == list(TABLE)


@pytest.mark.parametrize("name", NAMES)
def test_arrow_and_json_types_are_those_of_the_table(name):
    """The table's names are real ones: Arrow makes a type of it, JSON Schema takes the schema."""
    arrow, json_type, _, _ = TABLE[name]
    assert pa.type_for_alias(TYPES[name].arrow) == arrow
    assert TYPES[name].schema["type"] == json_type
    Draft202012Validator.check_schema(TYPES[name].schema)


@pytest.mark.parametrize(
    ("name", "value", "wanted"), [case for case in ACCEPTED if case[1] not in (2**63 - 1, -(2**63))]
)
@pytest.mark.parametrize("required", [True, False])
def test_values_of_the_type_are_accepted(name, value, wanted, required):
    """A value that the type can hold reaches the model as that value and in the column's own numpy type."""
    found = array(contract(name, required).check_rows([{"x": value}]))
    of_mlflow = DataType[name].to_numpy()
    dtype = (object if of_mlflow.kind in "US" else of_mlflow) if required else TABLE[name][2]
    assert found.dtype == dtype
    assert found[0] == np.asarray(wanted, dtype=dtype)[()]


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), EXACT_FLOAT + 1])
def test_integers_past_doubles_are_taken_where_they_are_required(value):
    """A required long keeps all 64 bits; an optional one is a double, so more is refused, not rounded."""
    assert array(contract("long", True).check_rows([{"x": value}]))[0] == value
    reject = contract("long", False).check_rows([{"x": value}]).rejects[0]
    assert (reject.rule, reject.got) == ("out_of_range", str(value))
    assert reject.expected == "a whole number from -9007199254740992 to 9007199254740992"


@pytest.mark.parametrize("value", [EXACT_FLOAT, -EXACT_FLOAT])
def test_the_largest_exact_double_is_an_optional_integer(value):
    """2**53 is the last integer that all doubles up to it hold."""
    assert array(contract("long", False).check_rows([{"x": value}]))[0] == value


@pytest.mark.parametrize("value", [2.0**53, 2.0**53 + 2, 1e17, -1e18])
def test_whole_numbers_with_a_point_from_2_53_on_are_refused(value):
    """A reader of doubles makes 9007199254740992.0 of ...993.0: the model would see another number than was sent."""
    reject = contract("long", True).check_rows([{"x": value}]).rejects[0]
    assert reject.rule == "out_of_range"
    assert reject.expected == "a whole number without a point or exponent from 9007199254740992 on"


@pytest.mark.parametrize(("name", "value", "rule", "expected"), REFUSED)
@pytest.mark.parametrize("required", [True, False])
def test_other_values_are_refused_in_words(name, value, rule, expected, required):
    """A value that the type cannot hold is refused with the rule and the words that tell what would be accepted."""
    reject = contract(name, required).check_rows([{"x": value}]).rejects[0]
    if required and expected == FINITE:  # null is none of its values
        expected = "a finite number"
    assert (reject.row, reject.column, reject.rule, reject.expected) == (0, "x", rule, expected)


@pytest.mark.parametrize("name", NAMES)
def test_null_is_refused_where_required_and_missing_where_optional(name):
    """A missing value is never a zero or an empty text for the model."""
    reject = contract(name, required=True).check_rows([{"x": None}]).rejects[0]
    assert (reject.rule, reject.expected, reject.got) == ("missing", TYPES[name].expected, "null")
    _, _, dtype, missing = TABLE[name]
    found = array(contract(name, required=False).check_rows([{"x": None}, {}]))
    assert found.dtype == dtype
    assert [repr(value) for value in found] == [repr(np.array([missing], dtype=dtype)[0])] * 2


@pytest.mark.parametrize("name", NAMES)
def test_an_optional_column_has_its_type_whatever_its_neighbours_are(name):
    """A row's prediction must not depend on whether another row of the request lacks a value."""
    values = [value for kind, value, _ in ACCEPTED if kind == name and value not in (2**63 - 1, -(2**63))]
    full = array(contract(name, required=False).check_rows([{"x": value} for value in values]))
    with_gap = array(contract(name, required=False).check_rows([{"x": value} for value in [*values, None]]))
    assert full.dtype == with_gap.dtype == np.dtype(TABLE[name][2])
    assert full.tolist() == with_gap[:-1].tolist()


@pytest.mark.parametrize(("name", "value", "wanted"), ACCEPTED)
def test_what_is_written_is_read_again(name, value, wanted):
    """The example that the page and OpenAPI show is made by writing: it must come back as the same value."""
    kind = TYPES[name]
    read = np.array([kind.read(value)], dtype=kind.numpy)[0]
    again = np.array([kind.read(kind.write(read))], dtype=kind.numpy)[0]
    assert again == read == np.array([wanted], dtype=kind.numpy)[0]


@pytest.mark.parametrize(("name", "value", "wanted"), ACCEPTED)
def test_arrow_columns_of_the_type_give_the_same_array(name, value, wanted):
    """A batch job reads the same value from a table as the service does from JSON."""
    kind = TYPES[name]
    column = pa.array(np.array([wanted], dtype=kind.numpy), TABLE[name][0])
    found = array(contract(name, required=True).check(pa.table({"x": column})))
    assert found.dtype == kind.numpy
    assert found.tolist() == array(contract(name, required=True).check_rows([{"x": value}])).tolist()


@given(st.integers(1 - 2**63, 2**63 - 1))
def test_times_are_written_and_read_to_the_nanosecond(nanoseconds):
    """A time that a model was trained on keeps its last digit on the way through JSON."""
    moment = np.datetime64(nanoseconds, "ns")
    assert TYPES["datetime"].read(TYPES["datetime"].write(moment)) == moment


@given(st.datetimes(dt.datetime(1678, 1, 1), dt.datetime(2262, 1, 1), timezones=st.timezones()))
def test_times_with_an_offset_are_taken_as_utc(moment):
    """08:00+02:00 and 06:00Z are one instant, as Python's own datetime has it; an odd zone of 1900 is refused."""
    text = moment.isoformat()
    wanted = np.datetime64(moment.astimezone(dt.UTC).replace(tzinfo=None), "ns")
    if moment.utcoffset() % dt.timedelta(minutes=1):  # such as local mean time, +00:19:32, which RFC 3339 lacks
        with pytest.raises(Invalid):
            TYPES["datetime"].read(text)
    else:
        assert TYPES["datetime"].read(text) == wanted
