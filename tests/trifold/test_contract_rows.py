"""The contract's door for decoded JSON: what is accepted, what is refused, and in which words."""

import math

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import Array

from trifold.contract.contract import Contract
from trifold.errors import Reject
from trifold.online.body import decode

ODD_NAMES = [
    "",
    " ",
    "rows",
    "params",
    "a.b",
    'say "x"',
    "naïve 🦆",
    "x" * 5_000,
    "0",
    "null",
    "\n\t",
    "__class__",
    "\\",
]


def contract(*columns):
    """The contract of a model with these columns."""
    return Contract.read(ModelSignature(Schema(list(columns))).to_dict())


MIXED = contract(
    ColSpec("double", "charge"),
    ColSpec("long", "months", required=False),
    ColSpec("string", "plan"),
    ColSpec("boolean", "active", required=False),
    ColSpec("datetime", "since", required=False),
)
GOOD = {"charge": 1.5, "months": 3, "plan": "basic", "active": True, "since": "2026-01-01T00:00:00Z"}


def test_good_rows_become_columns():
    """Rows come out as one array a column, in the contract's order whatever the order of names in a row."""
    checked = MIXED.check_rows([GOOD, dict(reversed(GOOD.items()))])
    assert checked.rejects == ()
    assert checked.accepted.tolist() == [0, 1]
    assert list(checked.rows.columns) == list(GOOD)
    assert [array.tolist() for array in checked.rows.columns.values()][:4] == [
        [1.5, 1.5],
        [3.0, 3.0],
        ["basic", "basic"],
        [True, True],
    ]


