"""Laws of the contract, over generated models, rows and tables: Show 5 of the mission.

TRIFOLD_PROVE=1 runs ten times as many examples.
"""

import base64
import os
from dataclasses import asdict
from itertools import chain

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

from trifold.contract.checked import NotFinite, Repeated
from trifold.contract.contract import Contract
from trifold.errors import GOT_LENGTH, RULES, ColumnsMissing, ColumnsRepeated, ColumnsUnknown
from trifold.schema import row_schema

SCALE = 10 if os.environ.get("TRIFOLD_PROVE") == "1" else 1
TENSORS = ["float64", "float32", "float16", "int64", "int32", "int8", "uint64", "uint8", "bool", "str"]

# Models

KINDS = st.sampled_from([kind.name for kind in DataType])
TYPES = KINDS | KINDS | KINDS.map(Array) | KINDS.map(lambda kind: Array(Array(kind)))
NAMES = st.sampled_from(["x", "y", "", "rows", "a.b", 'say "x"', "naïve 🦆", "0"]) | st.text(max_size=5)
NAMED = st.lists(st.tuples(TYPES, NAMES, st.booleans()), min_size=1, max_size=5, unique_by=lambda spec: spec[1])
SCHEMAS = st.one_of(
    NAMED.map(lambda specs: [ColSpec(*spec) for spec in specs]),
    st.lists(NAMES, min_size=1, max_size=4, unique=True).map(lambda names: [ColSpec("double", name) for name in names]),
    st.lists(TYPES, min_size=1, max_size=3).map(lambda types: [ColSpec(kind) for kind in types]),
)
SHAPES = st.lists(st.integers(1, 3), max_size=3).map(lambda shape: (-1, *shape))
TENSOR_SCHEMAS = st.builds(lambda name, shape: [TensorSpec(np.dtype(name), shape)], st.sampled_from(TENSORS), SHAPES)


def contract(columns):
    """The contract of a model with these inputs, as MLflow writes them."""
    return Contract.read(ModelSignature(Schema(columns)).to_dict())


COLUMN_MODELS = SCHEMAS.map(contract)
MODELS = COLUMN_MODELS | COLUMN_MODELS | TENSOR_SCHEMAS.map(contract)

# Rows

INSTANTS = st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat())
BASE64 = st.binary(max_size=4).map(lambda raw: base64.b64encode(raw).decode())
GOOD = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1) | st.integers(-99, 99).map(float),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-99, 99).map(float),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-99, 99),
    "double": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "string": st.text(max_size=5),
    "binary": BASE64,
    "datetime": INSTANTS.map(lambda text: f"{text}Z") | INSTANTS,
}
GOOD_BY_DTYPE = {"f": GOOD["float"], "i": st.integers(-99, 99), "u": st.integers(0, 99), "b": st.booleans()}
EDGES = st.sampled_from(
    [
        2**31,
        -(2**31) - 1,
        2**53,
        2**53 + 1,
        2**63,
        2**64,
        1e17,
        3.5e38,
        1e39,
        65_536,
        256,
        -1,
        10**309,
        10**400,
        "A",
        "=",
    ]
)
GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | EDGES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def not_finite(token):
    """A number that JSON lacks, as the body's reader gives it."""
    number = NotFinite("nan")
    number.token = token
    return number


def repeated(row, name):
    """A row in which a name stood twice, as the body's reader gives it."""
    row = Repeated(row)
    row.names = (name,)
    return row


# What JSON text cannot hold but its careful reader, or a program, gives all the same.
WILD = st.one_of(
    st.sampled_from(["NaN", "Infinity", "1e400"]).map(not_finite),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), "\ud83e", "x" * 300]),
    st.just(5_000).map(lambda digits: 10**digits),
    st.dictionaries(st.text(max_size=3), st.none(), min_size=1).map(lambda row: repeated(row, next(iter(row)))),
)


def mostly(good, other):
    """Nine times of ten what fits."""
    return st.sampled_from([good] * 9 + [other]).flatmap(lambda strategy: strategy)


