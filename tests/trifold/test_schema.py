"""JSON schema and OpenAPI of a model: valid documents with the real columns, and the example that fits them."""

import json

import numpy as np
import openapi_spec_validator
import orjson
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array

from trifold.contract.contract import Contract
from trifold.contract.profile import Feature, Profile
from trifold.errors import RULES
from trifold.online.release import describe
from trifold.packed import Packed
from trifold.schema import openapi, row_schema

pytestmark = pytest.mark.filterwarnings("ignore:Hint. Inferred schema:UserWarning")


def contract(*columns, params=None, outputs=None, profile=None):
    """The contract of a model with these columns."""
    signature = ModelSignature(Schema(list(columns)), outputs, ParamSchema(params) if params else None)
    return Contract.read(signature.to_dict(), profile)


ALL_TYPES = contract(
    *(ColSpec(kind.name, kind.name) for kind in DataType),
    *(ColSpec(kind.name, f"optional {kind.name}", required=False) for kind in DataType),
    ColSpec(Array("double"), "list"),
    ColSpec(Array(Array("long")), "lists", required=False),
)
ROW = {
    "boolean": True,
    "integer": 1,
    "long": 2,
    "float": 0.5,
    "double": 1.5,
    "string": "a",
    "binary": "AP8=",
    "datetime": "2026-11-23T08:00:00Z",
    "list": [1, 2.5],
    "lists": [[1], []],
}
MODELS = {
    "all types": (ALL_TYPES, [ROW]),
    "unnamed": (contract(ColSpec("double"), ColSpec("string")), [[1.5, "a"]]),
    "text": (Contract.read(infer_signature(["a"], np.zeros(1)).to_dict()), ["a", ["b"]]),
    "unnamed list": (contract(ColSpec(Array("long"))), [[1, 2]]),
    "tensor": (contract(TensorSpec(np.dtype("float32"), (-1, 2, 2))), [[[1, 2], [3, 4.5]]]),
    "1-d tensor": (contract(TensorSpec(np.dtype("uint8"), (-1,))), [0, 255]),
    "text tensor": (contract(TensorSpec(np.dtype("str"), (-1, 2))), [["a", "b"]]),
    "odd names": (
        contract(ColSpec("double", ""), ColSpec("double", "a/b~c"), ColSpec("string", 'rows"\\🦆')),
        [{"": 1, "a/b~c": 2, 'rows"\\🦆': "x"}],
    ),
    "500 columns": (contract(*(ColSpec("double", f"c{i}") for i in range(500))), [{f"c{i}": i for i in range(500)}]),
}


def document(model, rows, labels=()):
    """The OpenAPI document of a model with this input example, as a client reads it."""
    packed = Packed("churn", "3", "run", "digest", "m.skops", "skops", model.to_json(), input_example=tuple(rows))
    return json.loads(orjson.dumps(openapi(model, packed, labels, {"max_rows": 1_000})))


@pytest.mark.parametrize(
    ("profile", "said", "title", "about"),
    [
        (None, "", "churn", ""),
        (None, "Of the registry.", "churn", "Of the registry."),
        ({"title": None, "description": ""}, "Of the registry.", "churn", "Of the registry."),
        ({"title": "Who leaves?", "description": "The profile's."}, "Not this.", "Who leaves?", "The profile's."),
    ],
)
def test_title_and_description_are_those_of_the_page(profile, said, title, about):
    """GET /model and the OpenAPI document have the words of the page, not those of the registry beside empty ones."""
    inner = {**ALL_TYPES.to_json(), "profile": profile}
    packed = Packed("churn", "3", "run", "digest", "m.skops", "skops", inner, description=said)
    assert (packed.title, packed.about) == (title, about)
    found = describe(packed)
    assert (found["title"], found["description"]) == (title, about)
    assert openapi(ALL_TYPES, packed, (), {"max_rows": 1})["info"] == {
        "title": title, "version": "3", "description": about,
    }  # fmt: skip


