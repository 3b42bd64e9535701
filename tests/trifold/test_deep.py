"""`check --deep`: answers are compared with MLflow's pyfunc, and what cannot be compared is never called equal."""

import json
import logging
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from trifold.contract.contract import Contract
from trifold.contract.dtypes import Dtype
from trifold.contract.profile import Profile
from trifold.errors import TrifoldError
from trifold.model import Model
from trifold.online.release import describe
from trifold.ops import check as checks
from trifold.ops import cli, deep, deep_environment, deep_probe, processes, trial
from trifold.ops import registry as registries
from trifold.ops.artifact import Artifact
from trifold.ops.check import check
from trifold.ops.deep_answers import answer_generated
from trifold.ops.deep_probe import Part, Pyfunc
from trifold.ops.deep_rows import Pair, find_gaps, find_lost_times, judge, write_body
from trifold.ops.findings import Report
from trifold.ops.home import ROOT
from trifold.packed import Packed

sys.path.insert(0, str(Path(__file__).parent))
import models  # found beside this file in every worker and by mlflow alike

PINNED = [f"{name}=={sys.modules[name].__version__}" for name in ("numpy", "pandas")]
REQUIREMENTS = [*PINNED, "scikit-learn", "skops"]


def pair(ours, theirs, row=None, **more):
    """A row with one prediction a side."""
    return Pair(row, ours and [[ours]], theirs and [[theirs]], **more)


def contract(dtypes=None, profile=None, **columns):
    """A contract of columns, by name their MLflow type; one with a ? may be missing."""
    specs = [
        {"type": kind.rstrip("?"), "name": name, "required": not kind.endswith("?")} for name, kind in columns.items()
    ]
    return Contract.read({"inputs": json.dumps(specs)}, profile, dtypes)


def report():
    """A report of a model called churn."""
    pin = registries.Pin("churn", "1", None, "", "0" * 64, "", Path("/none"))
    return Report(pin, trusted=("own.Step",), deep=True)


class TestJudge:
    """Labels are equal, numbers up to what another order of sums changes."""

    def test_equal_answers_are_counted(self):
        """Two rows alike, one of them not to the last bit."""
        found = judge([pair("yes", "yes"), pair(1.0, 1.0 + 1e-12)])
        assert (found.rows, found.close, found.rough, found.wrong) == (2, 1, 0, 0)

    def test_another_label_is_wrong_and_named_by_its_row(self):
        """Who reads it can ask again: the row, what was expected, what came."""
        found = judge([pair(1, 1), pair("no", "yes", {"age": 3}), pair("no", "yes", {"age": 4})])
        assert (found.rows, found.wrong) == (3, 2)
        assert found.first == '{"age": 3}: expected "yes", came "no"'

    @pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (True, 1), ("1", 1), (0.2, 0.93), (1.0, "a")])
    def test_what_differs_is_wrong(self, ours, theirs):
        """A label of another type is another label."""
        assert judge([pair(ours, theirs)]).wrong == 1

    def test_number_within_single_precision_is_rough(self):
        """Between the two tolerances nobody is right or wrong: it is said, and how much it is."""
        found = judge([pair(1.0, 1.0), pair(1.0, 1.0 + 1e-7)])
        assert (found.rough, found.wrong) == (1, 0)
        assert found.worst == pytest.approx(1e-7)

    def test_first_wrong_row_is_named_before_a_rough_one(self):
        """What matters most is shown."""
        assert "came 2.0" in judge([pair(1.0, 1.0 + 1e-7), pair(2.0, 1.0)]).first

    def test_what_is_left_of_greater_numbers_is_measured_by_those(self):
        """A difference of a millionth of nothing is none, where other answers are millions."""
        assert judge([pair(1e6, 1e6), pair(1e-7, 2e-7)]).rough == 0
        assert judge([pair(1e-7, 2e-7)]).wrong == 1

    def test_probabilities_are_compared_beside_predictions(self):
        """The same label with other probabilities is another answer."""
        row = Pair(None, [["a"], [0.7, 0.3]], [["a"], [0.6, 0.4]])
        assert judge([row]).wrong == 1
        assert judge([Pair(None, [["a"], [0.7, 0.3]], [["a"], [0.7]])]).wrong == 1
        assert judge([Pair(None, [["a"], [0.7, 0.3]], [["a"]])]).wrong == 1

    def test_refusals_of_one_side_are_counted_by_side(self):
        """They are no answers, and not equal to any."""
        found = judge([pair(None, 1, why="no town"), pair(1, None, why="no int"), pair(None, None, why="neither")])
        assert found.rows == 0
        assert found.refused == {"Trifold": 1, "MLflow's pyfunc": 1}
        assert found.why == {"Trifold": "no town", "MLflow's pyfunc": "no int"}
        assert found.left_out == {"refused by both": 1}

    def test_what_is_left_out_is_counted_by_reason_and_never_as_equal(self):
        """Though both sides may say the same of it."""
        found = judge([pair(1, 1, left_out="a"), pair(1, 2, left_out="a"), pair(1, 1, left_out="b")])
        assert (found.rows, found.wrong, found.left_out) == (0, 0, {"a": 2, "b": 1})


