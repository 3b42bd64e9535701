"""Reading a request's body: whatever bytes come, the answer is rows or one of two typed refusals."""

import json
import math

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trifold.contract.checked import NotFinite, Repeated
from trifold.contract.json import MOST_LEVELS
from trifold.errors import BodyRefused, NotJson
from trifold.online.body import Body, decode

SPACE = st.sampled_from(["", "", " ", "\n\t", "\r "])
STRINGS = st.sampled_from(
    ['""', '"a"', '"b"', '"\\u0061"', '"a\\""', '"\\\\"', '"é"', '"[{"', '"a:b,"', '"rows"', '"\\n"', '"🦆"', '"\'"']
)
NUMBERS = st.sampled_from(
    ["0", "-0", "-0.0", "7", "1.5e3", "0.1", "9007199254740993", "18446744073709551615", "5e-324"]
)
SCALARS = st.sampled_from(["true", "false", "null"]) | NUMBERS | STRINGS


@st.composite
def joined(draw, parts, brackets):
    """JSON text of a list or an object, with blanks wherever they may stand."""
    items = [f"{draw(SPACE)}{part}{draw(SPACE)}" for part in parts]
    return brackets[0] + (",".join(items) or draw(SPACE)) + brackets[1]


def lists_and_objects(values):
    """Lists of values, and objects in which a name may stand twice."""
    pairs = st.tuples(STRINGS, SPACE, SPACE, values).map(lambda pair: f"{pair[0]}{pair[1]}:{pair[2]}{pair[3]}")
    lists = st.lists(values, max_size=4).flatmap(lambda parts: joined(parts, "[]"))
    return lists | st.lists(pairs, max_size=4).flatmap(lambda parts: joined(parts, "{}"))


TEXTS = st.recursive(SCALARS, lists_and_objects, max_leaves=12)


class Pairs(list):
    """What the reference makes of an object: all its names and values."""


def same(found, wanted):
    """Whether a document is what the reference reads, with every repeated name marked and nothing else."""
    if isinstance(wanted, Pairs):
        names = [name for name, _ in wanted]
        twice = tuple(name for name in dict.fromkeys(names) if names.count(name) > 1)
        marked = found.names if isinstance(found, Repeated) else ()
        return twice == marked and same(list(found.items()), [list(pair) for pair in dict(wanted).items()])
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, tuple):
        return same(list(found), wanted)
    return type(found) is type(wanted) and repr(found) == repr(wanted)


@settings(max_examples=500, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4).flatmap(lambda parts: joined(parts, "[]")))
@example('[{"a": 1, "a": 1}]')
@example('[{"a": 1, "\\u0061": 1}]')
@example('[{"a": {"b": 1, "b": 2}, "a": 3}]')
@example('[{"": "", "": ""}]')
@example('[[{"a": "a"}], {"b": [{"a": 1}, {"c": "x", "c": ["y", "z"]}]}]')
def test_repeated_names_are_found_as_a_slow_reader_finds_them(rows):
    """A count of quotation marks tells that a fast reader dropped a name; it must miss none and see none too many."""
    found = decode(f'{{"rows": {rows}}}'.encode()).rows
    assert same(found, json.loads(rows, object_pairs_hook=Pairs))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1), min_size=1))
def test_both_readers_give_the_same_numbers(numbers):
    """A backslash anywhere in a request sends it to the careful reader: its numbers must have the same bits."""
    fast = decode(orjson.dumps({"rows": numbers})).rows
    careful = decode(b'{"rows": %b, "params": {"word": "\\u0061"}}' % orjson.dumps(numbers)).rows
    assert list(map(repr, fast)) == list(map(repr, careful)) == list(map(repr, numbers))


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e400", "1e400"),
        ("-1.5e+99999", "-1.5e+99999"),
        ("1." + "0" * 100 + "e400", "1." + "0" * 48),
        ("1" * 100_000, "1" * 50 + "…"),
        ("-" + "1" * 400, "-" + "1" * 49 + "…"),
    ],
)
def test_numbers_that_are_not_json_are_kept_as_such(token, shown):
    """They are read, so that the contract can name their row and column, and they are never mistaken for a number."""
    number = decode(f'{{"rows": [{token}]}}'.encode()).rows[0]
    assert isinstance(number, NotFinite)
    assert math.isnan(number)
    assert number.token == shown


def test_long_integers_below_the_limit_are_integers():
    """A few hundred digits are read exactly; that they are too large is the contract's to say."""
    assert decode(b'{"rows": [' + b"1" * 310 + b"]}").rows == [int("1" * 310)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"rows": [1}',
        b'{"rows": [1]} x',
        b'{"rows": [01]}',
        b'{"rows": [.5]}',
        b'{"rows": [+1]}',
        b'{"rows": [1,]}',
        b'{"rows": ["a\nb"]}',
        b"{'rows': [1]}",
        b'{"rows": [nan]}',
        b'{"rows": [0x10]}',
        b'{"rows": [1]}\x00',
        b'{"rows": ["\\x61"]}',
        b'\xef\xbb\xbf{"rows": [1]}',
        '{"rows": [1]}'.encode("utf-16"),
        b'{"rows": ["\xff"]}',
        b'{"rows": ["\xed\xa0\x80"]}',
        b'{"rows": ["\\ud83e"]}',
        b'{"rows": [{"\\udd86": 1}]}',
        b'{"rows": ["\\udd86\\ud83e"]}',
        b'{"rows": [NaN], "x": tru}',
    ],
)
def test_what_is_no_json_is_refused_as_such(body):
    """Broken syntax, a byte-order mark, other encodings and half surrogate pairs are all 400, never 500."""
    with pytest.raises(NotJson, match=r"^The body is not "):
        decode(body)


