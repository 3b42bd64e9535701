"""What check says when it says no: whose word it is, what to do, and with the flags that were given."""

import signal
import subprocess
from pathlib import Path

import pytest

from trifold.ops import pins, terminal
from trifold.ops.failures import tell_of_failure, tell_of_plain
from trifold.ops.findings import MODES, NO, Report
from trifold.ops.pin_findings import tell_of_pins
from trifold.ops.processes import documents, ending
from trifold.ops.registry import Pin
from trifold.packed import Packed

PIN = Pin("churn", "3", None, "", "d" * 64, "", Path())


@pytest.fixture
def report():
    """A report on a version for which two flags were given."""
    return Report(PIN, trusted=("mine.Clip",), allow_pickle=True)


def failed(**more):
    """What the probe says of a failure."""
    return {"error": "The model failed.", "kind": "ArtifactError", "types": (), "step": "load", "fitted_by": [], **more}


def told(report):
    """The one finding, as text."""
    [found] = report.findings
    assert found.verdict == NO
    assert found.fix
    return found.says, "\n".join(found.fix)


def test_a_command_repeats_the_flags_that_were_given(report):
    """The printed line failed, since the flag that made check say yes was not in it."""
    assert report.command("serve") == "trifold serve churn/3 --trust mine.Clip --allow-pickle"
    more = report.command("check", trust=["mine.Clip", "mine.Other"])
    assert more == "trifold check churn/3 --trust mine.Clip --trust mine.Other --allow-pickle"


def test_a_command_can_be_copied_whatever_the_models_name():
    """A registered model may have spaces in its name."""
    assert Report(Pin("my model", "1", None, "", "", "", Path())).command("serve") == "trifold serve 'my model/1'"


def test_logging_again_keeps_what_the_model_has(report):
    """Without its code, its packages and its types the new version would not load either."""
    report.code_files, report.extras = ("features.py",), ("imbalanced-learn==0.14.0",)
    assert report.log_again == (
        "trifold.log_model(model, X, registered_model_name='churn', code_paths=['features.py'], "
        "extra_requirements=['imbalanced-learn==0.14.0'], trusted=['mine.Clip'])"
    )


def test_the_next_line_repeats_the_flags(report, capsys):
    """It is the line that a newcomer copies."""
    report.packed = Packed("churn", "3", "", "d" * 64, "model.pkl", "pickle", {})
    terminal.print_report(report)
    assert "next: trifold serve churn/3 --trust mine.Clip --allow-pickle" in capsys.readouterr().out


def test_scikit_learns_own_types_are_not_called_foreign():
    """Who reads "use scikit-learn's own types" of scikit-learn's own type is at a loss."""
    report = Report(PIN)
    tell_of_failure(report, failed(types=["sklearn.new._Thing", "numpy.strange"]), "", None)
    says, fix = told(report)
    assert "of numpy, sklearn itself, but not on Trifold's list" in says
    assert fix == "trifold check churn/3 --trust sklearn.new._Thing --trust numpy.strange"


def test_code_of_others_is_called_so(report):
    """Their code runs when it is loaded, and somebody has to have read it."""
    tell_of_failure(report, failed(types=["imblearn.pipeline.Pipeline"]), "", None)
    says, fix = told(report)
    assert "imblearn.pipeline.Pipeline, code that is not scikit-learn's" in says
    assert "trifold check churn/3 --trust mine.Clip --trust imblearn.pipeline.Pipeline --allow-pickle" in fix


def test_a_type_of_a_notebook_needs_a_module(report):
    """No --trust makes a server find what is in somebody's notebook."""
    tell_of_failure(report, failed(types=["__main__.Clip"]), "", None)
    says, fix = told(report)
    assert "defined in the script or notebook" in says
    assert "code_paths=" in fix
    assert "--trust" not in fix


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("No module named 'imblearn'", "extra_pip_requirements=['imbalanced-learn']"),
        ("No module named 'features'", r"code_paths=['features.py']"),
        ("No module named 'numpy._core.numeric'", "another version of numpy"),
        ("No module named 'sklearn.ensemble._gb_losses'", "another version of scikit-learn"),
        ("Can't get attribute 'Clip' on <module '__main__'>", "code_paths"),
    ],
)
def test_a_module_that_lacks_is_named_with_the_line_that_brings_it(report, error, words):
    """A package, a file of one's own, and another version of numpy are mended each in another way."""
    tell_of_failure(report, failed(error=f"The model needs code that is not installed: {error}."), "", None)
    assert words in told(report)[1]