class TestRequest:
    """Rows are sent to MLflow as a client of MLflow's would write what stood in the training data."""

    def test_columns_are_split(self):
        """In the signature's order, by their own names."""
        body = write_body(contract(a="long", b="string"), [{"b": "x", "a": 1}])
        assert body == {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"]]}}

    def test_a_missing_value_is_sent_as_it_stood_at_training(self):
        """JSON's null becomes None among text in some versions of pandas, NaN in others."""
        known = contract({"n": Dtype("object", "None")}, s="string?", n="string?", t="datetime?", b="boolean?")
        row = {"s": None, "n": None, "t": None, "b": None}
        data = write_body(known, [row])["dataframe_split"]["data"][0]
        assert np.isnan(data[0])
        assert data[1:] == [None, None, None]
        assert find_gaps(known, row) == [("s", "NaN"), ("n", "None"), ("t", "NaT"), ("b", "None")]

    def test_times_without_a_zone_are_sent_without_one(self):
        """MLflow refuses a column of times with a zone."""
        assert write_body(contract(t="datetime"), [{"t": "2026-11-23T05:00:00Z"}])["dataframe_split"]["data"] == [
            ["2026-11-23T05:00:00"]
        ]

    def test_columns_without_names_and_tensors_keep_their_form(self):
        """Rows are lists, or single values."""
        unnamed = Contract.read({"inputs": json.dumps([{"type": "string", "required": True}])})
        assert write_body(unnamed, ["late cab"]) == {"dataframe_split": {"data": [["late cab"]]}}
        spec = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
        tensor = Contract.read({"inputs": json.dumps([spec])})
        assert write_body(tensor, [[1.0, None]]) == {"inputs": [[1.0, None]]}
        assert find_gaps(tensor, [1.0, None]) == []

    @pytest.mark.parametrize(
        ("dtype", "words"),
        [
            (Dtype("datetime64[us, Europe/Berlin]", "NaT"), "zone Europe/Berlin"),
            (Dtype("object", "None", items="date"), r"objects \(date\)"),
        ],
    )
    def test_times_that_no_request_carries_are_said(self, dtype, words):
        """Their hour, or their type, is lost on the way."""
        assert re.search(words, find_lost_times(contract({"t": dtype}, t="datetime")))

    def test_a_unit_matters_only_where_training_told_it(self):
        """A plainly logged model's was found not to matter, or check said no."""
        dtypes = {"t": Dtype("datetime64[us]", "NaT")}
        assert not find_lost_times(contract(dtypes, t="datetime"))
        assert "in us" in find_lost_times(contract(dtypes, Profile.from_json({"format": 1}), t="datetime"))


class Doubler:
    """An estimator that doubles column x, and refuses what is negative."""

    def predict(self, X):
        """Two times x."""
        x = np.asarray(X["x"], dtype=float)
        if (x < 0).any():
            raise ValueError("negative")
        return 2 * x


def ask(estimator, values, gaps=None, enforce=lambda data: data):
    """What a pyfunc says of a column x."""
    frame = pd.DataFrame({"x": values})
    part = Part(lambda places: deep_probe.take_rows(frame, places), gaps or [[] for _ in values])
    Pyfunc(estimator, enforce, has_probabilities=False).ask(part, list(range(len(values))))
    return part


class TestPyfunc:
    """The process with MLflow: each row is answered, refused, or left out with a reason."""

    def test_refused_rows_are_found_and_the_others_answered(self):
        """One bad row makes MLflow refuse a whole request."""
        part = ask(Doubler(), [1.0, -1.0, 3.0, -5.0, 7.0])
        assert part.answers == {0: [[2.0]], 2: [[6.0]], 4: [[14.0]]}
        assert part.refused == {1: "ValueError: negative", 3: "ValueError: negative"}

    @pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1.0]])
    def test_one_answer_to_any_rows_is_none_to_a_row(self, values):
        """A vectorizer given a DataFrame answers for the names of its columns."""
        part = ask(type("Constant", (), {"predict": lambda self, X: [1]})(), values)
        assert not part.answers
        assert set(part.left_out.values()) == {f"pyfunc gives 1 answers to {max(len(values), 2)} rows"}

    def test_another_marker_than_at_training_is_left_out(self):
        """The answer would be one to another row."""
        part = ask(Doubler(), [np.nan, np.nan, 2.0], gaps=[[("x", "None")], [("x", "NaN")], []])
        assert set(part.answers) == {1, 2}
        assert part.left_out == {0: "no value in x: None at training, NaN by MLflow"}

    @pytest.mark.parametrize(
        ("value", "came"), [(None, "None"), (pd.NaT, "NaT"), (pd.NA, "NA"), (np.nan, "NaN"), (np.False_, "False")]
    )
    def test_the_marker_that_came_is_told(self, value, came):
        """MLflow makes False of a missing boolean."""
        frame = pd.DataFrame({"x": pd.Series([value], dtype=object)})
        assert deep_probe.find_lost(frame, 0, [("x", came)]) == ""
        assert f"{came} by MLflow" in deep_probe.find_lost(frame, 0, [("x", "other")])

    def test_time_for_single_rows_is_limited(self):
        """A slow model that refuses all is given up, and that is said."""
        part = Part(lambda places: pd.DataFrame({"x": [-1.0] * len(places)}), [[], []], ends=0.0)
        Pyfunc(Doubler(), lambda data: data, has_probabilities=False).ask(part, [0, 1])
        assert set(part.left_out.values()) == {"not asked one by one within 60 s"}
        assert not part.refused

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ([10, 11, 12], [12, 10]),
            ({"a": [10, 11, 12]}, {"a": [12, 10]}),
            ({"a": 1, "b": [1, 2]}, [{"a": 1, "b": [1, 2]}] * 2),
        ],
    )
    def test_rows_of_any_example_can_be_taken(self, data, expected):
        """MLflow gives DataFrames, arrays, lists and objects."""
        assert deep_probe.take_rows(data, [2, 0]) == expected

    def test_rows_are_read_and_enforced_by_mlflow(self):
        """The same functions that its server calls."""
        schema = infer_signature(pd.DataFrame({"a": [1.0], "s": ["x"]})).inputs
        body = {"dataframe_split": {"columns": ["s", "a"], "data": [["x", 1], ["y", 2]]}}
        rows = deep_probe.read_rows(deep_probe.take_body(body, [1]), schema)
        given = deep_probe.enforce(rows, schema)
        assert given.to_dict("list") == {"a": [2], "s": ["y"]}
        with pytest.raises(mlflow.MlflowException):
            deep_probe.read_rows({"dataframe_split": {"columns": ["s", "a"], "data": [["x", "one"]]}}, schema)

    def test_values_are_listed_as_the_server_lists_them(self):
        """Times as text, one output as a list of one."""
        assert deep_probe.list_values(np.array([1.5, 2.5])) == [[1.5], [2.5]]
        assert deep_probe.list_values(np.array(["2026-11-23"], dtype="datetime64[s]")) == [["2026-11-23T00:00:00Z"]]