def test_the_place_of_the_mistake_is_the_mistakes():
    """NaN is read with care and is no reason to point at it when something else further on is broken."""
    with pytest.raises(NotJson, match="line 2 column 5"):
        decode(b'{"rows": [NaN,\n1,2,;]}')


@pytest.mark.parametrize("inner", ["1", "NaN", '"\\n"', '{"a": 1, "a": 2}'], ids=["fast", "NaN", "escape", "twice"])
@pytest.mark.parametrize("levels", [MOST_LEVELS, 900, 1_100, 100_000])
@pytest.mark.parametrize(
    ("start", "end"), [("[", "]"), ('{"a":', "}"), ('{"a":1,"a":', "}")], ids=["list", "object", "twice"]
)
def test_deep_nesting_is_refused(levels, inner, start, end):
    """A hundred levels are more than any tensor has; the answer does not depend on how deep the caller's stack is."""
    with pytest.raises(NotJson, match="nested more than 100 levels"):
        decode(f'{{"rows": [{start * levels}{inner}{end * levels}]}}'.encode())
    with pytest.raises(NotJson, match="nested more than 100 levels"):
        decode(f"{start * (levels + 1)}{inner}{end * (levels + 1)}".encode())


@pytest.mark.parametrize("inner", ["1", "NaN", '"\\n"'])
def test_nesting_up_to_the_limit_is_read(inner):
    """The limit is where it is said to be, for both readers."""
    levels = MOST_LEVELS - 2  # the body and its rows are two
    assert len(decode(f'{{"rows": [{"[" * levels}{inner}{"]" * levels}]}}'.encode()).rows) == 1
    with pytest.raises(NotJson):
        decode(f'{{"rows": [{"[" * (levels + 1)}{inner}{"]" * (levels + 1)}]}}'.encode())


@pytest.mark.parametrize("text", ["[" * 200, '\\"' + "[" * 200, "]" * 200 + "[" * 200])
def test_brackets_in_a_text_are_no_levels(text):
    """What a text holds is the model's business."""
    assert decode(f'{{"rows": ["{text}"]}}'.encode()).rows == [json.loads(f'"{text}"')]


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ("5", "5"),
        ("null", "null"),
        ("true", "true"),
        ("1.5", "1.5"),
        ("NaN", "NaN"),
        ('"rows"', '"rows"'),
        ('"\\n"', '"\\n"'),
        ("[]", "a list of 0 items"),
        ('[{"a": 1, "a": 2}]', "a list of 1 items"),
        ("{}", "an object with no names"),
        ('{"row": [1]}', 'an object with "row"'),
        ('{"rows": [1], "b": 1, "a": 1}', 'an object with "a", "b", "rows"'),
        ('{"params": {}}', 'an object with "params"'),
        ('{"rows": [1], "rows": [2]}', '"rows" twice'),
        ('{"rows": [1], "\\u0072ows": [2]}', '"rows" twice'),
        ('{"rows": null}', "null"),
        ('{"rows": {"a": 1}}', "an object of 1 names"),
        ('{"rows": "x"}', '"x"'),
        ('{"rows": []}', "a list of 0 items"),
        ('{"rows": [1], "params": null}', "null"),
        ('{"rows": [1], "params": []}', "a list of 0 items"),
        ('{"rows": [1], "params": {"a": 1, "a": 1}}', '"a" twice'),
    ],
)
def test_another_shape_is_refused_with_what_came(body, got):
    """The answer says which shape is expected and which came, for any JSON whatever."""
    with pytest.raises(BodyRefused) as caught:
        decode(body.encode())
    reject = caught.value.rejects[0]
    assert (reject.row, reject.column, reject.rule, reject.got) == (None, None, "body", got)


def test_a_good_body_is_read():
    """Rows are of any JSON type, parameters are optional."""
    assert decode(b' {"rows": [{"a": 1}, [2], "x", null]} ') == Body([{"a": 1}, [2], "x", None], {})
    assert decode(b'{"params": {"n": [1]}, "rows": [1]}') == Body([1], {"n": [1]})


def test_many_names_with_one_that_stands_twice_take_no_longer_than_many_names():
    """A count for each of 200,000 names would hold up the server for hours."""
    names = ",".join(f'"{number}":1' for number in range(200_000))
    row = decode(f'{{"rows": [{{{names},"7":2}}]}}'.encode()).rows[0]
    assert row.names == ("7",)


@st.composite
def mutated(draw):
    """A valid body in which some bytes are cut out, doubled or replaced."""
    body = draw(st.lists(TEXTS, min_size=1, max_size=3).map(lambda rows: f'{{"rows": [{",".join(rows)}]}}'.encode()))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        stop = draw(st.integers(start, min(start + 4, len(body))))
        new = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"NaN", b"1e999"])
        )
        body = body[:start] + new + body[stop:]
    return body


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=60) | mutated())
def test_any_bytes_give_rows_or_a_typed_refusal(body):
    """Nothing but NotJson and BodyRefused is raised, and JSON is refused as such only where Python's reader agrees."""
    try:
        json.loads(body.decode())
        is_json = True
    except ValueError:
        is_json = False
    refused = None
    try:
        assert decode(body).rows
    except (BodyRefused, NotJson) as error:
        refused = error
    if isinstance(refused, NotJson):
        assert not is_json or "half a surrogate" in str(refused)
    else:
        assert is_json
