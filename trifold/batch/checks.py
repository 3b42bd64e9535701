"""When a slot's input cannot be scored as a whole, and what is said of it."""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from trifold.batch.job import Job
from trifold.batch.slots import slot_text
from trifold.batch.store import KEY
from trifold.contract.contract import Contract
from trifold.errors import InputRefused, SlotCommitted
from trifold.versions import Version


@dataclass(frozen=True)
class Began:
    """How a run was begun: by which version, in how many shards, for which Job."""

    digest: str
    version: str
    shards: int
    request: str


def is_replaced(began: Began, slot: datetime, job: Job, version: Version, request: str | None) -> bool:
    """Whether a committed run is to be replaced; a Job that asked before has had its answer.

    Args:
        began: How it was begun.
        slot: Its slot.
        job: Its job.
        version: The version that would score it now.
        request: The Job that asks to replace it; None: nobody does.

    Raises:
        SlotCommitted: Another version has committed it, and nobody asks to replace it.
    """
    if request is not None:
        return began.request != request
    if began.digest != version.digest:
        raise SlotCommitted(
            f"Slot {slot_text(slot)} of {job.name} was committed by version {began.version}, this is version "
            f"{version.version}; with --replace it is scored again."
        )
    return False


def is_joined(began: Began, job: Job, version: Version, request: str | None) -> bool:
    """Whether an open run goes on as it is: of this version, in as many shards, for the same who asks to replace."""
    same = began.digest == version.digest and began.shards == job.shards
    return same and request in (None, began.request)


def require_columns(schema: pa.Schema, job: Job, contract: Contract) -> None:
    """Make sure that an input has the columns that are read.

    Raises:
        ColumnsMissing: It lacks one of the model's.
        InputRefused: It lacks the key, or one that is to be kept.
    """
    lacking = [name for name in (job.key, *job.keep) if name not in schema.names]
    if lacking:
        raise InputRefused(f"The input of {job.name} lacks {', '.join(lacking)}, the key or a column to keep; add it.")
    contract.check(schema.empty_table(), extra="ignore")


def require_keys(piece: pa.RecordBatch, job: Job) -> None:
    """Make sure that each row has a key.

    Raises:
        InputRefused: One has none.
    """
    lacking = piece.column(KEY).null_count
    if lacking:
        raise InputRefused(f"{lacking} rows or more have no {job.key}, which is the key; leave them out of the input.")


def too_many_rejects(rejects: int, rows: int, rate: float) -> str | None:
    """Why a run of so many rejects is not published; None: it is."""
    if rejects <= rate * rows:
        return None
    return f"{rejects:,} of {rows:,} rows are refused, {rejects / rows:.1%}, and maxRejectRate is {rate:.1%}."


def twice(job: Job) -> str:
    """What is said of a key that stands twice, without the key, which may be personal."""
    return f"A {job.key} stands more than once in the input, and it is the key; let the input have a row for each."
