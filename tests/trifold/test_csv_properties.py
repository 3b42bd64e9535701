"""The law of CSV: any file gives the same columns, the same rejects and the same sentences through both doors.

TRIFOLD_PROVE=1 runs ten times as many examples.
"""

import csv
import io
import json
import os
import re
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.csv_doors import CONTRACT, KINDS, LISTS, NAMES, Door, same
from trifold.batch import csv_files
from trifold.batch.csv_columns import UNREAD, read_columns
from trifold.contract import csv as grammar
from trifold.contract.cells import cell_reader
from trifold.contract.csv import DELIMITERS, ENCODINGS, CsvText
from trifold.contract.readers import Invalid
from trifold.errors import TableRefused

SCALE = 10 if os.environ.get("TRIFOLD_PROVE") == "1" else 1
WORDS = [
    *("", " ", "  ", "\t", "0", "-0", "1", "+1", "-1", " 1 ", "1 2", "007", "12.0", "12.", "12,0", "12,", ".5", ",5"),
    *(".", "-", "+", "+-1", "1e3", "1E-3", "1e", "1e400", "-1e400", "1e-400", "1,5", "1.5", "1.500", "1.234,5"),
    *("1_000", "0x10", "0X10", "1e99999999999999999999", "1e-99999999999999999999", "inf", "-Infinity", "+INF", "nan"),
    *("NaN", "∞", "NA", "null", "true", "TRUE", " yes ", "No", "wahr", "yeſ", "3.5e38", "1" * 400, "0." + "3" * 50),
    *("9007199254740991.0", "9007199254740992.0", "9007199254740993.0", "9007199254740993", "-9007199254740993"),
    *("4503599627370496.5", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "2147483648"),
    *("3000000000.0", "0" * 30 + "7", " Private", "Private ", "a,b", "a;b", 'say "x"', '"', '""', "two\nlines"),
    *("two\r\nlines", "lone\rreturn", "naïve 🦆", "\ufeff", "٣", "=1+1", "2026-11-23T08:00:00Z", " 2026-11-23 "),
    *("2026-11-23 08:00:00+01:00", "23.11.2026", "2026-02-30", "9999-01-01", "YWJj", " YWJj", "YWJ"),
    *("[1, 2]", "[1, null]", "[]", "[[1]]", "[1e400]", "{", "[NaN]", " [1] "),
]
ANY = st.sampled_from(WORDS) | st.text(st.sampled_from('",;\t\r\n 01.5e+-xñ🦆'), max_size=6)
SIGNS = st.sampled_from(["", "", "", "-", "+"])
DIGITS = st.integers(0, 10**6).map(str) | st.integers(0, 10**17).map(str)
POINTS = st.sampled_from(["", "", ".0", ".", ".25"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr)
GOOD = {
    "boolean": st.sampled_from(["true", "False", "1", "0", "YES", " no"]),
    "integer": st.tuples(SIGNS, st.integers(0, 2**31).map(str), st.sampled_from(["", "", ".0", ".000"])).map("".join),
    "long": st.tuples(SIGNS, DIGITS, st.sampled_from(["", "", "", ".0", "e0"])).map("".join),
    "float": FLOATS | st.tuples(SIGNS, st.integers(0, 10**6).map(str), POINTS).map("".join),
    "double": FLOATS | st.tuples(SIGNS, DIGITS, POINTS).map("".join) | st.floats(allow_nan=False).map(repr),
    "string": st.sampled_from([" Private", "plus", "5", "naïve 🦆", 'say "x"', "a,b", "two\nlines"])
    | st.text(max_size=4),
    "binary": st.sampled_from(["YWJj", "", " YQ=="]),
    "datetime": st.sampled_from(
        ["2026-11-23T08:00:00Z", "2026-11-23", " 2026-11-23 08:00", "1999-01-01T00:00:00.123456789+05:30"]
    ),
}
"""Cells that a column takes, in a table of commas."""
MILD = st.sampled_from([True, True, False])


def written(rows, delimiter, quoting, end):
    """Rows as csv writes them."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    return file.getvalue()


def cell_of(name, delimiter, odd):
    """Cells of a column: one in so many is anything."""
    kind, required = KINDS[name]
    good = GOOD[kind] if kind == "string" or delimiter != ";" else GOOD[kind].map(lambda text: text.replace(".", ","))
    good = good if required else good | st.just("")
    return st.integers(1, odd).flatmap(lambda number: ANY if number == 1 else good)


@st.composite
def tables(draw):
    """A text that is a table, or nearly so."""
    mild, delimiter = draw(MILD), draw(st.sampled_from(DELIMITERS))
    names, odd = draw(st.permutations(NAMES)), 100 if mild else 10
    changes = st.sampled_from(
        [str] * (50 if mild else 12) + [str.upper, " {} ".format, "the {}".format, "no {}".format]
    )
    header = [draw(changes)(name) for name in names]
    header += draw(st.lists(st.sampled_from(["more", "other", "Text", "text", ""]), max_size=1))
    sizes = st.sampled_from([len(header)] * 9 + ([] if mild else [0, 1, len(header) - 1, len(header) + 2]))
    cells = [cell_of(name, delimiter, odd) for name in names] + [ANY] * 3
    rows = [draw(st.tuples(*cells[: draw(sizes)])) for _ in range(draw(st.integers(0, 8)))]
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n"] if mild else ["\n", "\r"]))
    text = written([header, *rows], delimiter, quoting, end)
    if mild:
        return text
    place = draw(st.integers(0, len(text)))
    return (
        text[:place]
        + draw(st.text(st.sampled_from('",;\t\r\n\0x'), max_size=2))
        + text[place + draw(st.integers(0, 1)) :]
    )


@st.composite
def files(draw):
    """Bytes of a table, and the encoding that is asked for."""
    text = draw(tables())
    marked = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", ""]))
    if marked:
        data = text.encode(marked)
        cut = draw(st.sampled_from([0] * 15 + [1]))
        return data[: len(data) - cut], draw(
            st.sampled_from(["", "", "utf-8", "windows-1252" if marked != "utf-8" else ""])
        )
    name = draw(st.sampled_from(list(ENCODINGS)))
    return text.encode(ENCODINGS[name], "replace"), draw(st.sampled_from([name, name, name, ""]))


BLOCKS = st.sampled_from([2**20, 1000, 64, 7])


@settings(deadline=None, max_examples=200 * SCALE)
@given(files(), BLOCKS)
def test_any_file_is_the_same_through_both_doors(file, block):
    """Columns to the bit, rejects with their rows, and the sentence where a file is refused as a whole."""
    data, encoding = file
    with patch.object(grammar, "BLOCK_BYTES", block):
        same(Door.online(CONTRACT, data, encoding), Door.batch(CONTRACT, data, encoding))


LIST = st.lists(st.integers(-9, 9) | st.floats(allow_nan=False), max_size=3).map(json.dumps)
LIST_ROWS = st.lists(st.tuples(LIST | ANY, ANY, st.sampled_from(["", "1", "2.0", "x"])), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60 * SCALE)
@given(LIST_ROWS, st.sampled_from(DELIMITERS))
def test_lists_are_the_same_through_both_doors(rows, delimiter):
    """Which no Arrow type holds before the contract has looked at them."""
    data = written([LISTS.signature.names, *rows], delimiter, csv.QUOTE_MINIMAL, "\n").encode()
    same(Door.online(LISTS, data), Door.batch(LISTS, data))


TEXTS = st.lists(
    st.sampled_from(['"', '"', '""', ",", ",", "\n", "\n", "\r\n", "\r", "a", "b c", "\ufeff", '"x"', ",,\n"])
)


def records(text):
    """What Python's csv makes of a whole text; None where it refuses it."""
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        return None


@settings(deadline=None, max_examples=400 * SCALE)
@given(TEXTS.map("".join), st.integers(1, 40))
def test_pieces_of_a_text_have_the_records_of_the_whole(text, block):
    """Wherever a text is cut, no record is lost, and none is cut; only emptied rows at the end are left out."""
    table = "a,b\n" + text
    with patch.object(grammar, "BLOCK_BYTES", block):
        try:
            reader = CsvText(io.BytesIO(table.encode()))
            found = [record for chunk in reader.chunks() for record in reader.records(chunk)]
        except TableRefused:
            found = None
    emptied = re.search(r"(?<=[\r\n])[,\r\n]*\Z", table)
    wanted = records(table[: emptied.start()] if emptied and records(table) is not None else table)
    assert found == (wanted if wanted is None else wanted[1:])


@settings(deadline=None, max_examples=400 * SCALE)
@given(TEXTS.map("".join), st.integers(1, 3))
def test_what_arrow_reads_it_reads_as_python_does(text, width):
    """A chunk is given to Arrow only where both agree on its cells."""
    header = ["one", "two", "three"][:width]
    reader = CsvText(io.BytesIO((",".join(header) + "\n").encode()))
    places = {name: place for place, name in enumerate(header)}
    plain = csv_files.read_plainly(reader, text, places)
    if plain is not None:
        carefully, long = csv_files.read_carefully(reader, text, places)
        assert plain[0].to_pylist() == carefully.to_pylist()
        assert not long


@settings(deadline=None, max_examples=400 * SCALE)
@given(st.data(), st.sampled_from(NAMES), st.booleans())
def test_a_column_holds_what_its_cells_are(data, name, comma):
    """All at once or one by one: the value of each cell, or the cell itself for the contract to refuse."""
    cells = data.draw(st.lists(cell_of(name, ";" if comma else ",", 4), max_size=8))
    [column] = [each for each in CONTRACT.signature.columns if each.name == name]
    texts = pa.RecordBatch.from_arrays([pa.array([cell or None for cell in cells], pa.string())], names=[name])
    found = read_columns(texts, {name: column}, {}, 1, comma=comma)
    read = cell_reader(column, comma=comma)
    for value, unread, cell in zip(
        found.column(name).to_pylist(), found.column(UNREAD).to_pylist(), cells, strict=True
    ):
        held = read(cell)
        if unread is None:
            assert (type(value), repr(value)) == (type(held), repr(held))
        else:
            assert json.loads(unread) == [comma, 1, None, {name: cell}]
            assert value is None
            with pytest.raises(Invalid):
                column.kind.read(held)