def values(column, garbage):
    """Values of a column: mostly such as fit."""
    good = GOOD[column.kind.name]
    for _ in range(column.depth):
        good = st.lists(good, max_size=3)
    return mostly(good, garbage)


def tensors(tensor, garbage):
    """Nested lists: mostly such as fit."""
    good = GOOD_BY_DTYPE.get(tensor.dtype.kind, GOOD["string"])
    level = mostly(good, garbage)
    for size in reversed(tensor.shape):
        level = st.lists(level, min_size=size, max_size=size)
    return level


@st.composite
def objects(draw, model, garbage):
    """Rows of a model with named columns: some lack a column, some have one too many, some have one twice."""
    row = draw(st.fixed_dictionaries({column.name: values(column, garbage) for column in model.signature.columns}))
    change = draw(st.sampled_from(["none"] * 12 + ["lack", "more", "twice"]))
    name = draw(st.sampled_from(sorted(row)))
    if change == "lack":
        del row[name]
    if change == "more":
        row[draw(st.text(max_size=3))] = draw(garbage)
    return repeated(row, name) if change == "twice" and garbage is not GARBAGE else row


def rows_of(model, garbage):
    """Rows of any model: mostly such as fit."""
    signature = model.signature
    if signature.tensor is not None:
        row = tensors(signature.tensor, garbage)
    elif signature.named:
        row = objects(model, garbage)
    else:
        row = st.tuples(*(values(column, garbage) for column in signature.columns)).map(list)
        if len(signature.columns) == 1:
            row = row | row.map(lambda values: values[0])
    return mostly(row, garbage)


@st.composite
def cases(draw, models=MODELS, garbage=GARBAGE | WILD):
    """A model, rows for it, and what to do with extra columns."""
    model = draw(models)
    rows = draw(st.lists(rows_of(model, garbage), max_size=5))
    return model, rows, draw(st.sampled_from(["refuse", "ignore"]))


# What the laws say


def assert_split(checked, count):
    """Every row is either accepted or has typed rejects, and all of it can be written as JSON."""
    refused = {reject.row for reject in checked.rejects}
    assert sorted([*checked.accepted.tolist(), *refused]) == list(range(count))
    assert len(checked.rows) == len(checked.accepted)
    for reject in checked.rejects:
        assert reject.rule in RULES
        assert reject.expected
        assert len(reject.got) <= GOT_LENGTH
    orjson.dumps([asdict(reject) for reject in checked.rejects])


def bits(rows):
    """Rows as something that is equal only where every type and every bit is."""
    arrays = [rows.matrix] if rows.columns is None else rows.columns.values()
    return [seen(array) for array in arrays]


def seen(value):
    """An array by type, shape and bytes; anything else by its text."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    return value.dtype.str, value.shape, [seen(item) for item in value] if value.dtype == object else value.tobytes()


def law(examples):
    """Settings of a law."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples * SCALE, deadline=None, suppress_health_check=slow)


def test_generated_rows_are_accepted_or_refused_with_a_type(capsys):
    """Show 5, by JSON: whatever rows come for whatever model, there is nothing but accepted rows and typed rejects."""
    counts = {"tables": 0, "rows": 0, "accepted": 0}

    @law(500)
    @given(cases())
    def check(case):
        model, rows, extra = case
        checked = model.check_rows(rows, extra)
        assert_split(checked, len(rows))
        counts.update(
            tables=counts["tables"] + 1,
            rows=counts["rows"] + len(rows),
            accepted=counts["accepted"] + len(checked.accepted),
        )

    check()
    with capsys.disabled():
        print(
            f"\nJSON: {counts['tables']} tables, {counts['rows']} rows, {counts['accepted']} accepted, "
            "the others typed rejects"
        )
    assert counts["tables"] >= 500 * SCALE