class TestTell:
    """One finding, and what GET /model says."""

    def tell(self, pairs, **options):
        """The report, with the finding alone."""
        made = report()
        made.compared = options.pop("compared", None)
        deep.tell(made, judge(pairs), "3.1.0", **{"is_single": False, **options})
        (finding,) = made.findings
        return made, finding

    def test_equal_is_yes_with_the_tolerance_and_what_was_not_compared(self):
        """The number of rows that were not compared is part of the sentence."""
        made, finding = self.tell([pair(1, 1), pair(1, 1, left_out="no value in x"), pair(1, None, why="Cannot cast")])
        assert (finding.subject, finding.verdict) == ("deep", "yes")
        assert finding.says.startswith("1 row, ")
        assert "to 1e-09" in finding.says
        assert "1 row (MLflow's pyfunc refuses them (Cannot cast)), 1 row (no value in x)" in finding.says
        assert made.compared == {
            "with": "MLflow's pyfunc", "rows": 1, "by": ["JSON"], "close": 0, "refused": {"MLflow's pyfunc": 1},
            "left_out": {"no value in x": 1},
        }  # fmt: skip

    def test_different_is_no_with_the_row(self):
        """And nothing is said to have been compared."""
        made, finding = self.tell([pair(1, 1), pair("no", "yes", {"age": 3})])
        assert finding.verdict == "no"
        assert "1 of 2 rows answered otherwise" in finding.says
        assert '{"age": 3}: expected "yes", came "no"' in finding.says
        assert made.compared is None
        assert made.failed

    def test_training_s_own_answers_are_believed_before_pyfunc_s(self):
        """MLflow's signature does not keep what training's rows do."""
        kept = {"with": "the estimator's own answers at training"}
        made, finding = self.tell([pair("no", "yes")], compared=kept)
        assert finding.verdict == "warn"
        assert made.compared == kept

    def test_rounding_of_single_precision_is_a_warning_or_expected(self):
        """It is expected where the input or the answer is of single precision."""
        rough = [pair(1.0, 1.0 + 1e-7)]
        assert self.tell(rough)[1].verdict == "warn"
        said = self.tell(rough, is_single=True)[1]
        assert (said.verdict, "to 1e-05" in said.says) == ("yes", True)

    def test_rows_that_the_server_alone_refuses_are_a_warning(self):
        """Who moves from MLflow's server would meet them."""
        finding = self.tell([pair(None, 1, why="no town"), pair(1, 1)])[1]
        assert finding.verdict == "warn"
        assert "no town" in finding.says

    @pytest.mark.parametrize("only", [pair(1, 1, left_out="times"), pair(1, None, why="x"), pair(None, 1, why="x")])
    def test_nothing_to_compare_is_a_warning_and_no_comparison(self, only):
        """It is never a yes over no rows."""
        made, finding = self.tell([only])
        assert finding.verdict == "warn"
        assert "were not compared with MLflow's pyfunc" in finding.says
        assert made.compared is None

    def test_plain_model_is_told_the_command_with_the_caller_s_flags(self):
        """The line can be copied as it is."""
        made = report()
        made.deep = False
        deep.tell_of_none(made)
        assert made.findings[0].verdict == "warn"
        assert made.findings[0].fix[0].startswith("trifold check churn/1 --trust own.Step --deep")
        assert "trifold.log_model" in made.findings[0].fix[1]
        assert "--deep" not in made.command("serve", deep=True)