def test_columns_of_doubles_become_one_matrix():
    """The hot path gives what numpy gives: a float64 matrix, whole numbers among the values or not."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 20)), columns=[f"c{i}" for i in range(20)])
    wide = Contract.read(infer_signature(frame, np.zeros(50)).to_dict())
    rows = frame.to_dict("records")
    assert wide.check_rows(rows).rows.matrix.tobytes() == frame.to_numpy().tobytes()
    assert wide.check_rows([row | {"c3": 7} for row in rows]).rows.matrix[:, 3].tolist() == [7.0] * 50


@pytest.mark.parametrize(
    ("change", "column", "rule", "expected", "got"),
    [
        ({"charge": "1.5"}, "charge", "type", "a number", '"1.5"'),
        ({"charge": True}, "charge", "type", "a number", "true"),
        ({"charge": None}, "charge", "missing", "a number", "null"),
        ({"charge": [1, 2]}, "charge", "type", "a number", "a list of 2 items"),
        ({"charge": {"a": 1}}, "charge", "type", "a number", "an object of 1 names"),
        ({"charge": math.nan}, "charge", "not_finite", "a finite number", "NaN"),
        ({"charge": -math.inf}, "charge", "not_finite", "a finite number", "-Infinity"),
        ({"months": 2**53 + 1}, "months", "out_of_range", "a whole number from -9007199254740992 to 9007199254740992",
         "9007199254740993"),
        ({"months": 1.5}, "months", "type", "a whole number", "1.5"),
        ({"plan": 7}, "plan", "type", "a string", "7"),
        ({"plan": None}, "plan", "missing", "a string", "null"),
        ({"active": 1}, "active", "type", "true or false", "1"),
        ({"since": "now"}, "since", "type", "a time such as 2026-11-23T08:00:00Z", '"now"'),
        ({"Plan": "basic"}, "Plan", "unknown_column", "one of charge, months, plan, active, since", '"basic"'),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_and_its_neighbours_pass(change, column, rule, expected, got):
    """A reject names row, column, rule, what was expected and what came; the rows around it are accepted."""
    checked = MIXED.check_rows([GOOD, GOOD | change, GOOD])
    assert checked.rejects == (Reject(1, column, rule, expected, got),)
    assert checked.accepted.tolist() == [0, 2]
    assert checked.rows.columns["plan"].tolist() == ["basic", "basic"]


@pytest.mark.parametrize("name", ["charge", "plan"])
def test_a_lacking_required_column_is_refused(name):
    """A required column that is absent is another mistake than one that is null, and is said to be."""
    row = {column: value for column, value in GOOD.items() if column != name}
    reject = MIXED.check_rows([row]).rejects[0]
    assert (reject.column, reject.rule, reject.got) == (name, "missing_column", "nothing")


def test_a_lacking_optional_column_is_a_missing_value():
    """An optional column may be left out, in some rows or in all; that is the same as null."""
    short = {"charge": 1.5, "plan": "basic"}
    checked = MIXED.check_rows([short, GOOD, GOOD | {"months": None, "active": None, "since": None}])
    assert not checked.rejects
    assert np.isnan(checked.rows.columns["months"]).tolist() == [True, False, True]
    assert checked.rows.columns["active"].tolist() == [None, True, None]
    assert np.isnat(checked.rows.columns["since"]).tolist() == [True, False, True]


def test_categories_never_seen_are_accepted():
    """Whether a new plan can be scored is the model's own decision (OneHotEncoder's handle_unknown), not ours."""
    assert not MIXED.check_rows([GOOD | {"plan": "launched yesterday"}]).rejects


def test_every_reason_of_a_row_is_given_in_the_contracts_order():
    """One answer is enough to mend a row: all its bad columns are named, then unknown ones as they stand in the row."""
    row = {"zebra": 1, "plan": 7, "charge": None, "ape": 2, "Zoo": 3}
    rejects = MIXED.check_rows([GOOD, row]).rejects
    assert [reject.column for reject in rejects] == ["charge", "plan", "zebra", "ape", "Zoo"]
    assert {reject.row for reject in rejects} == {1}


def test_extra_columns_are_ignored_where_asked():
    """A stream's event carries more than the model's columns; these neither matter nor sink the row."""
    rows = [GOOD | {"context": {"deep": [1, 2]}}, GOOD]
    assert not MIXED.check_rows(rows, extra="ignore").rejects
    assert [reject.rule for reject in MIXED.check_rows(rows).rejects] == ["unknown_column"]
    doubles = contract(ColSpec("double", "x"))
    assert doubles.check_rows([{"x": 1.0, "key": "k"}], extra="ignore").rows.matrix.tolist() == [[1.0]]


@pytest.mark.parametrize("extra", ["refuse", "ignore"])
@pytest.mark.parametrize("name", ["x", "other"])
def test_a_column_that_stands_twice_is_refused(extra, name):
    """Readers of JSON disagree which of two values counts, so neither is taken, of whatever column."""
    body = decode(b'{"rows": [{"x": 1.0}, {"x": 1.0, "%b": 2, "%b": 3}]}' % (name.encode(), name.encode()))
    rejects = contract(ColSpec("double", "x")).check_rows(body.rows, extra).rejects
    assert Reject(1, name, "duplicate_column", "each column once", "it twice") in rejects
    assert {reject.row for reject in rejects} == {1}


@pytest.mark.parametrize(
    ("token", "rule", "got"),
    [
        ("NaN", "not_finite", "NaN"),
        ("Infinity", "not_finite", "Infinity"),
        ("-Infinity", "not_finite", "-Infinity"),
        ("1e400", "not_finite", "1e400"),
        ("-1E+999", "not_finite", "-1E+999"),
        ("1" + "0" * 350, "out_of_range", "1" + "0" * 198 + "…"),
        ("9" * 5_000, "not_finite", "9" * 50 + "…"),
    ],
)
def test_numbers_that_no_double_holds_are_refused_as_they_were_sent(token, rule, got):
    """The answer shows what stands in the request, so that it can be found there."""
    body = decode(b'{"rows": [{"x": 1.0}, {"x": %b}]}' % token.encode())
    reject = contract(ColSpec("double", "x")).check_rows(body.rows).rejects[0]
    assert (reject.row, reject.column, reject.rule, reject.got) == (1, "x", rule, got)


@pytest.mark.parametrize("kind", ["integer", "long", "float"])
def test_numbers_that_are_not_finite_have_one_rule_in_all_number_columns(kind):
    """NaN in a whole-number column is refused for being NaN."""
    body = decode(b'{"rows": [{"x": NaN}, {"x": 1e999}]}')
    assert [reject.rule for reject in contract(ColSpec(kind, "x")).check_rows(body.rows).rejects] == ["not_finite"] * 2


@pytest.mark.parametrize("row", [None, 5, 1.5, True, "charge", [1.5, 3, "basic"], [], float("nan")])
def test_what_is_no_object_is_refused_as_a_row(row):
    """A row of another shape is one reject with no column, not one for each column."""
    checked = MIXED.check_rows([GOOD, row])
    assert [(reject.row, reject.column, reject.rule) for reject in checked.rejects] == [(1, None, "row")]
    assert checked.rejects[0].expected == "an object of columns"
    assert checked.accepted.tolist() == [0]


def test_an_empty_row_lacks_every_required_column():
    """`{}` is a row: it is told which columns to add."""
    assert [reject.column for reject in MIXED.check_rows([{}]).rejects] == ["charge", "plan"]


@pytest.mark.parametrize("model", [MIXED, contract(ColSpec("double", "x")), contract(ColSpec("double"))])
def test_no_rows_are_no_rejects(model):
    """A batch run of a slot without rows is a run like any other."""
    checked = model.check_rows([])
    assert (len(checked.rows), len(checked.accepted), checked.rejects) == (0, 0, ())
    assert model.to_rows(checked.rows) == []


def test_rows_that_are_all_refused_leave_empty_columns():
    """What is left of a request of bad rows has the right columns and no rows."""
    checked = MIXED.check_rows([{}, None])
    assert len(checked.rows) == 0
    assert [len(array) for array in checked.rows.columns.values()] == [0] * 5


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("kind", ["double", "string"])
def test_odd_names_are_columns_like_any_other(name, kind):
    """No name is special: not the request's own, not an empty one, not one of 5,000 letters."""
    model = contract(ColSpec(kind, name), ColSpec(kind, "y"))
    value = 1.5 if kind == "double" else "v"
    assert not model.check_rows([{name: value, "y": value}]).rejects
    rejects = model.check_rows([{name: [], "y": value}, {"y": value}]).rejects
    assert [(reject.column, reject.rule) for reject in rejects] == [(name, "type"), (name, "missing_column")]


