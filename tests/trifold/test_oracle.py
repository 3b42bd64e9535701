"""The oracle: rows and answers that training keeps come back as they were, and a wrong answer is found."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression

from trifold.ops.expected import originals
from trifold.ops.oracle import Comparison, Originals, compare, find_sayable, say_csv, say_rows
from trifold.ops.oracle_probe import read_originals
from trifold.ops.originals import FILE, write_originals
from trifold.packed import ARTIFACT

pd.set_option("mode.string_storage", "python")  # as in a server; else texts differ in how they are stored
FRAME = pd.DataFrame(
    {
        "text": pd.Series(["a", None, np.nan, " b"], dtype=object),
        "string": pd.Series(["a", None, "b", "c"], dtype="string"),
        "kind": pd.Series(["x", "y", None, "x"], dtype="category"),
        "whole": pd.Series([1, None, 2**60 + 1, 3], dtype="Int64"),
        "small": pd.Series([1, 2, 3, 255], dtype="uint8"),
        "number": pd.Series([0.1, None, -0.0, 5e-324], dtype="float64"),
        "time": pd.date_range("2024-10-27", periods=4, freq="45min", tz="Europe/Berlin"),
        "seconds": pd.Series(pd.date_range("1500-01-01", periods=4, unit="s")),
        "day": pd.Series([dt.date(2024, 2, 29), None, dt.date(2024, 1, 1), dt.date(1, 1, 1)], dtype=object),
        "data": pd.Series([b"\x00", None, b"", b"a"], dtype=object),
        "list": pd.Series([[1, 2], [3], [], [4]], dtype=object),
    }
)


def keep(folder, model, X):
    """The packed model's folder with what training keeps."""
    file = folder / ARTIFACT / "extra_files" / FILE
    file.parent.mkdir(parents=True)
    write_originals(file, model, X, 2)
    return folder


def test_rows_come_back_as_they_were(tmp_path):
    """dtypes, units, zones, categories, and each None, NaN and NA in its place."""
    model = DummyClassifier(strategy="prior").fit(FRAME, [0, 1, 1, 0])
    rows, about = originals(keep(tmp_path, model, FRAME) / ARTIFACT / "extra_files" / FILE)
    assert about["example"] == 2
    for name in FRAME.columns:
        assert rows[name].dtype == FRAME[name].dtype
        came, were = (
            sorted((type(value).__name__, str(value)) for value in frame[name].tolist()) for frame in (rows, FRAME)
        )
        assert came == were


@pytest.mark.parametrize("X", [np.array([[1.5, np.nan], [2, 3], [4, 5]], "float32"), np.arange(12).reshape(3, 2, 2)])
def test_arrays_come_back_as_they_were(tmp_path, X):
    """Of any shape, and with NaN."""
    model = DummyClassifier(strategy="prior").fit(X, [0, 1, 1])
    found = read_originals(keep(tmp_path, model, X))
    np.testing.assert_array_equal(np.sort(found.rows, axis=0), np.sort(X, axis=0))
    assert found.rows.dtype == X.dtype


def test_an_answer_is_the_same_nearly_or_wrong(tmp_path):
    """To the bit in the same blocks; in the last bits with a warning; anything else is said with its row."""
    X = pd.DataFrame({"a": np.arange(20.0)})
    kept = read_originals(keep(tmp_path, LinearRegression().fit(X, 3 * X.a + 0.1), X))
    said = [list(row) for row in kept.outputs["once"][0]]
    assert compare(kept, [said], None) == Comparison(20)
    near = [[said[0][0] * (1 + 4e-16)], *said[1:]]
    assert compare(kept, [near], None).close == 1
    wrong = compare(kept, [[*said[:3], [said[3][0] + 1e-6], *said[4:]]], 8)
    assert (wrong.wrong, wrong.first[:6]) == (1, "row 3:")


def test_labels_are_never_nearly_right():
    """A class is another class, however near its text."""
    kept = Originals(np.zeros((2, 1)), {"once": [[["yes"], ["no"]]]})
    found = compare(kept, [[["yes"], ["yes"]]], None)
    assert (found.wrong, found.first) == (1, 'row 1: expected "no", came "yes"')


def test_rows_are_said_as_clients_do():
    """JSON without NaN, times with their offset; CSV leaves out what an empty cell cannot say."""
    rows = say_rows(FRAME)
    assert rows[1]["text"] is rows[2]["text"] is rows[1]["whole"] is None
    assert rows[0]["time"] == "2024-10-27T00:00:00+02:00"
    assert rows[0]["day"] == "2024-02-29"
    frame = pd.DataFrame({"a": ["x", "", None], "b": [1.5, 2, None]})
    assert find_sayable(frame) == [0]
    assert say_csv(frame.iloc[[0]]).decode().split() == ["a,b", "x,1.5"]
