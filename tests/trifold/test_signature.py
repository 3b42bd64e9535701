"""MLflow's signatures, as MLflow itself writes them, read without MLflow."""

import json

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property, SparkMLVector

from trifold.contract.contract import Contract
from trifold.contract.profile import Profile
from trifold.contract.signature import Tensor, parse
from trifold.errors import SignatureError

pytestmark = pytest.mark.filterwarnings("ignore:Hint. Inferred schema:UserWarning")


def read(*columns):
    """The signature of a model with these columns."""
    return parse(ModelSignature(Schema(list(columns))).to_dict())


@pytest.mark.parametrize("kind", [kind.name for kind in DataType])
@pytest.mark.parametrize("required", [True, False])
def test_every_type_is_read_with_its_name(kind, required):
    """A column of any of MLflow's types, required or not, is known by name and type."""
    column = read(ColSpec(kind, "x", required)).columns[0]
    assert (column.name, column.label, column.kind.name, column.required, column.depth) == ("x", "x", kind, required, 0)


@pytest.mark.parametrize(("kind", "depth"), [(Array("long"), 1), (Array(Array("string")), 2)])
def test_lists_have_a_depth(kind, depth):
    """A column of lists, or of lists of lists, is one of its items' type and of that depth."""
    assert read(ColSpec(kind, "x")).columns[0].depth == depth


def test_a_data_frame_gives_named_columns():
    """What MLflow infers of a DataFrame of mixed types is read in the frame's order; a gap makes a column optional."""
    frame = pd.DataFrame({"b": [1.5], "a": [1], "s": ["x"], "c": pd.Categorical(["y"]), "t": pd.to_datetime(["2026"])})
    frame = pd.concat([frame, frame.assign(s=None)])
    signature = parse(infer_signature(frame, np.zeros(2)).to_dict())
    assert signature.named
    assert signature.names == ("b", "a", "s", "c", "t")
    assert [column.kind.name for column in signature.columns] == ["double", "long", "string", "string", "datetime"]
    assert [column.required for column in signature.columns] == [True, True, False, True, True]


def test_labels_that_are_numbers_are_kept():
    """A DataFrame whose columns are called 0 and 1 has JSON names "0" and "1", and gives the model 0 and 1 again."""
    signature = parse(infer_signature(pd.DataFrame([[1.0, 2.0]]), np.zeros(1)).to_dict())
    assert signature.names == ("0", "1")
    assert [column.label for column in signature.columns] == [0, 1]


@pytest.mark.parametrize("name", ["", " ", "rows", "a.b", 'say "x"', "naïve 🦆", "x" * 5_000, "\n", "__class__"])
def test_odd_names_are_names(name):
    """No name of a column is special, not even those that the request itself uses."""
    assert read(ColSpec("double", name), ColSpec("double", "y")).names == (name, "y")


def test_columns_without_names_are_called_by_position():
    """A signature without names takes rows as lists; errors and tables call the columns "0", "1" and on."""
    signature = read(ColSpec("double"), ColSpec("string"))
    assert not signature.named
    assert signature.names == ("0", "1")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "int64", "uint8", "uint64", "bool", "str"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 1)])
def test_arrays_give_a_tensor(dtype, shape):
    """What MLflow infers of an array is a tensor of one row's shape."""
    signature = parse(infer_signature(np.zeros((2, *shape), dtype=dtype)).to_dict())
    assert signature.tensor == Tensor(np.dtype(dtype), shape)
    assert signature.columns == ()


def test_a_list_of_texts_is_one_column_without_a_name():
    """A text model's signature, as MLflow infers it of a list of strings."""
    signature = parse(infer_signature(["a", "b"], np.zeros(2)).to_dict())
    assert [(column.name, column.kind.name) for column in signature.columns] == [("0", "string")]


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (None, ("",)),
        (Schema([TensorSpec(np.dtype("int64"), (-1,))]), ("",)),
        (Schema([ColSpec("long", "left"), ColSpec("double", "charge")]), ("left", "charge")),
    ],
)
def test_outputs_have_names(outputs, names):
    """One output needs no name, several are listed in the signature's order."""
    signature = parse(ModelSignature(Schema([ColSpec("double", "x")]), outputs).to_dict())
    assert signature.outputs == names


@pytest.mark.parametrize(
    "kind",
    [
        AnyType(),
        Map("string"),
        Object([Property("x", "double")]),
        Array(Object([Property("x", "long")])),
        SparkMLVector(),
    ],
)
def test_types_that_scikit_learn_does_not_take_are_refused(kind):
    """A signature of a language model's or Spark's types is refused with the column's name and the types that work."""
    with pytest.raises(SignatureError, match=r"Column 'x' has type '\w+'.*use one of boolean, integer, long"):
        read(ColSpec(kind, "x"))


