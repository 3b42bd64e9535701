"""Models that take an array: rows are nested lists, and a bad place is named by its index."""

import math

import numpy as np
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import Schema, TensorSpec

from trifold.contract import tensors
from trifold.contract.contract import Contract
from trifold.errors import Reject
from trifold.online.body import decode
from trifold.rows import Rows

LIMITS = {
    **{name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("int8", "int16", "int32", "int64")},
    **{name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("uint8", "uint16", "uint32", "uint64")},
}
LARGEST = {name: float(np.finfo(name).max) for name in ("float16", "float32", "float64")}


def contract(dtype, *shape):
    """The contract of a model whose input has this type and shape of a row."""
    return Contract.read(ModelSignature(Schema([TensorSpec(np.dtype(dtype), (-1, *shape))])).to_dict())


@pytest.mark.parametrize("dtype", [*LIMITS, *LARGEST, "bool", "str"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (1, 2, 3)])
def test_an_array_of_the_models_type_comes_back_from_json(dtype, shape):
    """What the model was trained on, sent as nested lists, is the same array again, bit for bit."""
    random = np.random.default_rng(0)
    array = (random.normal(size=(4, *shape)) * 50).astype(dtype)
    model = Contract.read(infer_signature(array, np.zeros(4)).to_dict())
    checked = model.check_rows(array.tolist())
    assert not checked.rejects
    assert checked.rows.matrix.shape == array.shape
    assert checked.rows.matrix.dtype == (object if dtype == "str" else array.dtype)
    assert checked.rows.matrix.tolist() == array.tolist()
    assert model.to_rows(checked.rows) == array.tolist()


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("beside", [[], [None]], ids=["alone", "beside a bad row"])
def test_integers_have_the_limits_of_their_type(dtype, beside):
    """The least and the largest value are accepted, the next ones refused, on the fast path and on the slow one."""
    low, high = LIMITS[dtype]
    model = contract(dtype, 1)
    assert model.check_rows([[low], [high], *beside]).rows.matrix.tolist() == [[low], [high]]
    rejects = [reject for reject in model.check_rows([[low - 1], [high + 1], *beside]).rejects if reject.row < 2]
    words = f"a whole number from {low} to {high}"
    assert rejects == [
        Reject(0, "[0]", "out_of_range", words, str(low - 1)),
        Reject(1, "[0]", "out_of_range", words, str(high + 1)),
    ]


@pytest.mark.parametrize("dtype", LARGEST)
def test_floats_never_become_infinite(dtype):
    """A number past a float16's or float32's range is refused; numpy would make it infinite without a word."""
    largest = LARGEST[dtype]
    model = contract(dtype, 1)
    assert model.check_rows([[largest], [-largest]]).rows.matrix.tolist() == [[largest], [-largest]]
    checked = model.check_rows([[10**309], [-(10**400)], *([[largest * 1.01]] if dtype != "float64" else [])])
    assert {reject.rule for reject in checked.rejects} == {"out_of_range"}
    assert len(checked.accepted) == 0


@pytest.mark.parametrize("dtype", [*LIMITS, *LARGEST])
def test_nan_and_infinity_are_refused_as_such(dtype):
    """JSON that Python or JavaScript wrote carelessly is answered with the place and the token."""
    rows = decode(b'{"rows": [[1, 2], [1, NaN], [-Infinity, 1], [1, 1e400]]}').rows
    checked = contract(dtype, 2).check_rows(rows)
    assert [(reject.row, reject.column, reject.rule, reject.got) for reject in checked.rejects] == [
        (1, "[1]", "not_finite", "NaN"),
        (2, "[0]", "not_finite", "-Infinity"),
        (3, "[1]", "not_finite", "1e400"),
    ]
    assert [r.rule for r in contract(dtype, 1).check_rows([[math.nan], [math.inf]]).rejects] == ["not_finite"] * 2


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        *[(dtype, value, "a number") for dtype in ("float64", "float32", "float16") for value in ("1", True, {}, [1])],
        *[(dtype, value, "a whole number") for dtype in ("int64", "uint8") for value in ("1", True, 1.5, [1])],
        *[("bool", value, "true or false") for value in (0, 1.0, "true", [True])],
        *[("str", value, "a string") for value in (0, 1.0, True, ["a"])],
        ("str", "\ud83e", "a string without lone surrogates"),
    ],
)
def test_a_value_of_another_type_is_refused(dtype, value, expected):
    """The types are as strict as those of columns."""
    good = {"b": True, "U": "a"}.get(np.dtype(dtype).kind, 1)
    checked = contract(dtype, 2, 2).check_rows([[[good, good], [good, value]], [[good, good], [good, good]]])
    assert [(r.row, r.column, r.rule, r.expected) for r in checked.rejects] == [(0, "[1][1]", "type", expected)]
    assert checked.accepted.tolist() == [1]