def request_schema(found):
    """The schema of the body of /predict."""
    return found["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("name", MODELS)
def test_the_document_is_valid_openapi(name):
    """Generators of clients refuse a document that is not."""
    model, rows = MODELS[name]
    found = document(model, rows, [["no", "yes"]])
    assert found["openapi"].startswith("3.1")
    openapi_spec_validator.validate(found)


@pytest.mark.parametrize("name", MODELS)
def test_the_example_fits_schema_and_contract(name):
    """What the page and the documentation show can be posted as it is, also by a client that asserts formats."""
    model, rows = MODELS[name]
    written = model.to_rows(model.check_rows(rows).rows)
    found = document(model, written)
    example = found["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert len(example["rows"]) == len(rows)
    checker = Draft202012Validator.FORMAT_CHECKER
    assert "date-time" in checker.checkers
    Draft202012Validator(request_schema(found), format_checker=checker).validate(example)
    assert not model.check_rows(example["rows"]).rejects


def test_rows_name_the_real_columns():
    """Columns, types, which are required and that there are no others: all from the signature."""
    schema = row_schema(ALL_TYPES)
    assert list(schema["properties"]) == list(ALL_TYPES.signature.names)
    assert schema["required"] == [*(kind.name for kind in DataType), "list"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["optional string"]["type"] == ["string", "null"]
    assert schema["properties"]["lists"]["items"]["items"]["type"] == "integer"


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("integer", -(2**31), 2**31 - 1),
        ("optional integer", -(2**31), 2**31 - 1),
        ("long", -(2**63), 2**63 - 1),
        ("optional long", -(2**53), 2**53),
    ],
)
def test_integers_have_their_limits(name, least, most):
    """A client can check a range before it sends; the contract has the same limits."""
    schema = row_schema(ALL_TYPES)["properties"][name]
    assert (schema["minimum"], schema["maximum"]) == (least, most)
    for value in (least, most, least - 1, most + 1):
        fits = not ALL_TYPES.check_rows([ROW | {name: value}]).rejects
        assert Draft202012Validator(schema).is_valid(value) == fits == (least <= value <= most)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float16", "float32"])
def test_tensors_have_their_limits(dtype):
    """The numbers of an array have the range of its type."""
    model = contract(TensorSpec(np.dtype(dtype), (-1,)))
    schema = row_schema(model)
    for value in (schema["minimum"], schema["maximum"], schema["minimum"] * 2 - 1, schema["maximum"] * 2 + 1):
        assert Draft202012Validator(schema).is_valid(value) == (not model.check_rows([value]).rejects)


def test_the_profile_adds_titles_units_and_choices():
    """Choices are examples and no enum, because a value that was never seen is accepted."""
    features = {"plan": Feature(title="Plan", choices=("basic", "full")), "months": Feature(unit="months", minimum=0)}
    profile = Profile(title="Who leaves?", features=features)
    model = contract(ColSpec("string", "plan"), ColSpec("long", "months"), profile=profile)
    properties = row_schema(model)["properties"]
    assert properties["plan"]["title"] == "Plan"
    assert properties["plan"]["examples"] == ["basic", "full"]
    assert properties["months"]["description"] == "in months"
    assert properties["months"]["minimum"] < 0
    row = {"plan": "new", "months": -1}
    assert Draft202012Validator(row_schema(model)).is_valid(row)
    assert not model.check_rows([row]).rejects
    found = document(model, [row])
    assert found["info"] == {"title": "Who leaves?", "version": "3", "description": ""}
    openapi_spec_validator.validate(found)


def test_parameters_stand_with_their_defaults():
    """A request's parameters are documented where the model has some, and only there."""
    params = [
        ParamSpec("n", "long", 3),
        ParamSpec("words", "string", ["a"], (-1,)),
        ParamSpec("since", "datetime", np.datetime64("2026-01-01T00:00:00")),
    ]
    schema = request_schema(document(contract(ColSpec("double", "x"), params=params), [{"x": 1}]))
    found = schema["properties"]["params"]
    assert {name: value["default"] for name, value in found["properties"].items()} == {
        "n": 3,
        "words": ["a"],
        "since": "2026-01-01T00:00:00",
    }
    assert found["properties"]["words"]["type"] == "array"
    assert found["additionalProperties"] is False
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"rows": [{"x": 1}], "params": {"n": 5}})
    assert not validator.is_valid({"rows": [{"x": 1}], "params": {"N": 5}})
    assert "params" not in request_schema(document(contract(ColSpec("double", "x")), [{"x": 1}]))["properties"]


def test_rows_are_counted_by_the_schema_too():
    """No rows, and more than the limit, are refused by the schema as by the server."""
    schema = request_schema(document(contract(ColSpec("double", "x")), [{"x": 1}]))
    validator = Draft202012Validator(schema)
    assert [validator.is_valid({"rows": [{"x": 1}] * count}) for count in (0, 1, 1_000, 1_001)] == [
        False,
        True,
        True,
        False,
    ]
    assert not validator.is_valid({"rows": [{"x": 1}], "row": []})


@pytest.mark.parametrize(
    ("labels", "answer"),
    [
        ([], {"predictions": [1.5]}),
        ([["no", "yes"]], {"predictions": ["yes"], "probabilities": [{"no": 0.25, "yes": 0.75}]}),
        ([["0", "1"], ["a"]], {"predictions": [[0, "a"]], "probabilities": [[{"0": 1.0, "1": 0.0}, {"a": 1.0}]]}),
    ],
)
def test_answers_are_described_as_they_are(labels, answer):
    """Regressors have no probabilities; several outputs have a list of them, by label."""
    found = document(contract(ColSpec("double", "x")), [{"x": 1}], labels)
    schema = found["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator(schema).validate({"model": "churn", "version": "3", **answer})
    assert ("probabilities" in schema["properties"]) == bool(labels)


def test_refusals_are_described_with_the_closed_list_of_rules():
    """A client can tell every reason apart, and a reject of the contract fits the description."""
    found = document(ALL_TYPES, [ROW])
    schema = found["paths"]["/predict"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert schema["properties"]["errors"]["items"]["properties"]["rule"]["enum"] == list(RULES)
    rejects = ALL_TYPES.check_rows([{}, None, ROW | {"x": 1}]).rejects
    errors = [{name: getattr(reject, name) for name in reject.__slots__} for reject in rejects]
    Draft202012Validator(schema).validate({"errors": errors})


def test_a_data_frames_schema_takes_its_own_rows():
    """The rows that a data scientist copies out of the training data are valid."""
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, None], "s": ["a", "b"], "t": pd.to_datetime(["2026", "2027"])})
    model = Contract.read(infer_signature(frame, np.zeros(2)).to_dict())
    rows = json.loads(frame.to_json(orient="records", date_format="iso"))
    for row in rows:
        Draft202012Validator(row_schema(model)).validate(row)
    assert not model.check_rows(rows).rejects