def test_a_crash_is_told_as_one(report):
    """A signal has no last line, and "exit code -11" says nothing to most."""
    done = subprocess.CompletedProcess([], -signal.SIGSEGV, "", "Fatal Python error: Segmentation fault\n ...")
    tell_of_failure(report, None, ending(done), None)
    assert "SIGSEGV, a crash" in told(report)[0]
    assert "memory" in ending(subprocess.CompletedProcess([], -signal.SIGKILL, "", ""))
    assert ending(subprocess.CompletedProcess([], 3, "", "")) == "exit code 3"
    assert ending(subprocess.CompletedProcess([], 1, "", "Traceback\nTypeError: x\n")) == "TypeError: x"


def test_what_a_models_code_prints_is_passed_over():
    """A print in a transformer stands between the lines that are read."""
    done = subprocess.CompletedProcess([], 0, 'hello\n{"a": 1}\n3\n[1]\n{"b": 2}\n', "")
    assert documents(done) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("predict", "plain scikit-learn cannot predict the input example, as the signature orders it: KeyError: 'x'"),
        ("example", "Trifold cannot rebuild the input example"),
        ("load", "plain scikit-learn cannot load the model"),
    ],
)
def test_only_what_scikit_learn_said_is_told_as_its_word(report, step, words):
    """A KeyError of our own script was told as scikit-learn's."""
    tell_of_plain(report, {"failed": step, "error": "KeyError: 'x'"}, [])
    assert words in told(report)[0]


def test_what_scikit_learn_can_and_trifold_cannot_is_said_so(report):
    """The fault is ours then, and the model needs no new example."""
    ours = failed(step="predict", kind="TypeError", error="TypeError: len() of unsized object")
    tell_of_failure(report, ours, "", {"predictions": [1]})
    says, _ = told(report)
    assert says.startswith("scikit-learn predicts the input example, but as Trifold asks it the model fails: TypeError")


def test_a_model_of_another_scikit_learn_says_so_where_it_fails(report):
    """'LogisticRegression' object has no attribute 'multi_class' is no fault of the example's."""
    theirs = {"failed": "predict", "error": "AttributeError: no multi_class"}
    tell_of_failure(report, failed(step="predict", kind="AttributeError", fitted_by=["1.9.1"]), "", theirs)
    says, fix = told(report)
    assert "fitted by scikit-learn 1.9.1 and cannot predict with the one that is locked" in says
    assert "'scikit-learn==1.9.1'" in fix


def test_files_that_disagree_and_packages_without_a_version_are_warned_of(report):
    """Other packages than at training may give other answers; silence about that was the defect."""
    taken = pins.Line("scikit-learn==1.5.2", "conda.yaml")
    other = pins.Line("scikit-learn==1.9.1", "MLmodel")
    found = pins.Pins((taken,), clashes=(pins.Clash(taken, other),), loose=("numpy", "scipy"), unknown=("libblas",))
    tell_of_pins(report, found, {"scikit-learn": "1.5.2", "numpy": "2.4.6", "scipy": "1.17.1"})
    clash, loose, unknown = report.findings
    assert {one.verdict for one in report.findings} == {"warn"}
    assert (
        "conda.yaml asks for scikit-learn==1.5.2, MLmodel says that it was fitted by scikit-learn 1.9.1" in clash.says
    )
    assert "numpy 2.4.6, scipy 1.17.1" in loose.says
    assert "extra_pip_requirements=['numpy==…', 'scipy==…']" in loose.fix[-1]
    assert "libblas" in unknown.says
    assert [report.verdict(mode) for mode in MODES] == ["yes"] * 3
    assert report.warnings == 3
