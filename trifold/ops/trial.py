"""Try a model in its own environment, beside plain scikit-learn, and say what came of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trifold.answers import Answers, agrees
from trifold.contract.contract import Contract
from trifold.model import FRAME, MATRIX, TEXT
from trifold.ops import environment, registry
from trifold.ops.artifact import Artifact
from trifold.ops.deep import ROWS, compare_deeply, is_plain, tell_of_none
from trifold.ops.example import Fitting
from trifold.ops.failures import tell_of_failure, tell_of_plain
from trifold.ops.findings import BATCH, MODES, NO, STREAM, WARN, YES, Report
from trifold.ops.modes import Rehearsal
from trifold.ops.processes import documents, ending, finish, start
from trifold.packed import NATIVE, NOT_PROVEN, Packed
from trifold.trust import TRUSTED

DOUBTS = {
    ("unit", True): ("is a time, whose unit MLflow's signature does not keep, and answers depend on it", NO),
    ("unit", False): ("is a time, whose unit MLflow's signature does not keep; answers do not depend on it", WARN),
    ("zone", True): ("is a time with a zone, which MLflow's signature does not keep, and answers depend on it", NO),
    ("zone", False): ("is a time with a zone, which MLflow's signature does not keep; it is taken for UTC", WARN),
    ("missing", True): (
        "may be missing, and the model tells None, NaN and NA apart, but nothing says which it was at training; a row "
        "without a value is refused (422)", WARN,
    ),
}  # fmt: skip
"""What is said of a doubt, by what it is of and whether the answers depend on it, as far as was tried."""
MOST = 5
"""Columns that are named; there may be hundreds."""
ROUNDING = 1e-4
"""Of the largest number: what rounding makes of a row's answer, single precision included; more is another answer."""
GIVEN = {FRAME: "a DataFrame", MATRIX: "an array", TEXT: "a list of texts"}


@dataclass
class Trial:
    """A model that may be loaded, and the environment that its lock makes.

    Attributes:
        report: What is found goes there.
        artifact: The artifact.
        python: The environment's Python.
    """

    report: Report
    artifact: Artifact
    python: Path = field(init=False)

    def __post_init__(self) -> None:
        assert self.report.lock is not None
        self.python = environment.python(self.report.lock)

    def ask(
        self, contract: Contract | None, rows: list[Any], hints: Mapping[str, str]
    ) -> tuple[dict[str, Any] | None, str]:
        """What our code makes of it: the probe's document, or None and how its process ended."""
        document = {
            **self.load, "contract": contract and contract.to_json(), "rows": rows, "hints": hints,
            "deep": ROWS if self.report.deep else 0,
        }  # fmt: skip
        done = finish(start(self.python, "-m", "trifold.ops.probe"), json.dumps(document))
        found = documents(done)
        return (found[-1] if found else None), ending(done)

    def ask_plain(self, rows: tuple[int, ...] | None = None) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """Start plain scikit-learn; what is given takes what was found out of the columns, by name.

        It gives the answers to the example, or {"failed": step, "error": what it said}.

        Args:
            rows: Positions of the example's rows that are asked for; None: all.
        """
        trusted = sorted(TRUSTED | set(self.report.trusted))
        script = str(Path(__file__).parent / "expected.py")
        process = start(self.python, "-I", script, str(self.artifact.folder))
        assert process.stdin is not None
        process.stdin.write(json.dumps({**self.load, "trusted": trusted, "rows": rows}) + "\n")
        process.stdin.flush()

        def answer(dtypes: Mapping[str, Any]) -> dict[str, Any]:
            done = finish(process, json.dumps(dtypes) + "\n")
            found = documents(done)
            return found[-1] if found else {"failed": "load", "error": ending(done)}

        return answer

    @property
    def load(self) -> dict[str, Any]:
        """How the estimator is loaded, as our programs are told."""
        artifact, report = self.artifact, self.report
        return {
            "artifact": str(artifact.folder), "file": artifact.file, "format": artifact.file_format,
            "code": artifact.code, "trusted": report.trusted, "allow_pickle": report.allow_pickle,
        }  # fmt: skip


def load_model(trial: Trial) -> None:
    """Load the model, of which too little is known to try more, and add to the report what came of it."""
    tried, how = trial.ask(None, [], {})
    if tried is None or "error" in tried:
        tell_of_failure(trial.report, tried, how, None)
    else:
        _tell_of_load(trial, tried, "")


def try_model(trial: Trial, contract: Contract, fitting: Fitting, hints: Mapping[str, str]) -> None:
    """Load the model and let it predict its example, in each mode, and add to the report what came of it."""
    report, artifact, rows = trial.report, trial.artifact, contract.to_rows(fitting.rows)
    modes = [mode for mode in MODES if report.verdict(mode) == YES]
    answer = trial.ask_plain(fitting.kept)  # it loads while the other goes on
    with Rehearsal(trial.python, modes) as rehearsal:
        tried, how = trial.ask(contract, rows, hints)
        plain = answer((tried or {}).get("dtypes", {}))
        if tried is None or "error" in tried:
            tell_of_failure(report, tried, how, plain)
            return
        _tell_of_load(trial, tried, f"; it is given {GIVEN[tried['form']]}")
        _tell_of_doubts(report, tried["doubts"])
        _compare(report, tried, plain)
        _tell_of_parity(report, tried)
        _tell_of_missing(report, tried, contract)
        report.packed = _pack(trial, contract, rows, tried)
        if not report.failed:
            rehearsal.run(report, report.packed, plain)
    if not report.failed:
        if report.deep:
            compare_deeply(report, artifact, trial.load, fitting.kept, tried)
        elif is_plain(artifact.folder):
            tell_of_none(report)
        report.packed = replace(report.packed, compared=report.compared)