class Shifted:
    """A regressor of column x that refuses what is negative."""

    def predict(self, X):
        """A little more than x."""
        values = np.asarray(X, dtype=float).ravel()
        if (values < 0).any():
            raise ValueError("negative")
        return values + 0.5


class TestGenerated:
    """What the server says of generated rows, in the model's environment."""

    def test_rows_come_with_answers_or_refusals(self):
        """Each row that is not refused has an answer, in order, through the door that JSON comes by."""
        model = Model(Shifted(), contract(x="double"), form="matrix")
        base = model.contract.check_rows([{"x": 1.0}, {"x": -2.0}, {"x": 3.0}]).rows
        found = answer_generated(model, base, 50)
        fine = [row["x"] for place, row in enumerate(found["rows"]) if str(place) not in found["refused"]]
        assert len(found["rows"]) == 50
        assert found["refused"]
        assert found["answers"] == {"predictions": [x + 0.5 for x in fine], "probabilities": None}
        assert not found["is_single"]
        assert answer_generated(model, base, 50) == found

    def test_single_precision_is_told(self):
        """Its last bits are others."""
        model = Model(Shifted(), contract(x="double"), form="matrix")
        model._final = type("Single", (), {"predict": lambda self, X: np.zeros(len(X), dtype="float32")})()
        assert answer_generated(model, model.contract.check_rows([{"x": 1.0}]).rows, 5)["is_single"]