@law(150)
@given(cases())
def test_a_row_is_read_alike_alone_and_among_others(case):
    """Whole columns or single values, one row or a batch: the same array, bit for bit, and the same rejects."""
    model, rows, extra = case
    together = model.check_rows(rows, extra)
    place = {row: position for position, row in enumerate(together.accepted.tolist())}
    for number, row in enumerate(rows):
        alone = model.check_rows([row], extra)
        among = [asdict(reject) | {"row": 0} for reject in together.rejects if reject.row == number]
        assert [asdict(reject) for reject in alone.rejects] == among
        if not among:
            assert bits(alone.rows) == bits(together.rows.take(slice(place[number], place[number] + 1)))


@law(150)
@given(cases())
def test_rows_written_as_json_are_the_same_rows(case):
    """The input example is made from arrays: its rows must be accepted again and give the same bits."""
    model, rows, extra = case
    checked = model.check_rows(rows, extra)
    written = orjson.loads(orjson.dumps(model.to_rows(checked.rows)))
    again = model.check_rows(written)
    assert not again.rejects
    assert bits(again.rows) == bits(checked.rows)


@law(150)
@given(cases(garbage=GARBAGE))
def test_schema_and_contract_agree(case):
    """A client that checks by the published schema is refused only for a range that JSON Schema has no word for."""
    model, rows, _ = case
    schema = row_schema(model)
    shape, strict = (
        Draft202012Validator(schema, format_checker=f) for f in (None, Draft202012Validator.FORMAT_CHECKER)
    )
    for row in rows:
        rules = {reject.rule for reject in model.check_rows([row]).rejects}
        assert not strict.is_valid(row) or rules <= {"out_of_range"}
        assert rules or shape.is_valid(row)


# Tables


def viewed(source):
    """How a column of a time type is made: of any 32 or 64 bits."""
    bits_of = source.bit_width
    integers = st.integers(-(2 ** (bits_of - 1)), 2 ** (bits_of - 1) - 1) | st.integers(-(10**6), 10**6)
    return integers, lambda items: pa.array(items, pa.int64() if bits_of == 64 else pa.int32()).view(source)


def typed(source, strategy):
    """How a column of a type is made of Python's values."""
    return strategy, lambda items: pa.array(items, source)


def integers_of(source):
    """Integers of a type of Arrow's."""
    limits = np.iinfo(source.to_pandas_dtype())
    return typed(source, st.integers(int(limits.min), int(limits.max)) | st.integers(0, 9))


DECIMALS = st.decimals(-(10**9), 10**9, places=4)
WORDS = st.text(max_size=4) | INSTANTS | BASE64
WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()]
INSTANT_TYPES = [
    pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "Asia/Tokyo", "+01:00")
]
NUMBERS = [
    *map(integers_of, WHOLE),
    typed(pa.float64(), st.floats()),
    typed(pa.float64(), st.integers(-99, 99).map(float)),
    typed(pa.float32(), st.floats(width=32)),
    (st.floats(width=16), lambda items: pa.array(items, pa.float32()).cast(pa.float16())),
    typed(pa.decimal128(38, 4), DECIMALS),
    typed(pa.decimal256(60, 6), DECIMALS),
]
STRINGS = [
    *(typed(source, WORDS) for source in (pa.string(), pa.large_string(), pa.string_view())),
    typed(pa.dictionary(pa.int8(), pa.string()), WORDS),
]
BYTES = [typed(source, st.binary(min_size=2, max_size=2)) for source in (pa.binary(), pa.large_binary(), pa.binary(2))]
INSTANT_COLUMNS = [*map(viewed, [*INSTANT_TYPES, pa.date32(), pa.date64()]), typed(pa.date32(), st.dates())]
FITTING = {
    "boolean": [typed(pa.bool_(), st.booleans())],
    **dict.fromkeys(["integer", "long", "float", "double"], NUMBERS),
    "string": STRINGS,
    "binary": [*BYTES, typed(pa.string(), BASE64)],
    "datetime": [*INSTANT_COLUMNS, typed(pa.string(), INSTANTS)],
}
LISTS = [
    typed(pa.list_(pa.float64()), st.lists(st.none() | st.floats(), max_size=2)),
    typed(pa.large_list(pa.int32()), st.lists(st.integers(-9, 9), max_size=2)),
    typed(pa.list_(pa.int64(), 2), st.lists(st.integers(-9, 9), min_size=2, max_size=2)),
    typed(pa.list_(pa.list_(pa.int64())), st.lists(st.lists(st.integers(-9, 9), max_size=2), max_size=2)),
    typed(pa.list_(pa.string()), st.lists(WORDS, max_size=2)),
    typed(pa.list_(pa.timestamp("s")), st.lists(st.datetimes(), max_size=2)),
]
OTHERS = [
    *map(viewed, [pa.time32("s"), pa.time64("ns"), pa.duration("us")]),
    (st.binary(max_size=4), lambda items: pa.array(items, pa.binary()).view(pa.string())),  # mostly no UTF-8
    typed(pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(0, 9)})),
    (st.none(), lambda items: pa.nulls(len(items))),
]
ANY = [*chain.from_iterable(FITTING.values()), *LISTS, *OTHERS]


