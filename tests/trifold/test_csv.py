"""The grammar of CSV through both doors: the tables of docs/csv.md, and what stands in its words."""

import codecs
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch import JOB
from tests.csv_doors import KINDS, LISTS, Door, columns_of, contract_of, same
from trifold.batch import csv_files
from trifold.batch.csv_columns import check_piece, read_columns
from trifold.batch.job import Job
from trifold.contract.csv import ENCODINGS
from trifold.errors import JobError
from trifold.online import lists

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "csv.md").read_text()
CELLS = {"text": "string", "number": "double", "whole number": "long", "boolean": "boolean"}
ONE = contract_of({"x": ("double", False), "word": ("string", False)})


def page_tables():
    """The delimiter, the cell, the kind of column and what becomes of it, by docs/csv.md."""
    tables = re.findall(r"^\| cell \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert len(tables) == 2
    for delimiter, table in zip(",;", tables, strict=True):
        for line in table.splitlines():
            cell, *outcomes = [part.strip() for part in line.strip("|").split(" | ")]
            for kind, outcome in zip(CELLS.values(), outcomes, strict=True):
                yield delimiter, cell.strip("`").replace("␣", " "), kind, outcome.strip("`")


def through(contract, data, encoding=""):
    """What both doors say of a file, which is the same."""
    found = Door.online(contract, data, encoding)
    same(found, Door.batch(contract, data, encoding))
    return found


@pytest.mark.parametrize(("delimiter", "cell", "kind", "outcome"), page_tables())
def test_a_cell_is_what_the_page_says(delimiter, cell, kind, outcome):
    """Each line of the tables, between two rows that are taken."""
    contract = contract_of({"x": (kind, outcome != "missing"), "word": ("string", False)})
    good = {"string": "a", "double": "1", "long": "1", "boolean": "1"}[kind]
    lines = [f"x{delimiter}word", *(f"{each}{delimiter}a" for each in (good, cell, good))]
    found = through(contract, "\n".join(lines).encode())
    if outcome in ("type", "not_finite", "out_of_range"):
        [reject] = found.rejects
        assert (reject.row, reject.column, reject.rule) == (1, "x", outcome)
        assert found.accepted == (0, 2)
        return
    assert found.accepted == (0, 1, 2)
    value = columns_of(found.rows)[0][1]
    if outcome == "missing":
        assert value is None or value != value
    else:
        wanted = json.loads(outcome)
        assert (value, type(value) is str) == (wanted, type(wanted) is str)


def test_a_whole_number_is_exact_in_a_required_column():
    """Of all 64 bits, where an optional column's array of doubles holds 53."""
    contract = contract_of({"x": ("long", True), "word": ("string", False)})
    found = through(contract, b"x,word\n9007199254740993,a\n-9223372036854775808,a\n +9223372036854775807 ,a\n")
    assert columns_of(found.rows)[0].tolist() == [2**53 + 1, -(2**63), 2**63 - 1]


def test_a_refused_number_says_what_came_and_what_a_semicolon_means():
    """The contract's words, and those of the decimal comma where it counts."""
    numbers = contract_of({"x": ("double", True), "n": ("long", True), "flag": ("boolean", True)})
    found = through(numbers, b"x;n;flag\n1.5;1.0;wahr\n inf;9007199254740993,0;\n")
    comma = " with a decimal comma, as semicolons stand between the cells"
    assert [(each.row, each.column, each.expected, each.got) for each in found.rejects] == [
        (0, "x", f"a number{comma}", '"1.5"'),
        (0, "n", f"a whole number{comma}", '"1.0"'),
        (0, "flag", "true or false", '"wahr"'),
        (1, "x", "a finite number", "inf"),
        (1, "n", "a whole number without a point or exponent from 9007199254740992 on", "9007199254740993,0"),
        (1, "flag", "true or false", "null"),
    ]
    assert through(numbers, b"x,n,flag\nx,1,1\n").rejects[0].expected == "a number"


ONCE = "x,word\n1.5, Private\n"
ALIKE = {
    "CRLF": ONCE.replace("\n", "\r\n"),
    "CR": ONCE.replace("\n", "\r"),
    "no end": ONCE.rstrip(),
    "blank lines": "\n\r\n" + ONCE.replace("\n", "\n\n\n"),
    "emptied rows at the end": ONCE + ",\n,,,\n\n,",
    "quoted": '"x","word"\r\n"1.5"," Private"\r\n',
    "spaces around names": " x ,\tword\n1.5, Private\n",
    "other case": "X,WORD\n1.5, Private\n",
    "another order, and more": "word,more,X\n Private,,1.5\n",
    "an exact name wins": "X,x,word\n9,1.5, Private\n",
    "tabs": "x\tword\n1.5\t Private\n",
    "semicolons": "x;word\n1,5; Private\n",
    "commas in a quoted name": '"a,b,c";x;word\n;1,5; Private\n',
    "surplus that is empty": ONCE.replace("Private", "Private,,"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_tables_mean_the_same_however_they_are_written(name):
    """Line ends, quotation marks, delimiters, names."""
    same(through(ONE, ALIKE[name].encode()), through(ONE, ONCE.encode()))


def test_a_title_names_a_column():
    """As the page shows it, unless another column has it as its exact name."""
    contract = contract_of({"x": ("double", True), "y": ("double", False)}, {"x": "Months as a customer", "y": "x"})
    found = through(contract, b"months as a CUSTOMER\n5\n")
    assert columns_of(found.rows)[0].tolist() == [5.0]
    assert through(contract, b"x\n5\n").accepted == (0,)


def test_lines_that_are_no_rows_do_not_count():
    """A reject's row is the position among data rows, the same in a file, frozen, and online."""
    found = through(ONE, b'x,word\n\n1,"two\n\nlines"\n\nbad,a\n,\n\r\n2\n3,a,more\ninf\n')
    assert [(each.row, each.rule) for each in found.rejects] == [(1, "type"), (4, "row"), (5, "not_finite")]
    assert found.accepted == (0, 2, 3)
    assert found.rejects[1].expected == "at most 2 cells, one for each name in the first line"
    assert found.rejects[1].got == "3 cells"


def test_a_row_of_one_column_may_be_missing():
    """In quotation marks, as pandas writes it; a line without them is blank."""
    found = through(contract_of({"x": ("double", False)}), b'x\n1\n""\n\n2\n')
    assert found.accepted == (0, 1, 2)


LETTERS = {"windows-1251": "Ж", "windows-1253": "Ω", "shift_jis": "京", "euc-kr": "한", "gb18030": "京"}


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "utf-8"])
def test_an_encoding_is_read_where_it_is_named(name):
    """And nowhere else: a file that is not UTF-8 is refused with what to do."""
    letters = {"windows-1251": "Ж", "windows-1253": "Ω", "shift_jis": "京", "euc-kr": "한", "gb18030": "京"}.get(
        name, "ü"
    )
    data = f"x,word\n1,{letters}\n".encode(ENCODINGS[name])
    assert columns_of(through(ONE, data, name).rows)[1].tolist() == [letters]
    refused = through(ONE, data).refused
    assert refused.startswith(("Expected a table in UTF-8, got other bytes", "Expected a table in CSV"))


@pytest.mark.parametrize(
    ("data", "encoding", "refused"),
    [
        (b"x,word\n1,\xfc\n", "", "Expected a table in UTF-8, got other bytes."),
        (codecs.BOM_UTF8 + b"x,word\n1,\xfc\n", "windows-1252", "Expected a table in UTF-8, got other bytes."),
        (codecs.BOM_UTF16_LE + b"x", "", "Expected a table in UTF-16, got other bytes."),
        (b"x,word\n1,\x81\n", "windows-1252", "Expected a table in windows-1252, got other bytes."),
        (b"x,word\n1,a\0\n", "", "got a file that is no text; save the table as CSV."),
        (b"", "", "got nothing."),
        (b"\n\r\n", "", "got nothing."),
        (b'x,word\n1,"a', "", "got text that is none: unexpected end of data."),
        (b'x,word\n1,"a"b\n', "", "got text that is none: ',' expected after '\"'."),
        (b"x,word\n1," + b"a" * 200_000, "", "got text that is none: field larger than field limit (131072)."),
        (b"x,x,word\n1,1,a\n", "", 'Expected one column that means "x", got 2 of them.'),
        (b"X, x ,word\n1,1,a\n", "", 'Expected one column that means "x", got 2 of them.'),
        (b"x\n", "", "got no row below the first line."),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_one_sentence(data, encoding, refused):
    """The same through both doors but for what to do about an encoding."""
    assert through(ONE, data, encoding).refused.endswith(refused)


def test_a_required_column_that_lacks_refuses_the_table():
    """In a sentence that names it, and nothing that stands in the file."""
    contract = contract_of({"x": ("double", True), "word": ("string", False), "y": ("double", True)})
    refused = 'Expected the columns "x", "y" in the first line, got one without them.'
    assert through(contract, b"Ms Miller,word\n1,a\n").refused == refused


def test_a_name_that_means_two_columns_refuses_the_table():
    """Names that differ in their case only have to be exact."""
    contract = contract_of({"a": ("double", False), "A": ("double", False), "ä": ("double", False)}, {"ä": "Total"})
    assert through(contract, b"a,A\n1,2\n").accepted == (0,)
    assert "got one that means" not in (through(contract, b"a,total\n1,2\n").refused or "")
    contract = contract_of({"aa": ("double", False), "AA": ("double", False)})
    assert through(contract, b"Aa\n1\n").refused == (
        'Expected columns by their exact names, got one that means "aa" and "AA".'
    )


@pytest.mark.parametrize("door", ["online", "batch"])
def test_another_encoding_is_refused_with_what_to_do(door, tmp_path):
    """A person saves the file otherwise or a program says its charset; a job names it in its values."""
    advice = {"online": lists.ADVICE, "batch": csv_files.ADVICE}[door]
    assert {"online": "CSV UTF-8", "batch": "source.encoding"}[door] in advice
    assert ENCODINGS.keys() & re.findall(r"[a-z0-9-]+", advice) == {"windows-1252"}


def test_lists_are_read_as_json():
    """In a cell in quotation marks; what is none is refused as itself, and neighbours are taken."""
    data = b'numbers,text,count\n"[1, 2.5]",a,1\n"[1,",b,1\n[],c,\n"[1, null]",d,1\n,e,x\n" [3] ",f,12.0\n[NaN],,\n'
    found = through(LISTS, data)
    assert [(each.row, each.column, each.rule) for each in found.rejects] == [
        (1, "numbers", "type"),
        (3, "numbers", "type"),
        (4, "numbers", "missing"),
        (4, "count", "type"),
        (6, "numbers", "not_finite"),
    ]
    assert [each.tolist() for each in columns_of(found.rows)[0]] == [[1.0, 2.5], [], [3.0]]


def test_tables_of_two_delimiters_may_be_one_input():
    """A piece of a frozen input may have rows of several files; each keeps its decimal sign."""
    texts = pa.RecordBatch.from_pydict({"x": ["1.5", "1,5", None], "word": ["a", "b", "c"]})
    columns = {column.name: column for column in ONE.signature.columns}
    pieces = [read_columns(texts, columns, {2: 4}, 2, comma=comma) for comma in (False, True)]
    checked = check_piece(ONE, pa.Table.from_batches(pieces).combine_chunks().to_batches()[0])
    assert checked.accepted.tolist() == [0, 4]
    assert [(each.row, each.rule) for each in checked.rejects] == [(1, "type"), (2, "row"), (3, "type"), (5, "row")]
    assert [" comma" in each.expected for each in checked.rejects if each.rule == "type"] == [False, True]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"files": "s3://lake/a.csv", "encoding": "rot13"},
            "source.encoding is 'rot13'; expected one of utf-8, utf",
        ),
        ({"files": "s3://lake/a.parquet", "encoding": "windows-1252"}, "source.encoding is of CSV files"),
        ({"files": "s3://lake/a.csv", "encoding": 1252}, "encoding is 1252; expected str"),
    ],
)
def test_a_job_has_an_encoding_that_is_known(source, said):
    """Before anything is read."""
    with pytest.raises(JobError, match=re.escape(said)):
        Job.from_json({**JOB, "source": {"query": "", **source}})