LOCK = "numpy==2.4.0 \\\n    --hash=sha256:0\nscikit-learn==1.9.0\nbentoml==1.4.39\nlightgbm==4.6.0\n"


@pytest.fixture
def logged(tmp_path):
    """An artifact that MLflow 2.9.2 logged."""
    (tmp_path / "requirements.txt").write_text("mlflow==2.9.2\nscikit-learn\nlightgbm\n")
    return Artifact(tmp_path, "model.skops", "skops", None, None, None, {}, "predict", "2.9.2")


class TestEnvironment:
    """The artifact's packages and MLflow as it logged the model, in the versions of the image."""

    @pytest.fixture
    def compiled(self, own_home, monkeypatch):
        """What uv was asked to resolve; it can resolve only what is told here."""
        asked, failing = [], []

        def run_compile(wanted, constraints, *options):
            asked.append((wanted, constraints, options))
            fails = any(line in failing for line in wanted)
            return subprocess.CompletedProcess([], int(fails), "a lock", f"no wheel for {len(asked)}" if fails else "")

        monkeypatch.setattr(deep_environment.requirements, "run_compile", run_compile)
        monkeypatch.setattr(deep_environment.environment, "python", lambda lock, *options: (lock, options))
        monkeypatch.setattr(deep_environment.requirements, "kept_lock", lambda key: None)
        return asked, failing

    def test_versions_are_the_image_s_and_mlflow_s_the_logged_one(self, logged, compiled):
        """Of the server's packages none is asked for."""
        assert deep_environment.make(logged, LOCK) == ("a lock", ("--only-binary", ":all:"))
        ((wanted, constraints, options),) = compiled[0]
        assert "mlflow==2.9.2" in wanted
        assert {"lightgbm", "scikit-learn", "skops", "threadpoolctl", "setuptools<81"} <= set(wanted)
        assert sorted(constraints) == ["lightgbm==4.6.0", "numpy==2.4.0", "scikit-learn==1.9.0"]
        assert options[-2:] == ("--only-binary", ":all:")

    def test_a_smaller_mlflow_of_the_same_code_is_the_second_choice(self, logged, compiled):
        """An old MLflow needs old packages that it does not use here."""
        compiled[1].append("mlflow==2.9.2")
        deep_environment.make(logged, LOCK)
        assert "mlflow-skinny==2.9.2" in compiled[0][-1][0]

    def test_none_that_fits_is_told_in_uv_s_words(self, logged, compiled):
        """Those about MLflow itself."""
        compiled[1].extend(["mlflow==2.9.2", "mlflow-skinny==2.9.2"])
        with pytest.raises(TrifoldError, match="no wheel for 1"):
            deep_environment.make(logged, LOCK)

    @pytest.mark.parametrize(
        ("version", "words"),
        [("", "MLmodel says ''"), ("main", "MLmodel says 'main'"), ("1.30.0", "before 2 needs a pandas")],
    )
    def test_version_that_cannot_be_had_is_told(self, logged, version, words):
        """Before uv is asked."""
        with pytest.raises(TrifoldError, match=words):
            deep_environment.make(replace(logged, logged_by=version), LOCK)