def test_a_type_that_mlflow_could_not_tell_says_when_that_happens():
    """'any' is what MLflow writes for a column without a value; who reads "use float" of floats is at a loss."""
    with pytest.raises(SignatureError, match="no row of the example has a value in the column"):
        read(ColSpec(AnyType(), "x"))


def test_names_of_several_levels_are_refused_with_the_line_that_makes_one():
    """A pivoted DataFrame has them; a list is no name in JSON."""
    with pytest.raises(SignatureError, match=r"map\('_'.join\)"):
        parse({"inputs": json.dumps([{"type": "double", "name": ["a", "mean"], "required": True}])})


def test_a_parameter_that_is_an_object_is_refused():
    """A parameter must be a value or a list of values."""
    params = ParamSchema([ParamSpec("p", Object([Property("x", "double")]), {"x": 1.0})])
    with pytest.raises(SignatureError, match="Parameter 'p' has type 'object'"):
        parse(ModelSignature(Schema([ColSpec("double", "x")]), params=params).to_dict())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (TensorSpec(np.dtype("float64"), (-1, 3), "x"), "an array for each column"),
        (TensorSpec(np.dtype("float64"), (3,)), "the first size must be -1"),
        (TensorSpec(np.dtype("float64"), (-1, -1)), "each other a fixed number"),
        (TensorSpec(np.dtype("float64"), (-1, 0)), "each other a fixed number"),
        (TensorSpec(np.dtype("complex128"), (-1, 3)), "complex128 cannot be sent as JSON"),
        pytest.param(
            TensorSpec(np.dtype("longdouble"), (-1, 3)),
            "cannot be sent as JSON",
            marks=pytest.mark.skipif(np.dtype("longdouble").itemsize == 8, reason="a long double is a double here"),
        ),
        (TensorSpec(np.dtype("object"), (-1, 3)), "object cannot be sent as JSON"),
        (TensorSpec(np.dtype("datetime64[ns]"), (-1, 3)), "cannot be sent as JSON"),
    ],
)
def test_tensors_without_a_fixed_form_are_refused(spec, words):
    """A tensor whose rows have no fixed shape, or whose values JSON cannot carry, is refused at check, not served."""
    with pytest.raises(SignatureError, match=words):
        read(spec)


@pytest.mark.parametrize("document", [None, {}, {"inputs": None}, {"inputs": "[]"}, {"outputs": "[]"}])
def test_a_model_without_a_signature_is_refused_with_the_fix(document):
    """The sentence says what to pass to MLflow."""
    with pytest.raises(SignatureError, match=r"input_example=X\.head\(\)"):
        parse(document)


def test_names_that_are_equal_as_text_are_refused():
    """A DataFrame with columns 1 and "1" cannot be told apart in JSON."""
    frame = pd.DataFrame([[1.0, 2.0]], columns=[1, "1"])
    with pytest.raises(SignatureError, match="same name"):
        parse(infer_signature(frame, np.zeros(1)).to_dict())


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": "no JSON"},
        {"inputs": 5},
        {"inputs": "5"},
        {"inputs": '"x"'},
        {"inputs": "[5]"},
        {"inputs": "[{}]"},
        {"inputs": '{"type": "double"}'},
        {"inputs": '[{"type": "array", "name": "x"}]'},
        {"inputs": '[{"type": ["double"], "name": "x"}]'},
        {"inputs": '[{"type": "tensor"}]'},
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float63", "shape": [-1]}}]'},
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": ["x"]}}]'},
        {"inputs": '[{"type": "double"}]', "outputs": "[5]"},
        {"inputs": '[{"type": "double"}]', "params": '[{"name": "p"}]'},
        {"inputs": '[{"type": "double"}]', "params": '[{"name": "p", "type": "datetime", "default": "soon"}]'},
        "inputs",
    ],
)
def test_a_broken_signature_is_refused_in_a_sentence(document):
    """A damaged MLmodel file is the artifact's fault and is said so; it is no failure of ours."""
    with pytest.raises(SignatureError):
        parse(document)


def test_five_hundred_columns_keep_their_order():
    """A wide table is a table."""
    names = [f"column {number}" for number in range(500)]
    assert read(*(ColSpec("double", name) for name in reversed(names))).names == tuple(reversed(names))


def test_a_contract_survives_json():
    """The running image reads from JSON, without MLflow, the very contract that the build wrote."""
    frame = pd.DataFrame({"a": [1.0], "b": [[1, 2]], 3: ["x"]})
    params = {"n": 3, "names": ["x"]}
    contract = Contract.read(infer_signature(frame, np.zeros(1), params=params).to_dict(), Profile(title="T", key="id"))
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    plain = Contract.read(contract.document)
    assert Contract.from_json(json.loads(json.dumps(plain.to_json()))) == plain