@st.composite
def arrays(draw, ways, count):
    """A column, mostly without nulls, of any layout."""
    strategy, make = draw(st.sampled_from(ways))
    items = draw(st.lists(mostly(strategy, st.none()), min_size=count + 2, max_size=count + 2))
    first, middle = draw(st.integers(0, 2)), draw(st.integers(0, count))
    part = make(items).slice(first, count)
    return draw(st.sampled_from([part, pa.chunked_array([part.slice(0, middle), part.slice(middle)])]))


@st.composite
def tables(draw):
    """A model and a table: its columns in any order and mostly of a type that fits, some too few, too many or twice."""
    model, count = draw(COLUMN_MODELS), draw(st.integers(0, 5))
    ways = {column.name: LISTS if column.depth else FITTING[column.kind.name] for column in model.signature.columns}
    names = list(draw(st.permutations(model.signature.names)))
    names = draw(st.sampled_from([*[names] * 9, names[1:], [*names, names[0]], [*names, "extra"]]))
    columns = [draw(arrays(draw(st.sampled_from([*[ways.get(name, ANY)] * 6, ANY])), count)) for name in names]
    return model, pa.table(columns, names=names), draw(st.sampled_from(["refuse", "ignore"]))


def test_generated_tables_are_accepted_or_refused_with_a_type(capsys):
    """Show 5, by Arrow: of whatever table there are accepted rows and typed rejects, or one error about its columns."""
    counts = {"tables": 0, "rows": 0, "accepted": 0, "wrong columns": 0}

    @law(500)
    @given(tables())
    def check(case):
        model, table, extra = case
        counts["tables"] += 1
        names, known = table.column_names, model.signature.columns
        wrong = {
            ColumnsMissing: {column.name for column in known if column.required} - set(names),
            ColumnsRepeated: {column.name for column in known if names.count(column.name) > 1},
            ColumnsUnknown: set(names) - {column.name for column in known} if extra == "refuse" else set(),
        }
        expected = next((kind for kind, columns in wrong.items() if columns), None)
        if expected:
            counts["wrong columns"] += 1
            with pytest.raises(expected) as caught:
                model.check(table, extra)
            assert set(caught.value.columns) == wrong[expected]
        else:
            checked = model.check(table, extra)
            assert_split(checked, table.num_rows)
            counts["rows"] += table.num_rows
            counts["accepted"] += len(checked.accepted)

    check()
    with capsys.disabled():
        print(
            f"\nArrow: {counts['tables']} tables, {counts['wrong columns']} with wrong columns; "
            f"{counts['rows']} rows, {counts['accepted']} accepted, the others typed rejects"
        )
    assert counts["tables"] >= 500 * SCALE


# The same values by both doors