def test_half_a_surrogate_pair_never_reaches_model_or_answer():
    """A string that UTF-8 cannot carry would fail in the log, the table or the answer: it is refused here."""
    rejects = MIXED.check_rows([GOOD | {"plan": "\ud83e"}, GOOD | {"\ud83e": 1}]).rejects
    assert [(reject.column, reject.rule, reject.got) for reject in rejects] == [
        ("plan", "type", '"?"'),
        ("?", "unknown_column", "1"),
    ]


def test_what_came_is_cut_to_200_characters():
    """A megabyte in a wrong place is no megabyte in the answer."""
    reject = MIXED.check_rows([GOOD | {"charge": "x" * 1_000_000}]).rejects[0]
    assert len(reject.got) == 200
    assert reject.got.endswith("x…")


def test_the_list_of_known_columns_is_cut():
    """An unknown column among 500 is answered with some of the known ones."""
    wide = contract(*(ColSpec("long", f"column {number}") for number in range(500)))
    row = dict.fromkeys(wide.signature.names, 1)
    assert not wide.check_rows([row] * 3).rejects
    reject = wide.check_rows([row | {"column 500": 1}]).rejects[0]
    assert reject.column == "column 500"
    assert len(reject.expected) == 500


def test_columns_without_names_come_as_a_list():
    """A signature without names takes rows as lists; errors call a column by its position."""
    model = contract(ColSpec("double"), ColSpec("string"))
    checked = model.check_rows([[1.5, "a"], ["1.5", "a"], [1.5], {"0": 1.5, "1": "a"}, "a"])
    assert checked.accepted.tolist() == [0]
    assert [(reject.row, reject.column, reject.rule) for reject in checked.rejects] == [
        (1, "0", "type"),
        (2, None, "row"),
        (3, None, "row"),
        (4, None, "row"),
    ]
    assert checked.rejects[1].expected == "a list of 2 values"


@pytest.mark.parametrize("rows", [["a", "b"], [["a"], ["b"]], [["a"], "b"]])
def test_one_column_without_a_name_comes_as_values_or_lists(rows):
    """A text model's rows may be plain strings."""
    model = Contract.read(infer_signature(["x", "y"], np.zeros(2)).to_dict())
    assert model.check_rows(rows).rows.columns["0"].tolist() == ["a", "b"]


def test_lists_become_arrays_of_their_items_type():
    """A column of lists gives the model an array a row, of the items' type; of lists of lists, arrays of arrays."""
    model = contract(ColSpec(Array("float"), "f"), ColSpec(Array(Array("long")), "n", required=False))
    checked = model.check_rows([{"f": [1, 2.5], "n": [[1], [], [2, 2**60]]}, {"f": [], "n": []}, {"f": [0.5]}])
    assert not checked.rejects
    assert [array.dtype for array in checked.rows.columns["f"]] == ["float32"] * 3
    first, empty, missing = checked.rows.columns["n"]
    assert [inner.tolist() for inner in first] == [[1], [], [2, 2**60]]
    assert [inner.dtype for inner in first] == ["int64"] * 3
    assert (empty.dtype, len(empty), missing) == (object, 0, None)


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        (1, "type", "a list"),
        ({"a": 1}, "type", "a list"),
        ([1, "2"], "type", "a whole number"),
        ([1, None], "type", "a whole number"),
        ([[1]], "type", "a whole number"),
        ([math.nan], "not_finite", "a whole number"),
        ([2**31], "out_of_range", "a whole number from -2147483648 to 2147483647"),
        (None, "missing", "a list, each a whole number"),
    ],
)
def test_a_bad_item_of_a_list_is_refused(value, rule, expected):
    """One bad item refuses the row, by the rules of the items' type."""
    reject = contract(ColSpec(Array("integer"), "x")).check_rows([{"x": value}]).rejects[0]
    assert (reject.column, reject.rule, reject.expected) == ("x", rule, expected)


@pytest.mark.parametrize("kind", ["double", "float", "long", "integer", "string", "boolean"])
def test_one_odd_value_changes_nothing_for_its_neighbours(kind):
    """A column is read as a whole or value by value; the model cannot tell which."""
    plain = {"double": 0.1, "float": 0.1, "long": 2**62, "integer": -7, "string": "é", "boolean": True}[kind]
    model = contract(ColSpec(kind, "x"))
    alone = model.check_rows([{"x": plain}] * 3).rows
    beside = model.check_rows([{"x": plain}, {"x": plain}, {"x": []}, {"x": plain}]).rows
    arrays = [rows.matrix if rows.columns is None else rows.columns["x"] for rows in (alone, beside)]
    assert arrays[0].dtype == arrays[1].dtype
    assert arrays[0].tolist() == arrays[1].tolist()