@pytest.mark.parametrize("dtype", LARGEST)
def test_null_in_an_array_of_floats_is_nan(dtype):
    """A model of arrays that takes NaN can be sent one, and NaN's refusal says how (MLServer's issue 1154)."""
    found = contract(dtype, 2).check_rows([[1.5, None], [None, None], [2.5, 3.5]]).rows.matrix
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array([[1.5, np.nan], [np.nan, np.nan], [2.5, 3.5]], dtype))
    again = contract(dtype, 2).to_rows(Rows(matrix=found))
    assert again == [[1.5, None], [None, None], [2.5, 3.5]]
    reject = contract(dtype, 2).check_rows([[None, math.nan]]).rejects[0]
    assert (reject.column, reject.rule) == ("[1]", "not_finite")
    assert reject.expected == "a finite number, or null where it is missing"


@pytest.mark.parametrize("dtype", [*LIMITS, "bool", "str"])
def test_null_is_a_missing_value(dtype):
    """An array of anything but floats has no optional places."""
    assert contract(dtype, 1).check_rows([[None]]).rejects[0].rule == "missing"
    assert contract(dtype).check_rows([None]).rejects[0] == Reject(
        0, None, "missing", contract(dtype).check_rows([{}]).rejects[0].expected, "null"
    )


@pytest.mark.parametrize(
    ("row", "place", "expected", "got"),
    [
        (5, None, "a list of shape [2, 3]", "5"),
        ({}, None, "a list of shape [2, 3]", "an object of 0 names"),
        ([], None, "a list of shape [2, 3]", "a list of 0 items"),
        ([[1, 2, 3]], None, "a list of shape [2, 3]", "a list of 1 items"),
        ([[1, 2, 3], 4], "[1]", "a list of shape [3]", "4"),
        ([[1, 2, 3], [1, 2]], "[1]", "a list of shape [3]", "a list of 2 items"),
        ([[1, 2, 3], [1, 2, 3], [1, 2, 3]], None, "a list of shape [2, 3]", "a list of 3 items"),
        ([[1, 2, 3], [1, 2, [3]]], "[1][2]", "a number", "a list of 1 items"),
    ],
)
def test_another_shape_is_refused_at_its_place(row, place, expected, got):
    """The first place where a list has another length, or is none, is named; so is what would fit there."""
    good = [[1, 2, 3], [4, 5, 6]]
    checked = contract("float64", 2, 3).check_rows([good, row, good])
    rule = "type" if expected == "a number" else "shape"
    assert checked.rejects == (Reject(1, place, rule, expected, got),)
    assert checked.accepted.tolist() == [0, 2]
    assert checked.rows.matrix.tolist() == [good, good]


def test_whole_numbers_with_a_point_are_whole_in_integer_tensors():
    """3.0 is a whole number, as JSON Schema says; 3.5 is none."""
    assert contract("uint8", 2).check_rows([[3.0, 255.0]]).rows.matrix.tolist() == [[3, 255]]


def test_a_text_of_any_length_fits():
    """The model sees the whole text, whatever the length of its neighbours; numpy's own text types would cut."""
    rows = [["a", "b" * 100_000], ["c" * 7, "d"]]
    assert contract("str", 2).check_rows(rows).rows.matrix.tolist() == rows


def test_no_rows_are_an_empty_array():
    """An empty batch has the array's shape with no rows."""
    checked = contract("float32", 2, 3).check_rows([])
    assert checked.rows.matrix.shape == (0, 2, 3)
    assert contract("float32", 2, 3).to_rows(checked.rows) == []


def test_one_bad_pixel_costs_one_slow_row(monkeypatch):
    """A bad row among many images is found without reading each of the others pixel by pixel."""
    calls, read_level = [], tensors._read_level
    monkeypatch.setattr(tensors, "_read_level", lambda *place: calls.append(1) or read_level(*place))
    image = np.zeros((64, 64)).tolist()
    bad = np.zeros((64, 64)).tolist()
    bad[63][63] = "white"
    checked = contract("float32", 64, 64).check_rows([*[image] * 20, bad])
    assert [(reject.row, reject.column) for reject in checked.rejects] == [(20, "[63][63]")]
    assert len(checked.rows) == 20
    assert len(calls) == 1 + 64 + 64 * 64