TEXTS = [(pa.string(), st.text(max_size=4), None), (pa.large_string(), st.text(max_size=4), None)]
MOMENTS = st.datetimes().map(lambda moment: moment.replace(microsecond=0))
EXACT = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-99, 99), None),
    (pa.uint64(), st.integers(0, 2**64 - 1), None),
    (pa.int8(), st.integers(-128, 127), None),
    (pa.float64(), st.floats(allow_nan=False), None),
    (pa.float64(), st.integers(-99, 99).map(float), None),
    (pa.float32(), st.floats(width=32, allow_nan=False), None),
    (pa.float64(), st.just(float("nan")), lambda value: None),
    (pa.decimal128(38, 4), DECIMALS, lambda value: int(value) if value == int(value) else float(str(value))),
]
BOTH = {
    "boolean": [(pa.bool_(), st.booleans(), None)],
    **dict.fromkeys(["integer", "long", "float", "double"], EXACT),
    "string": [*TEXTS, (pa.dictionary(pa.int8(), pa.string()), st.text(max_size=4), None)],
    "datetime": [
        (pa.timestamp("us"), MOMENTS, lambda value: value.isoformat()),
        (pa.date32(), st.dates(), lambda value: value.isoformat()),
        (pa.string(), INSTANTS, None),
    ],
}
BOTH_LISTS = [
    (pa.list_(pa.float64()), st.lists(st.floats(allow_nan=False), max_size=3), None),
    (pa.list_(pa.int64()), st.lists(mostly(st.integers(-9, 2**40), st.none()), max_size=3), None),
    (pa.list_(pa.list_(pa.string())), st.lists(st.lists(WORDS, max_size=2), max_size=2), None),
    (pa.list_(pa.list_(pa.int64())), st.lists(st.lists(st.integers(-9, 9), max_size=2), max_size=2), None),
]
BOTH_ANY = [*chain.from_iterable(BOTH.values()), *BOTH_LISTS]
# Only for columns of bytes: in JSON they are base64, which is text to all others.
BOTH["binary"] = [(pa.binary(), st.binary(max_size=3), lambda value: base64.b64encode(value).decode())]


@st.composite
def by_both_doors(draw):
    """A model, a table, and the same values as JSON rows."""
    model, count = draw(COLUMN_MODELS), draw(st.integers(0, 4))
    columns, rows = {"other": pa.nulls(count)}, [{} for _ in range(count)]
    for column in model.signature.columns:
        if not column.required and draw(st.sampled_from([False, False, False, True])):
            continue
        fitting = BOTH_LISTS if column.depth else BOTH[column.kind.name]
        source, strategy, as_json = draw(st.sampled_from(draw(st.sampled_from([*[fitting] * 6, BOTH_ANY]))))
        items = draw(st.lists(mostly(strategy, st.none()), min_size=count, max_size=count))
        columns[column.name] = pa.array(items, source)
        for row, item in zip(rows, items, strict=True):
            row[column.name] = item if item is None or as_json is None else as_json(item)
    if not model.signature.named:
        is_list = len(model.signature.columns) == 1 and model.signature.columns[0].depth
        rows = [next(iter(row.values())) if is_list else list(row.values()) for row in rows]
    return model, pa.table(columns), rows


@law(300)
@given(by_both_doors())
def test_both_doors_have_one_set_of_rules(case):
    """A batch job scores exactly the rows that the service would, from the same bits, and refuses the others alike."""
    model, table, rows = case
    by_table, by_json = model.check(table, "ignore"), model.check_rows(rows, "ignore")
    assert by_table.rejects == by_json.rejects
    assert by_table.accepted.tolist() == by_json.accepted.tolist()
    assert bits(by_table.rows) == bits(by_json.rows)


@pytest.mark.parametrize(
    "rule", ["row", "missing_column", "unknown_column", "missing", "type", "not_finite", "out_of_range", "shape"]
)
def test_the_contracts_rules_are_in_the_closed_list(rule):
    """The rules that the contract gives have their words in the list that OpenAPI publishes."""
    assert rule in RULES
