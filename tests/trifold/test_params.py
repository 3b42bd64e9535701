"""Parameters of a request, with the defaults of MLflow's signature."""

import numpy as np
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from trifold.contract.contract import Contract
from trifold.errors import ParamsRefused
from trifold.online.body import decode

SPECS = [
    ParamSpec("flag", "boolean", True),
    ParamSpec("count", "integer", 3),
    ParamSpec("big", "long", 2**60),
    ParamSpec("share", "float", 0.5),
    ParamSpec("limit", "double", 1.25),
    ParamSpec("word", "string", "x"),
    ParamSpec("since", "datetime", np.datetime64("2026-01-01T00:00:00")),
    ParamSpec("words", "string", ["a", "b"], (-1,)),
    ParamSpec("days", "datetime", [np.datetime64("2026-01-01"), np.datetime64("2026-01-02")], (-1,)),
    ParamSpec("nothing", "long", None),
]
DEFAULTS = {
    "flag": True,
    "count": 3,
    "big": 2**60,
    "share": 0.5,
    "limit": 1.25,
    "word": "x",
    "since": np.datetime64("2026-01-01T00:00:00", "ns"),
    "words": ["a", "b"],
    "days": [np.datetime64("2026-01-01", "ns"), np.datetime64("2026-01-02", "ns")],
    "nothing": None,
}
MODEL = Contract.read(ModelSignature(Schema([ColSpec("double", "x")]), params=ParamSchema(SPECS)).to_dict())
PLAIN = Contract.read(ModelSignature(Schema([ColSpec("double", "x")])).to_dict())


def test_every_type_of_a_parameter_is_covered_here():
    """All of MLflow's types but binary, which it does not allow."""
    assert {spec.dtype.name for spec in SPECS} == {kind.name for kind in DataType} - {"binary"}


def test_defaults_stand_where_nothing_is_sent():
    """A request without parameters is predicted with the signature's own, in their types."""
    assert MODEL.check_params({}) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        ("flag", False, False),
        ("count", 7.0, 7),
        ("limit", 2, 2.0),
        ("word", "", ""),
        ("words", [], []),
        ("since", "2026-11-23T08:00:00+02:00", np.datetime64("2026-11-23T06:00:00", "ns")),
        ("days", ["2026-11-23"], [np.datetime64("2026-11-23", "ns")]),
    ],
)
def test_what_is_sent_takes_the_place_of_the_default(name, sent, value):
    """One parameter is set, the others keep their defaults."""
    assert MODEL.check_params({name: sent}) == DEFAULTS | {name: value}


@pytest.mark.parametrize(
    ("name", "sent", "expected", "got"),
    [
        ("flag", 1, "true or false", "1"),
        ("count", "3", "a whole number", '"3"'),
        ("count", 2**31, "a whole number from -2147483648 to 2147483647", "2147483648"),
        ("share", None, "a number", "null"),
        ("word", ["x"], "a string", "a list of 1 items"),
        ("words", "a", "a list, each a string", '"a"'),
        ("words", ["a", 1], "a string", "a list of 2 items"),
        ("since", "soon", "a time such as 2026-11-23T08:00:00Z", '"soon"'),
        ("Word", "x", "one of flag, count, big, share, limit, word, since, words, days, nothing", '"x"'),
    ],
)
def test_another_type_or_name_is_refused(name, sent, expected, got):
    """A misspelt parameter would leave the default in force without a word: it is refused."""
    with pytest.raises(ParamsRefused, match=f"Parameter {name}: expected") as caught:
        MODEL.check_params({name: sent})
    reject = caught.value.rejects[0]
    assert (reject.row, reject.column, reject.rule) == (None, name, "param")
    assert (reject.expected, reject.got) == (expected, got)


def test_every_bad_parameter_is_named():
    """One answer is enough to mend the request."""
    with pytest.raises(ParamsRefused) as caught:
        MODEL.check_params({"nope": 1, "count": "3", "flag": True, "word": 2})
    assert [reject.column for reject in caught.value.rejects] == ["nope", "count", "word"]


def test_a_model_without_parameters_takes_none():
    """The words say that there are none, not an empty list of names."""
    assert PLAIN.check_params({}) == {}
    with pytest.raises(ParamsRefused) as caught:
        PLAIN.check_params({"n": 1})
    assert caught.value.rejects[0].expected == "no parameters"


def test_infinite_parameters_are_refused_as_they_were_sent():
    """Numbers past a double's range are refused here as in rows."""
    params = decode(b'{"rows": [{"x": 1}], "params": {"limit": 1e400}}').params
    with pytest.raises(ParamsRefused) as caught:
        MODEL.check_params(params)
    assert caught.value.rejects[0].got == "1e400"
