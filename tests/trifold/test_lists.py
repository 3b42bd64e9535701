"""Lists in CSV: every row comes back, with an answer that is the server's own or with the reason why there is none."""

import csv
import dataclasses
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trifold.contract.profile import Feature
from trifold.errors import BodyRefused, TableRefused
from trifold.model import Model
from trifold.online import lists
from trifold.online.refusals import Refused

HEADER = "tenure,charges,total,active,plan,region"
GOOD = "5,70.5,300,true,plus,north"
ADDED = ["prediction", "probability No", "probability Yes", "sure", "refused"]


@pytest.fixture(scope="module")
def model(built_customers):
    """The customers' model, with titles and a threshold."""
    loaded = Model.load(built_customers.model)
    features = {**loaded.contract.profile.features, "tenure": Feature(title="Months as a customer")}
    profile = dataclasses.replace(loaded.contract.profile, features=features, threshold=0.75)
    loaded.contract = dataclasses.replace(loaded.contract, profile=profile)
    return loaded


def table(*rows, header=HEADER, end="\n"):
    """A CSV file of these lines."""
    return end.join([header, *rows, ""]).encode()


def scored(model, body, most_rows=1000, encoding=""):
    """The table that comes back: its header, and its rows as objects."""
    text = lists.answered(model, body, most_rows, encoding).decode("utf-8-sig")
    delimiter = max(",;\t", key=text.splitlines()[0].count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    return rows[0], [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_an_answer_stands_beside_each_row(model):
    """The table comes back in its own order with its own cells, and five columns more."""
    header, rows = scored(model, table(GOOD, "60,20,,no,basic,south"))
    assert header == [*HEADER.split(","), *ADDED]
    assert [row["tenure"] for row in rows] == ["5", "60"]
    assert [row["prediction"] for row in rows] == ["Yes", "No"]
    assert [row["refused"] for row in rows] == ["", ""]


def test_answers_are_those_of_predict(customers_server):
    """A list and the same rows in JSON are answered with the same bits."""
    example = customers_server.ask("GET", "/example.csv")[2]
    status, headers, body = customers_server.ask("POST", "/predict/csv", example, {"Content-Type": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    expected = customers_server.predict({"rows": customers_server.model["input_example"]})[1]
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert headers["Content-Disposition"] == 'attachment; filename="answers.csv"'
    assert [row["prediction"] for row in rows] == expected["predictions"]
    found = [{name: float(row[f"probability {name}"]) for name in ("No", "Yes")} for row in rows]
    assert found == expected["probabilities"]


def test_a_bad_row_sinks_no_neighbour(model):
    """Rows that break the contract, and one that only the model refuses, say why; the others are answered."""
    bad = ["x,70,300,true,plus,north", "5,70,300,maybe,plus,north", "5,70,300,true,plus,east", "5,,300,true,plus,north"]
    _, rows = scored(model, table(bad[0], GOOD, bad[1], GOOD, bad[2], bad[3], GOOD))
    assert [bool(row["prediction"]) for row in rows] == [False, True, False, True, False, False, True]
    reasons = [row["refused"] for row in rows if row["refused"]]
    assert reasons[0] == 'tenure: expected a whole number, got "x"'
    assert reasons[1] == 'active: expected true or false, got "maybe"'
    assert "east" in reasons[2]
    assert reasons[3] == "charges: expected a number, got null"


def test_only_bad_rows_are_an_accepted_table(model):
    """A list in which nothing can be answered comes back all the same, with every reason."""
    _, rows = scored(model, table("x,70,300,true,plus,north", "5,70,300,true,plus,east"))
    assert [row["prediction"] for row in rows] == ["", ""]
    assert all(row["refused"] for row in rows)


@pytest.mark.parametrize(
    "body",
    [
        table(GOOD, end="\r\n"),
        table(GOOD, "", ",,,,,"),
        b"\xef\xbb\xbf" + table(GOOD),
        ("\ufeff" + table(GOOD).decode()).encode("utf-16-le"),
        table("5;70,5;300;true;plus;north", header=HEADER.replace(",", ";")),
        table(GOOD.replace(",", "\t"), header=HEADER.replace(",", "\t")),
        table(' 5 , 70.5,"300",YES,plus,north', header=HEADER.upper()),
        table(GOOD, header=HEADER.replace("tenure", "Months as a customer")),
        table("someone,5,70.5,300,1,plus,north", header="name," + HEADER),
        table("north,plus,true,300,70.5,5", header="region,plan,active,total,charges,tenure"),
    ],
    ids=["Windows", "empty lines", "mark", "UTF-16", "semicolons", "tabs", "spaces", "title", "extra", "order"],
)
def test_tables_are_read_as_spreadsheets_write_them(model, body):
    """Delimiters, encodings, decimal commas, words for true, titles and more columns all give the same answer."""
    _, expected = scored(model, table(GOOD))
    _, rows = scored(model, body)
    assert len(rows) == 1
    found = {name: rows[0][name] for name in ADDED}
    if ";" in body.decode(errors="replace"):  # its answers have decimal commas too
        assert "," in found["probability Yes"]
        found = {name: text.replace(",", ".") for name, text in found.items()}
    assert found == {name: expected[0][name] for name in ADDED}


def test_an_old_windows_file_keeps_its_letters(model):
    """Where its encoding is named it comes back as UTF-8; else it is refused, and no letter is guessed."""
    body = table("Müller," + GOOD, header="name," + HEADER).decode().encode("cp1252")
    _, rows = scored(model, body, encoding="windows-1252")
    assert rows[0]["name"] == "Müller"
    assert rows[0]["prediction"]
    with pytest.raises(
        TableRefused, match='got other bytes; save it as "CSV UTF-8", or send its charset, as in Content-'
    ):
        scored(model, body)


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "1,5", "0x10", "٣", "1e999", "--1", "1 2", "=1+1"])
def test_what_is_no_number_is_no_number(model, cell):
    """Text that Python, but no spreadsheet, takes for a number is refused and not guessed at."""
    _, rows = scored(model, table(f'5,"{cell}",300,true,plus,north', GOOD))
    assert rows[0]["refused"].startswith("charges: expected a")
    assert rows[1]["prediction"]


def test_short_and_long_rows(model):
    """Cells that lack are empty; cells without a column's name are refused rather than dropped."""
    _, rows = scored(model, table("5,70.5,300,true,plus", GOOD + ",more", GOOD + ",,"))
    assert rows[0]["refused"].startswith("region: expected")
    assert rows[1]["refused"] == "expected at most 6 cells, one for each name in the first line, got 7 cells"
    assert rows[2]["prediction"]


def test_an_optional_column_may_lack(model):
    """A column that was not complete at training may be left out."""
    _, rows = scored(model, table("5,70.5,true,plus,north", header=HEADER.replace("total,", "")))
    assert rows[0]["prediction"]


def test_unsure_answers_say_so(model):
    """Below the profile's threshold the list says no under sure, as the page does."""
    _, rows = scored(model, table(*(f"{tenure},60,2000,true,plus,north" for tenure in range(0, 72, 3))))
    for row in rows:
        assert row["sure"] == ("yes" if float(row[f"probability {row['prediction']}"]) >= 0.75 else "no")
    assert {row["sure"] for row in rows} == {"yes", "no"}


@pytest.mark.parametrize(
    ("body", "got"),
    [
        (b"", "nothing"),
        (b"\n\n", "nothing"),
        (HEADER.encode(), "no row below the first line"),
        (table(GOOD, header="a,b,c"), "one without them"),
        (b"PK\x03\x04\0\0", "no text"),
        (b'"tenure\n1', "unexpected end of data"),
        (table('5,"a"b,3,true,plus,north'), "expected after"),
        (b"a" * 200_000 + b"\n1", "field larger than field limit"),
    ],
    ids=["empty", "blank", "no rows", "no columns", "spreadsheet", "quote", "quotes", "one cell"],
)
def test_what_is_no_table_is_refused_as_a_whole(model, body, got):
    """Whoever sends a spreadsheet's own file, or other columns, is told what is expected."""
    with pytest.raises(BodyRefused, match=got):
        lists.answered(model, body, 1000)


@pytest.mark.parametrize(
    "body",
    [
        table(*[GOOD] * 11),
        table("1\n" * 5_000_000),
        table("\n1" * 6, header=HEADER + "," * 1_000_000),
        table("1" + "," * 6_000_000),
    ],
    ids=["rows", "short rows", "columns", "cells of a row"],
)
def test_too_much_is_refused_before_it_is_held(model, body):
    """Ten megabytes of short lines would be half a gigabyte of lists."""
    with pytest.raises(Refused) as refused:
        lists.answered(model, body, 10)
    assert refused.value.answer[0] == 413


def test_a_server_tells_no_from_csv(customers_server):
    """Another type of body, too large a one, and another method are refused as everywhere."""
    ask = customers_server.ask
    assert ask("POST", "/predict/csv", table(GOOD), {"Content-Type": "application/json"})[0] == 415
    assert ask("GET", "/predict/csv")[0] == 405
    status, _, body = ask("POST", "/predict/csv", b"a,b\n1,2\n", {"Content-Type": "text/csv"})
    assert (status, json.loads(body)["errors"][0]["rule"]) == (422, "body")
    named = table("Müller," + GOOD, header="name," + HEADER).decode().encode("cp1252")
    status, _, body = ask(
        "POST", "/predict/csv", named, {"Content-Type": 'text/csv; header=present; charset="Windows-1252"'}
    )
    assert (status, body.decode("utf-8-sig").splitlines()[1][:7]) == (200, "Müller,")
    status, _, body = ask("POST", "/predict/csv", named, {"Content-Type": "text/csv; charset=rot13"})
    assert (status, json.loads(body)["errors"][0]["got"]) == (415, "rot13")
    status, _, body = ask("POST", "/predict/csv", table(*[GOOD] * 10_001), {"Content-Type": "text/csv"})
    assert (status, json.loads(body)["errors"][0]["rule"]) == (413, "too_large")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=8), max_size=8))
def test_any_table_comes_back_whole(model, rows):
    """Whatever stands in the cells, each row comes back once with its own cells, and has an answer or a reason."""
    file = io.StringIO()
    csv.writer(file).writerows([HEADER.split(","), *rows])
    sent = rows
    while sent and not any(sent[-1]) and len(sent[-1]) != 1:
        sent = sent[:-1]  # a line of nothing but commas
    sent = [row for row in sent if row]  # a blank line
    try:
        _, found = scored(model, file.getvalue().encode())
    except BodyRefused:
        assert not sent or "\0" in file.getvalue() or any("\r" in cell or "\n" in cell for row in sent for cell in row)
        return
    assert len(found) == len(sent)
    for row, before in zip(found, sent, strict=True):
        assert list(row.values())[: min(6, len(before))] == before[:6]
        assert bool(row["prediction"]) != bool(row["refused"])


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\xff", b"\xfe\xff\xd8\x00", b"a;b\tc,d\n1"])
def test_odd_bytes_are_refused(model, body):
    """No byte sequence makes the server fail."""
    with pytest.raises(BodyRefused):
        lists.answered(model, body, 10)
