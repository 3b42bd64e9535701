"""Compare a model's answers with MLflow's pyfunc, in a process and an environment of its own: `trifold check --deep`.

For a plainly logged model it is the oracle: rows are read, and the estimator is asked, by code that is not ours.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trifold.contract.contract import Contract
from trifold.errors import TrifoldError
from trifold.ops import deep_environment
from trifold.ops.artifact import Artifact
from trifold.ops.deep_rows import (
    PYFUNC,
    SERVER,
    SINGLE,
    TOLERANCE,
    Judgement,
    Pair,
    Values,
    find_gaps,
    find_lost_times,
    is_single,
    judge,
    write_body,
)
from trifold.ops.expected import ORIGINALS
from trifold.ops.findings import DEEP, NO, WARN, YES, Report
from trifold.ops.modes import WRONG
from trifold.ops.processes import documents, ending, finish, start

ROWS = 200
"""Rows that are generated, beside the example."""
REASONS = 3
"""Of those why rows were not compared, so many are told; each may have a line's length."""


def is_plain(folder: Path) -> bool:
    """Whether an artifact was logged without original rows and the estimator's own answers to them."""
    return not (folder / ORIGINALS).is_file()


def tell_of_none(report: Report) -> None:
    """Say of a plainly logged model that its answers were compared for its example alone."""
    says = "answers were compared with plain scikit-learn's for the example alone"
    compare = f"{report.command('check', deep=True)}  # with {PYFUNC}, for {ROWS} rows more"
    report.add(DEEP, WARN, says, compare, f"or {report.log_again}  # keeps rows and answers of training")


def compare_deeply(
    report: Report, artifact: Artifact, load: Mapping[str, Any], kept: Sequence[int], tried: Mapping[str, Any]
) -> None:
    """Compare the server's answers with MLflow's pyfunc, and add one finding to the report.

    Args:
        report: Of a model that was packed.
        artifact: The artifact.
        load: How the estimator is loaded, as the probe is told.
        kept: Positions of the rows of the artifact's example that the server was asked for.
        tried: The probe's document: answers to these rows, and to generated ones.
    """
    assert report.packed is not None
    assert report.lock is not None
    contract = Contract.from_json(report.packed.contract)
    lost = find_lost_times(contract)
    if lost:
        _tell_of_nothing(report, lost)
        return
    try:
        python = deep_environment.make(artifact, report.lock)
    except TrifoldError as error:
        _tell_of_nothing(report, f"no environment with MLflow {artifact.logged_by} can be made: {error}")
        return
    rows, told = list(report.packed.input_example), tried["deep"]
    specification = {
        **load, "probabilities": tried["answers"]["probabilities"] is not None,
        "example": {"places": list(kept), "gaps": [find_gaps(contract, row) for row in rows]},
        "rows": {
            "body": write_body(contract, told["rows"]), "gaps": [find_gaps(contract, row) for row in told["rows"]],
        },
    }  # fmt: skip
    done = finish(start(python, "-m", "trifold.ops.deep_probe"), json.dumps(specification))
    theirs = (documents(done) or [{"error": ending(done)}])[-1]
    if "error" in theirs:
        _tell_of_nothing(report, f"it fails: {theirs['error']}")
        return
    pairs = [
        *_pair(rows, {"answers": tried["answers"], "refused": {}}, theirs["example"]),
        *_pair(told["rows"], told, theirs["rows"]),
    ]
    tell(report, judge(pairs), theirs["mlflow"], is_single=is_single(contract) or tried["deep"]["is_single"])


def tell(report: Report, found: Judgement, version: str, *, is_single: bool) -> None:
    """Add what came of a comparison to the report.

    Args:
        report: Its `compared` is set, unless training's own rows were compared already.
        found: How the answers compare.
        version: MLflow's.
        is_single: Whether the model computes in single precision.
    """
    whose = f"MLflow {version}'s pyfunc"
    more = _say_left_out(found)
    if found.wrong:
        says = f"{found.wrong} of {_count(found.rows)} answered otherwise than by {whose}: row {found.first}{more}"
        verdict = WARN if report.compared else NO  # where training's own answers are met, pyfunc reads rows otherwise
        report.add(DEEP, verdict, says, WRONG, report.log_again)
        return
    if not found.rows:
        refusal = f"{SERVER} refuses all rows ({found.why[SERVER]})" if SERVER in found.refused else ""
        _tell_of_nothing(report, more.removeprefix("; not compared: ") or refusal)
        return
    report.compared = report.compared or {
        "with": PYFUNC, "rows": found.rows, "by": ["JSON"], "close": found.close, "refused": found.refused,
        "left_out": found.left_out,
    }  # fmt: skip
    refused = found.refused.get(SERVER, 0)
    if found.rough and not is_single:
        says = (
            f"{found.rough} of {_count(found.rows)} answered as by {whose} but for up to {found.worst:.0e}, as where a "
            f"step rounds to single precision: row {found.first}{more}"
        )
        report.add(DEEP, WARN, says, "nothing, if a step of the model computes in float32")
    elif refused:
        says = f"{_count(refused)} refused (422) that {whose} answers: {found.why[SERVER]}; {found.rows} alike{more}"
        report.add(DEEP, WARN, says, f"{report.log_again}  # with rows as they will be sent")
    else:
        tolerance = SINGLE if is_single else TOLERANCE
        says = f"{_count(found.rows)}, the example's and others like them, as by {whose}: "
        report.add(DEEP, YES, f"{says}labels equal, numbers to {tolerance:g}{more}")


def _tell_of_nothing(report: Report, why: str) -> None:
    says = f"answers were not compared with {PYFUNC}: {why}"
    report.add(DEEP, WARN, says, f"{report.log_again}  # keeps rows and answers of training, to compare with")


def _say_left_out(found: Judgement) -> str:
    reasons = sorted(found.left_out.items(), key=lambda entry: -entry[1])
    if PYFUNC in found.refused:
        reasons.insert(0, (f"{PYFUNC} refuses them ({found.why[PYFUNC]})", found.refused[PYFUNC]))
    told = [f"{_count(count)} ({why})" for why, count in reasons[:REASONS]]
    rest = sum(count for _, count in reasons[REASONS:])
    told += [f"{_count(rest)} for other reasons"] if rest else []
    return f"; not compared: {', '.join(told)}" if told else ""


def _count(rows: int) -> str:
    return f"{rows} row{'' if rows == 1 else 's'}"


def _pair(rows: Sequence[Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Pair]:
    """Rows with what both say; the server's answers are in the order of the rows that it does not refuse."""
    answers = iter(_list_answers(ours["answers"]))
    for place, row in enumerate(rows):
        key = str(place)
        refusal = ours["refused"].get(key, "")
        answer = None if refusal else next(answers)
        theirs_refuse = theirs["refused"].get(key, "")
        answer_of_theirs = theirs["answers"].get(key)
        if answer_of_theirs and not _is_finite(answer_of_theirs):
            answer_of_theirs, theirs_refuse = None, "its answer is no finite number"
        yield Pair(row, answer, answer_of_theirs, refusal or theirs_refuse, theirs["left_out"].get(key, ""))


def _is_finite(answer: Values) -> bool:
    return all(math.isfinite(value) for values in answer for value in values if type(value) is float)


def _list_answers(answers: Mapping[str, Any]) -> list[Values]:
    """By row, the values of each output."""
    outputs = [answers["predictions"], *(answers["probabilities"] or ())]
    listed = [[row if isinstance(row, list) else [row] for row in output] for output in outputs]
    return [list(values) for values in zip(*listed, strict=True)]
