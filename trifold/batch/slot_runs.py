"""A slot's runs as files tell of them: which there are, in which state, and what a manifest is.

In the folder of a job:

    since.json                            when the job was first known
    inputs/SLOT-RUN-ATTEMPT.parquet       frozen inputs
    rejects/SLOT-RUN-SHARD-ATTEMPT.*      rejects (Parquet), and rows with the greatest scores (JSON)
    SLOT/RUN/frozen.json                  decided on: which input, which version, how many shards
    SLOT/RUN/shards/SHARD-ATTEMPT.json    a shard that is done, and its counts
    SLOT/RUN/parts/SHARD-ATTEMPT.parquet  its predictions
    SLOT/RUN/end.json                     decided on: committed with these parts, failed, or abandoned
    SLOT/RUN/manifest.json, failed.json   what end.json says, for readers
    SLOT/RUN/report.json                  which MLflow run holds the report

SLOT is as 20261101T0600Z, RUN counts from 0001, and what is visible of a slot is its last run with a manifest. No file
is ever changed but report.json; two files are decided on (folders.py), so that processes that do the same slot at once,
or wake up late, agree on one input and one end. What one does of a shard that another has done is not named in the
manifest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from trifold.batch.checks import Began
from trifold.batch.folders import Folder
from trifold.batch.slots import slot_text
from trifold.batch.store import COMMITTED, OPEN, REPLACED, Run

SLOT = re.compile(r"\d{8}T\d{4}Z")
NUMBER = re.compile(r"\d{4,}")
FORMAT = "%Y%m%dT%H%MZ"


@dataclass(frozen=True)
class SlotRun:
    """One of a slot's runs.

    Attributes:
        slot: The slot.
        number: 1, 2, …; a higher one took the place of the one before, or will.
        frozen: What was decided of its input; None if it could not be read.
        end: What was decided of its end; None: it is open.
    """

    slot: datetime
    number: int
    frozen: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its folder in the job's."""
        return f"{slot_name(self.slot)}/{self.number:04d}"

    @property
    def state(self) -> str:
        """Open, committed, failed or abandoned."""
        return str(self.end["state"]) if self.end else OPEN

    @property
    def began(self) -> Began:
        """How it was begun, where its input was frozen."""
        frozen = self.frozen or {}
        return Began(*(frozen[name] for name in ("digest", "version", "shards", "request")))

    def to_run(self, job: str, report: str | None = None) -> Run:
        """It as the store gives it."""
        frozen = self.frozen or {"rows": 0, "shards": 1}
        return Run(self.name, job, self.slot, self.state, frozen["rows"], frozen["shards"], report)


def slot_name(slot: datetime) -> str:
    """A slot as a name of a folder."""
    return slot.astimezone(UTC).strftime(FORMAT)


def slot_named(name: str) -> datetime:
    """The slot of such a name."""
    return datetime.strptime(name, FORMAT).replace(tzinfo=UTC)


def slots_in(folder: Folder) -> list[datetime]:
    """The slots of a job that have anything, in order."""
    return [slot_named(name) for name in folder.names() if SLOT.fullmatch(name)]


def runs_of(folder: Folder, slot: datetime) -> list[SlotRun]:
    """A slot's runs, in order; none of those whose input is being frozen."""
    found = [run_at(folder, name) for name in _names(folder, slot)]
    return [run for run in found if run.frozen or run.end]


def last_manifest(folder: Folder, slot: datetime) -> dict[str, Any] | None:
    """What readers see of a slot; None: nothing."""
    found = (read_json(folder, f"{name}/manifest.json") for name in reversed(_names(folder, slot)))
    return next((manifest for manifest in found if manifest is not None), None)


def _names(folder: Folder, slot: datetime) -> list[str]:
    numbers = sorted(int(name) for name in folder.names(slot_name(slot)) if NUMBER.fullmatch(name))
    return [SlotRun(slot, number).name for number in numbers]


def run_at(folder: Folder, name: str) -> SlotRun:
    """The run in a folder, as it is now."""
    slot, _, number = name.partition("/")
    frozen, end = (read_json(folder, f"{name}/{file}.json") for file in ("frozen", "end"))
    return SlotRun(slot_named(slot), int(number), frozen, end)


def done_shards(folder: Folder, name: str) -> dict[int, str]:
    """By shard, the file that says that it is done; of several, which twins wrote, the first."""
    found: dict[int, str] = {}
    for file in folder.names(f"{name}/shards"):
        found.setdefault(int(file.partition("-")[0]), f"{name}/shards/{file}")
    return dict(sorted(found.items()))


def read_json(folder: Folder, name: str) -> dict[str, Any] | None:
    """A file's JSON object; None if there is no such file."""
    content = folder.read(name)
    return None if content is None else from_json(content)


def from_json(content: bytes) -> dict[str, Any]:
    """A file's document."""
    return dict(orjson.loads(content))


def to_json(document: Mapping[str, Any]) -> bytes:
    """A document as a file has it; people may look at it."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def listed(folder: Folder, job: str, most: int) -> list[dict[str, Any]]:
    """The newest runs of a job, as `trifold runs` shows them."""
    found: list[dict[str, Any]] = []
    for slot in reversed(slots_in(folder)):
        later = False
        for run in reversed(runs_of(folder, slot)):
            found.append(_line(folder, job, run, replaced=later and run.state == COMMITTED))
            later = later or run.state == COMMITTED
        if len(found) >= most:
            break
    return found[:most]


def _line(folder: Folder, job: str, run: SlotRun, *, replaced: bool) -> dict[str, Any]:
    known = {**(run.frozen or {}), **(run.end or {})}
    times = [datetime.fromisoformat(known[name]) for name in ("began_at", "ended_at") if known.get(name)]
    return {
        "job": job,
        "slot": slot_text(run.slot),
        "state": REPLACED if replaced else run.state,
        "rows": known.get("rows"),
        "rejects": known.get("rejects"),
        "seconds": (times[1] - times[0]).total_seconds() if len(times) == 2 else None,
        "version": known.get("version"),
        "shards": known.get("shards"),
        "shards_done": len(done_shards(folder, run.name)),
        "reason": known.get("reason"),
        "report": (read_json(folder, f"{run.name}/report.json") or {}).get("report"),
    }
