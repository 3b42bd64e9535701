"""A shard at work in files."""

import uuid
from typing import Protocol

from trifold.batch.folders import Folder
from trifold.batch.job import Job
from trifold.batch.parts import Layout, Part
from trifold.batch.slot_runs import SlotRun, run_at, to_json
from trifold.batch.store import COMMITTED, OPEN, Counts, Run, Scored
from trifold.errors import Unavailable
from trifold.failpoints import reach
from trifold.versions import Version


class Ending(Protocol):
    """What a shard asks of its store (files.py)."""

    job: Job
    version: Version
    folder: Folder

    def finish(self, run: SlotRun) -> str:
        """End a run whose shards are all done; gives its state."""


class FileShard:
    """A shard under work, in files that nobody knows of until it is committed."""

    def __init__(self, store: Ending, run: Run, shard: int) -> None:
        self._store, self._run, self._shard, self._attempt = store, run, shard, uuid.uuid4().hex
        self._layout = Layout(store.version, run, kept=bool(store.job.keep))
        parts = f"{run.run}/parts/{shard:04d}-{self._attempt}.parquet"
        self._predictions = Part(store.folder, parts, self._layout.predictions)
        self._rejects = Part(store.folder, self._file("parquet"), self._layout.rejects)
        self._unknown: list[str] = []

    def write(self, scored: Scored) -> None:
        """See Shard.write."""
        self._predictions.write(self._layout.predicted(scored.predictions))
        if scored.rejects.num_rows:
            self._rejects.write(self._layout.rejected(scored.rejects))

    def commit(self, counts: Counts) -> str:
        """See Shard.commit."""
        folder, top = self._store.folder, self._file("json") if counts.top else None
        self._predictions.begin()
        files = {"predictions": self._predictions.done(), "rejected": self._rejects.done()}
        self._unknown = [part["file"] for parts in files.values() for part in parts]
        if top:
            self._unknown.append(top)
            folder.write(top, to_json({"top": counts.top}))
        reach("shard-written")
        run = run_at(folder, self._run.run)
        if run.state == COMMITTED:
            return COMMITTED
        if run.state != OPEN or run.frozen is None:
            raise ended_by_another(run.name)
        document = {
            "shard": self._shard,
            "rows": counts.rows,
            "rejects": counts.rejects,
            "seconds": counts.seconds,
            "scored_at": self._layout.scored_at().isoformat(),
            **files,
            "top": top,
            "statistics": counts.statistics,
        }
        self._unknown = []  # from here on others may know of them
        folder.write(f"{run.name}/shards/{self._shard:04d}-{self._attempt}.json", to_json(document))
        reach("shard-recorded")
        return self._store.finish(run)

    def drop(self) -> None:
        """Leave nothing that nobody knows of."""
        self._predictions.drop()
        self._rejects.drop()
        for file in self._unknown:
            self._store.folder.remove(file)

    def _file(self, kind: str) -> str:
        return rejects_file(self._run, self._shard, self._attempt, kind)


def rejects_file(run: Run, shard: int, attempt: str, kind: str) -> str:
    """The name of a shard's file of rejects, or of rows with the greatest scores."""
    return f"rejects/{run.run.replace('/', '-')}-{shard:04d}-{attempt}.{kind}"


def ended_by_another(run: str) -> Unavailable:
    """What is said to a process that comes too late."""
    return Unavailable(f"Run {run} was ended by another process; start this one again.")
