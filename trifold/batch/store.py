"""What a store of runs can do, whether in PostgreSQL (postgres.py) or in files (files.py)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

OPEN, COMMITTED, FAILED, REPLACED, ABANDONED = "open", "committed", "failed", "replaced", "abandoned"
KEY, KEPT = "trifold key", "trifold kept"
"""Columns of what a shard reads beside the model's own: the key as text, and JSON text of what is kept."""


@dataclass(frozen=True)
class Run:
    """The work for a slot.

    Attributes:
        run: Its number or name in the store.
        job: The job's name.
        slot: Its slot.
        state: open, committed, failed, replaced or abandoned.
        rows: Rows of its frozen input.
        shards: Processes that share it.
        report: The MLflow run that holds its report; None: it has none yet.
    """

    run: str
    job: str
    slot: datetime
    state: str
    rows: int
    shards: int
    report: str | None = None


@dataclass(frozen=True)
class Counts:
    """What a shard counted.

    Attributes:
        rows: Rows that it read.
        rejects: Rows of them that were refused.
        seconds: Time it took.
        statistics: A Tally's JSON (statistics.py).
        top: Its rows with the greatest scores, with their keys.
    """

    rows: int
    rejects: int
    seconds: float
    statistics: dict[str, Any]
    top: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Scored:
    """A piece of a shard, scored.

    Attributes:
        rows: Rows that were read for it.
        predictions: Columns key, prediction, probabilities (if any) and kept (if any).
        rejects: Columns key, row, column, rule, expected, got; one line a reason.
        refused: Rows that were refused.
    """

    rows: int
    predictions: pa.RecordBatch
    rejects: pa.RecordBatch
    refused: int


class Shard(Protocol):
    """A shard under work; what it writes is there once it is committed, with its counts, or never was."""

    def write(self, scored: Scored) -> None:
        """Take a scored piece."""

    def commit(self, counts: Counts) -> str:
        """Make all of it there at once; gives the run's state afterwards, which the last shard decides.

        Raises:
            Unavailable: The run is no longer open: another process began it anew.
        """


class Store(Protocol):
    """Where runs, their frozen inputs and their predictions are."""

    def begin(self, slot: datetime, request: str = "", *, replace: bool = False) -> Run:
        """The slot's run, as it is or newly begun: then its input is frozen, once for all who ask.

        Args:
            slot: The slot.
            request: Which Job asks: it replaces a committed run once, however often its pods ask, and does not begin
                again what failed for it. Empty: nobody in particular.
            replace: Replace a committed run.

        Raises:
            SlotCommitted: Another version has committed it.
            InputRefused: The input lacks a column, or the run has failed for the Job that asks.
        """

    def read(self, run: Run, shard: int) -> Iterator[pa.RecordBatch]:
        """A shard of the frozen input: KEY, KEPT if anything is kept, and the model's columns; always the same."""

    def shard(self, run: Run, shard: int) -> AbstractContextManager[Shard | None]:
        """Work on a shard alone; None if it is done already."""

    def fail(self, run: Run, reason: str, shard: int = 0, rejects: Sequence[pa.RecordBatch] = ()) -> None:
        """Say that a run will never be committed, why, and some of a shard's rejects; a later run begins anew."""

    def missed(self, slots: Sequence[datetime]) -> list[datetime]:
        """Those of earlier slots that the job should have run and that have no committed run."""

    def counts(self, run: Run) -> list[Counts]:
        """What its shards counted, by shard."""

    def rejects(self, run: Run) -> list[tuple[str, str | None, int, str]]:
        """Rejects by rule and column: how many, and what would have been accepted; the most first."""

    def history(self, window: tuple[datetime, datetime]) -> list[tuple[str, float]]:
        """Times and values that the report draws before a forecast."""

    def predictions(self, run: Run, most: int) -> list[tuple[str, Any, list[float] | None]]:
        """Key, prediction and probabilities of the first rows of a committed run, by key."""

    def keep_report(self, run: Run, report: str) -> None:
        """Remember which MLflow run holds the report."""

    def retire(self) -> None:
        """Drop what is older than the job's retention says."""