def _pack(trial: Trial, contract: Contract, rows: list[Any], tried: dict[str, Any]) -> Packed:
    report, artifact = trial.report, trial.artifact
    return Packed(
        name=report.pin.name,
        version=report.pin.version,
        run_id=report.pin.run_id,
        digest=report.pin.digest,
        file=artifact.file,
        file_format=artifact.file_format,
        contract=contract.to_json() | {"dtypes": tried["dtypes"]},
        form=tried["form"],
        parity=tried["parity"],
        blocks=tuple(tried["blocks"]),
        input_example=tuple(rows),
        code=artifact.code,
        trusted=report.trusted,
        allow_pickle=report.allow_pickle,
        metrics=registry.metrics(report.pin.run_id),
        description=report.pin.description,
    )


def _tell_of_load(trial: Trial, tried: dict[str, Any], more: str) -> None:
    trial.report.add("load", YES, f"with the locked packages{more}")
    said = trial.artifact.flavors["sklearn"].get("sklearn_version")  # of which the requirements tell
    others = [version for version in tried["fitted_by"] if version != said]
    if others:
        says = (
            f"parts of the model were fitted by scikit-learn {', '.join(others)}, and another one is locked, for which "
            "scikit-learn promises nothing: answers may be others than at training"
        )
        fix = f"mlflow.sklearn.log_model(…, pip_requirements=['scikit-learn=={others[-1]}', …])"
        trial.report.add("versions", WARN, says, fix)


def _tell_of_doubts(report: Report, doubts: Sequence[Mapping[str, Any]]) -> None:
    """What MLflow's signature does not keep of a column, and nobody could find out."""
    fix = f"{report.log_again}  # keeps the dtypes of X"
    for doubt in doubts:
        if doubt["what"] == "dtype":
            continue
        says, verdict = DOUBTS[doubt["what"], doubt["matters"]]
        report.add("columns", verdict, f"{doubt['column']} {says}", fix)
    _tell_of_dtypes(report, [doubt for doubt in doubts if doubt["what"] == "dtype"], fix)


def _tell_of_dtypes(report: Report, doubts: Sequence[Mapping[str, Any]], fix: str) -> None:
    """Columns whose exact dtype the model may see, which MLflow's signature does not keep."""
    if not doubts:
        return
    seen = [doubt["column"] for doubt in doubts if doubt["matters"]]
    names = seen or [doubt["column"] for doubt in doubts]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    how = "answers depend on" if seen else "the model's own code may see"
    says = (
        f"{', '.join(names[:MOST])}{more}: {how} the exact dtype, as int8, float16, a category, or arrays in the place "
        "of lists, which MLflow's signature does not keep; the signature's own is given"
    )
    report.add("columns", WARN, says, fix)


def _compare(report: Report, tried: dict[str, Any], plain: dict[str, Any]) -> None:
    if "failed" in plain:
        tell_of_plain(report, plain, tried["fitted_by"])
        return
    report.expected = plain
    outputs = tried["answers"]["probabilities"]
    answers = Answers(
        np.asarray(tried["answers"]["predictions"]),
        outputs and tuple(np.asarray(output) for output in outputs),
    )
    if agrees(answers, plain):
        report.add("predict", YES, "the example, as plain scikit-learn does in a process of its own")
    else:
        says = "the example's answers differ from plain scikit-learn's: the columns' types say more than the signature"
        report.add("predict", NO, says, "convert types inside the pipeline, for instance with an OrdinalEncoder")


def _tell_of_parity(report: Report, tried: dict[str, Any]) -> None:
    origin, count = tried["sample"]
    where = f"{count} {origin} rows"
    if tried["apart"] > ROUNDING:
        says = (
            f"a row's answer depends on the rows beside it: of {where}, one that is asked alone is answered otherwise, "
            f"by {tried['apart']:.2g} of the largest; in a batch or a stream nobody chooses its neighbours"
        )
        fix = "let fit() learn what is taken of many rows, such as their mean, as StandardScaler does"
        report.add("parity", NO, says, fix, modes=(BATCH, STREAM))
    elif tried["parity"] == NOT_PROVEN:
        says = f"not proven on {where}: a row's last bits depend on its neighbours, in blocks of any size too"
        report.add("parity", WARN, says, "accept that modes may differ in the last bits, or use another estimator")
    elif tried["parity"] == NATIVE:
        report.add("parity", YES, f"native: bit-equal however {where} are cut and ordered")
    else:
        says = f"{tried['parity']}: bit-equal in padded blocks, however {where} are cut and ordered"
        report.add("parity", YES, says)
    report.add("speed", YES, f"{tried['row_ms']} ms for one row")


def _tell_of_missing(report: Report, tried: dict[str, Any], contract: Contract) -> None:
    for column in tried["refuses_missing"]:
        says = f"{column} is optional in the signature, but the model refuses a row without it (422)"
        report.add("missing", WARN, says, "add a SimpleImputer to the pipeline")
    takes = tried["takes_missing"]
    if not takes or contract.profile:  # whose log_model saw all of X, and not only its first rows
        return
    more = f" and {len(takes) - MOST} more" if len(takes) > MOST else ""
    says = (
        f"{', '.join(takes[:MOST])}{more}: required, since each row of the example has a value, though the model takes "
        "a row without one; where values may be missing, such rows are refused all the same (422)"
    )
    gaps = "pd.concat([X.head(), *(X[X[name].isna()].head(1) for name in X)])"
    report.add(
        "missing", WARN, says, f"mlflow.sklearn.log_model(…, input_example={gaps})",
        f"or {report.log_again}  # looks at all of X",
    )  # fmt: skip