class TestFailure:
    """What goes wrong on the way is no word about the model."""

    def compare(self, logged, dtypes=None, **columns):
        """The one finding about a model of some columns."""
        made = report()
        made.lock = LOCK
        fields = contract(dtypes, **columns).to_json()
        made.packed = Packed("churn", "1", "", "", "model.skops", "skops", fields, input_example=({"x": 1},))
        tried = {"answers": {"predictions": [1], "probabilities": None}, "deep": {"rows": []}}
        deep.compare_deeply(made, logged, {}, [0], tried)
        (finding,) = made.findings
        assert finding.verdict == "warn"
        assert made.compared is None
        return finding.says

    def test_environment_that_cannot_be_made_is_a_warning(self, logged, monkeypatch):
        """With uv's own words."""

        def fail(*_):
            raise TrifoldError("pyarrow has no wheel")

        monkeypatch.setattr(deep_environment, "make", fail)
        assert "no environment with MLflow 2.9.2 can be made: pyarrow has no wheel" in self.compare(logged, x="long")

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            ("raise SystemExit('ImportError: no pkg_resources')", "ImportError: no pkg_resources"),
            ("import os; os.kill(os.getpid(), 11)", "SIGSEGV, a crash"),
            ("""print('{"error": "KeyError: 1"}')""", "KeyError: 1"),
        ],
    )
    def test_process_that_fails_is_a_warning(self, logged, monkeypatch, program, words):
        """With what it said last."""
        monkeypatch.setattr(deep_environment, "make", lambda *_: Path(sys.executable))
        monkeypatch.setattr(deep, "start", lambda python, *_: processes.start(python, "-c", program))
        assert words in self.compare(logged, x="long")

    def test_times_that_mlflow_loses_need_no_environment(self, logged):
        """A minute is saved."""
        dtypes = {"t": Dtype("datetime64[us, UTC]", "NaT")}
        assert "t has the zone UTC" in self.compare(logged, dtypes, t="datetime")


@pytest.mark.parametrize(("asked", "plain"), [(None, True), (None, False), (False, True), (True, False)])
def test_a_plain_model_is_compared_where_it_is_built(tmp_path, monkeypatch, asked, plain):
    """`check` asks for it; build, serve and deploy do it where training kept no answers."""
    if not plain:
        (tmp_path / "extra_files").mkdir()
        (tmp_path / "extra_files/answers.parquet").touch()
    pin, calls = registries.Pin("churn", "1", None, "", "0" * 64, "", tmp_path), []
    monkeypatch.setattr(registries, "pin", lambda address: pin)
    monkeypatch.setattr(checks, "check", lambda pin, **options: (calls.append(options["deep"]), Report(pin))[1])
    cli._check("churn/1", [], False, deep=asked)
    assert calls == [plain if asked is None else asked]


def test_a_build_that_was_not_compared_says_so():
    """A warning that nobody sees is none."""
    made = report()
    deep.tell(made, judge([pair(1, None, why="no wheel")]), "3.1.0", is_single=False)
    assert made.list_doubts() == [made.findings[0].says]
    made.findings = [replace(made.findings[0], verdict="yes")]
    assert made.list_doubts() == []


def test_the_program_imports_no_server():
    """The environment has neither Arrow for sure nor BentoML."""
    program = (
        "import sys, trifold.ops.deep_probe; print(*{'pyarrow', 'bentoml', 'orjson', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_a_plain_model_is_compared_and_a_wrong_answer_found(registry, monkeypatch):
    """Through the real environment and process: equal where nothing was changed, no with the row where one was."""
    estimator, X, trusted = models.mixed()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = mlflow.sklearn.log_model(
            estimator, name="model", registered_model_name="deep", input_example=X[:30], skops_trusted_types=trusted,
            signature=infer_signature(X, estimator.predict(X)), pip_requirements=REQUIREMENTS,
        )  # fmt: skip
    pin, calls = registries.pin(f"deep/{info.registered_model_version}"), []
    monkeypatch.setattr(trial, "compare_deeply", lambda *given: (calls.append(given), deep.compare_deeply(*given)))
    found = check(pin, deep=True)
    finding = next(finding for finding in found.findings if finding.subject == "deep")
    assert finding.verdict == "yes", finding
    compared = describe(found.packed)["compared"]
    assert compared["with"] == "MLflow's pyfunc"
    assert compared["rows"] + sum(compared["left_out"].values()) == 230
    assert compared["rows"] > 150

    _, artifact, load, kept, tried = calls[0]
    answers = tried["deep"]["answers"]["predictions"]
    answers[3] = 1 - answers[3]
    again = Report(pin, packed=found.packed, lock=found.lock)
    deep.compare_deeply(again, artifact, load, kept, tried)
    (wrong,) = again.findings
    assert wrong.verdict == "no"
    fine = [row for place, row in enumerate(tried["deep"]["rows"]) if str(place) not in tried["deep"]["refused"]]
    assert json.dumps(fine[3], ensure_ascii=False)[:190] in wrong.says
    assert f"expected {1 - answers[3]}, came {answers[3]}" in wrong.says
    assert again.compared is None
