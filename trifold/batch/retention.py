"""Which files of a job are too old to be kept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from trifold.batch.disk import SCRATCH
from trifold.batch.folders import Folder
from trifold.batch.job import Retention
from trifold.batch.slot_runs import SlotRun, run_at, runs_of, slot_name, slots_in
from trifold.batch.store import COMMITTED, OPEN

A_DAY = timedelta(days=1)


def retire(folder: Folder, keep: Retention, abandon: Callable[[SlotRun], object]) -> None:
    """Remove inputs, rejects and slots by their age, and what killed processes left.

    Args:
        folder: The job's.
        keep: For how many days.
        abandon: Ends a run that is open still, before its input is removed.
    """
    now = datetime.now(UTC)
    for file in _older(folder, "inputs", now - keep.inputs * A_DAY):
        slot, number, _ = file.removeprefix("inputs/").split("-", 2)
        run = run_at(folder, f"{slot}/{number}")
        if run.state == OPEN and run.frozen:
            abandon(run)
        folder.remove(file)
    for file in [*_older(folder, "rejects", now - keep.rejects * A_DAY), *_older(folder, SCRATCH, now - A_DAY)]:
        folder.remove(file)
    _retire_slots(folder, now - keep.predictions * A_DAY)


def _older(folder: Folder, name: str, instant: datetime) -> list[str]:
    return [entry.name for entry in folder.walk(name) if entry.written < instant]


def _retire_slots(folder: Folder, instant: datetime) -> None:
    """Remove slots that nobody has written to since an instant, but not the newest that is committed."""
    slots = slots_in(folder)
    committed = (slot for slot in reversed(slots) if any(run.state == COMMITTED for run in runs_of(folder, slot)))
    newest = next(committed, None)
    for slot in slots:
        if newest is None or slot >= newest or slot > instant:
            continue
        entries = folder.walk(slot_name(slot))
        if any(entry.written >= instant for entry in entries):
            continue
        for entry in entries:  # first what makes the others visible
            if entry.name.endswith("/manifest.json"):
                folder.remove(entry.name)
        folder.clear(slot_name(slot))
