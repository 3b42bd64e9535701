"""Let each mode's own command answer a model's example in the model's environment: what is said of a mode was seen."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trifold.ops.findings import BATCH, NO, ONLINE, STREAM, WARN, YES, Report
from trifold.ops.processes import documents, end, ending, finish, start
from trifold.packed import ARTIFACT, EXPECTED_FILE, Packed

COMMANDS = {
    ONLINE: "python -m trifold.online.server",
    BATCH: "python cronjobs/score.py",
    STREAM: "python -m trifold.stream",
}
TOGETHER = ((ONLINE,), (BATCH, STREAM))
"""Modes that one process may try: the server hides Arrow from pandas, the others import both."""
IMPORT = "import"
Doors = dict[str, dict[str, Any]]
TRAINING = "the estimator's own answers at training"
WRONG = "open an issue with this report: no model may be answered otherwise; until then serve it by other means"


class Rehearsal:
    """Processes that import what the modes' commands do while the model is still tried, and then answer the example.

    Attributes:
        python: The Python of the model's environment.
    """

    def __init__(self, python: Path, modes: Sequence[str]) -> None:
        self.python = python
        groups = [[mode for mode in group if mode in modes] for group in TOGETHER]
        self._waiting = {tuple(group): self._start(group) for group in groups if group}

    def __enter__(self) -> "Rehearsal":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._waiting.values():
            end(process)

    def run(self, report: Report, packed: Packed, expected: Mapping[str, Any]) -> None:
        """Let them answer, and add to the report what came of it: a mode that fails is ruled out alone."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "packed"
            folder.mkdir()
            (folder / ARTIFACT).symlink_to(report.pin.folder, target_is_directory=True)
            (folder / EXPECTED_FILE).write_text(json.dumps(expected))
            packed.write(folder)
            found, doors = self._answers(folder)
        for mode, failure in found.items():
            if failure:
                _tell_of_failure(report, mode, failure)
        if doors:
            _tell_of_originals(report, doors)
        fine = [mode for mode, failure in found.items() if not failure]
        if fine:
            report.add("commands", YES, f"{_listed(fine)}: each mode's own code answers the example in its environment")

    def _start(self, modes: Sequence[str]) -> subprocess.Popen[str]:
        return start(self.python, "-m", "trifold.ops.mode_probe", *modes)

    def _answers(self, folder: Path) -> tuple[dict[str, str], Doors]:
        """What failed, by mode, empty text for one that answered; and how answers to original rows compare."""
        found: dict[str, str] = {}
        doors: Doors = {}
        while self._waiting:
            modes, process = self._waiting.popitem()
            done = finish(process, f"{folder}\n")
            said = documents(done)
            for line in said:
                if "failure" in line:
                    found[line["mode"]] = _words(line["mode"], line["step"], line["failure"])
                    doors |= line.get("doors", {})
            left = [mode for mode in modes if mode not in found]
            if left:  # one ended the process, and the others are still to be tried
                guilty = said[-1] if said else {"mode": left[0], "step": IMPORT}
                found[guilty["mode"]] = _words(guilty["mode"], guilty["step"], ending(done))
                left.remove(guilty["mode"])
            if left:
                self._waiting[tuple(left)] = self._start(left)
        return {mode: found[mode] for mode in COMMANDS if mode in found}, doors


def _words(mode: str, step: str, failure: str | None) -> str:
    if not failure:
        return ""
    what = "cannot be imported with the locked packages" if step == IMPORT else "cannot answer the example"
    return f"{COMMANDS[mode]} {what}: {failure}"


def _tell_of_failure(report: Report, mode: str, failure: str) -> None:
    fix = ["mlflow.sklearn.log_model(…, pip_requirements=[…])  # other versions of what it names"]
    report.add(mode, NO, failure, *fix, report.log_again, modes=(mode,))


def _tell_of_originals(report: Report, doors: Doors) -> None:
    """How the answers to the rows that training kept compare with the estimator's own, made at training."""
    names, rows = _listed(list(doors)), max(door["rows"] + door["refused"] for door in doors.values())
    for name, door in doors.items():
        if not door["rows"]:
            says = (
                f"none of {door['refused']} original rows, which the model answered at training, is answered by {name}"
            )
            report.add("answers", NO, says, f"{report.log_again}  # with rows as they will be sent")
        if door["wrong"]:
            says = (
                f"{door['wrong']} of {door['rows']} original rows are answered otherwise than at training, by {name}: "
            )
            report.add("answers", NO, says + door["first"], WRONG)
    refused = {name: door["refused"] for name, door in doors.items() if door["refused"]}
    if refused:
        told = _listed([f"{count} by {name}" for name, count in refused.items()])
        says = f"of {rows} original rows, which the model answered at training, some are refused (422): {told}"
        report.add("answers", WARN, says, f"{report.log_again}  # with rows as they will be sent")
    if any(door["wrong"] for door in doors.values()):
        return
    close = max(door["close"] for door in doors.values())
    if close:
        says = f"original rows as at training by {names}, but {close} of {rows} in the last bits: by 1e-12 at most"
        report.add("answers", WARN, says, "nothing, where training ran on a processor of another kind")
    else:
        report.add("answers", YES, f"{rows} original rows, to the bit as at training, by {names}")
    report.compared = {"with": TRAINING, "rows": rows, "by": list(doors), "close": close, "refused": refused}


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