def test_a_job_of_an_older_chart_has_no_encoding():
    """The key came later; without it a file is UTF-8."""
    assert Job.from_json(JOB).encoding == ""
    source = {"query": "", "files": "s3://lake/a.csv.gz", "encoding": "windows-1252"}
    assert Job.from_json({**JOB, "source": source}).encoding == "windows-1252"


@pytest.mark.parametrize("kinds", [KINDS, {name: (kind, False) for name, (kind, _) in KINDS.items()}])
def test_the_example_comes_back_as_it_is(kinds):
    """GET /example.csv, for each kind of column, with gaps, odd names and a last row of nothing."""
    values = {
        "boolean": [True, False],
        "integer": [1, -(2**31)],
        "long": [-5, 2**53 - 1],
        "float": [0.5, -1e30],
        "double": [1e-300, 12],
        "string": [" Private", 'say "x";\r\n'],
        "binary": ["YWJj", "AA=="],
        "datetime": ["2026-11-23T08:00:00Z", "1999-01-01"],
    }
    contract = contract_of({f"{name};,\t": kind for name, kind in kinds.items()})
    rows = [{f"{name};,\t": values[kind][number] for name, (kind, _) in kinds.items()} for number in (0, 1)]
    rows += [{f"{name};,\t": rows[0][f"{name};,\t"] if required else None for name, (_, required) in kinds.items()}] * 2
    found = through(contract, lists.example(contract, rows).encode())
    wanted = contract.check_rows(rows)
    assert not found.rejects
    same(found, Door(wanted.rows, tuple(wanted.accepted.tolist()), wanted.rejects))


def test_lists_and_unnamed_columns_come_back_as_they_are():
    """The same, for what is rare."""
    rows = [{"numbers": [1.5, 2.0], "text": None, "count": 3}, {"numbers": [], "text": " ", "count": None}]
    wanted = LISTS.check_rows(rows)
    same(through(LISTS, lists.example(LISTS, rows).encode()), Door(wanted.rows, (0, 1), ()))
