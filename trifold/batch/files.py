"""Runs in files, on a disk or in S3: a store (store.py) that needs no database; slot_runs.py has its layout."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from trifold.batch import frozen, published, retention, slot_runs
from trifold.batch.checks import is_joined, is_replaced, too_many_rejects
from trifold.batch.file_shard import FileShard, ended_by_another, rejects_file
from trifold.batch.folders import open_folder
from trifold.batch.history import history_of
from trifold.batch.inputs import input_of
from trifold.batch.job import Job
from trifold.batch.parts import Layout, Part
from trifold.batch.slot_runs import SlotRun, done_shards, read_json, run_at, runs_of, to_json
from trifold.batch.slots import slot_text
from trifold.batch.store import ABANDONED, COMMITTED, FAILED, OPEN, Counts, Run
from trifold.contract.contract import Contract
from trifold.errors import ColumnsMissing, ColumnsRepeated, InputRefused, Unavailable
from trifold.failpoints import reach
from trifold.versions import Version

WAIT_SECONDS = 1800
"""How long a shard waits for the first one to freeze the input; then Kubernetes starts it again."""
ASK_SECONDS = 1
SHOWN = {COMMITTED: "manifest.json", FAILED: "failed.json"}


class FileStore:
    """A store in the folder that a job's sink names.

    Attributes:
        job: Whose runs.
        version: The model version that scores.
        contract: Its contract.
        folder: The job's.
        wait: Seconds for which a shard waits for the first one to freeze the input.
    """

    def __init__(
        self, job: Job, version: Version, contract: Contract, environment: Mapping[str, str], wait: float = WAIT_SECONDS
    ) -> None:
        self.job, self.version, self.contract, self.wait = job, version, contract, wait
        self.folder = open_folder(f"{job.sink}/{job.name}", environment)
        self._environment = environment
        self._shard = int(environment.get("JOB_COMPLETION_INDEX") or 0)
        self._request = ""

    def begin(self, slot: datetime, request: str = "", *, replace: bool = False) -> Run:
        """See Store.begin; the first shard freezes, all others wait for it."""
        self._request = request
        reach("locked")
        asked = request if replace else None
        ends, awaited = time.monotonic() + self.wait, 0
        while True:
            runs = runs_of(self.folder, slot)
            committed = [run for run in runs if run.state == COMMITTED]
            if committed and not is_replaced(committed[-1].began, slot, self.job, self.version, asked):
                return self._committed(committed[-1])
            self._require_not_failed(runs, request, awaited)
            last = runs[-1] if runs else SlotRun(slot, 0, end={"state": ABANDONED})
            if last.state == OPEN and is_joined(last.began, self.job, self.version, asked):
                return self._joined(last)
            if last.state == OPEN:
                self._end(last, ABANDONED)
            elif self._shard == 0:
                self._freeze(SlotRun(slot, last.number + 1), request)
            else:
                awaited = self._await(SlotRun(slot, last.number + 1), awaited, ends)

    def read(self, run: Run, shard: int) -> Iterator[pa.RecordBatch]:
        """See Store.read."""
        found = run_at(self.folder, run.run).frozen
        if found is None:
            raise ended_by_another(run.run)
        return frozen.read(self.folder, frozen.Frozen.from_json(found["input"]), shard, self.job)

    @contextmanager
    def shard(self, run: Run, shard: int) -> Iterator[FileShard | None]:
        """See Store.shard; a second process does the same beside the first, and one of both is named at the end."""
        reach("shard-locked")
        if shard in done_shards(self.folder, run.run):
            yield None
            return
        working = FileShard(self, run, shard)
        try:
            yield working
        finally:
            working.drop()  # whoever did not commit leaves nothing

    def finish(self, run: SlotRun) -> str:
        """End a run whose shards are all done; gives its state.

        Raises:
            Unavailable: Another process has ended it in another way.
        """
        assert run.frozen is not None
        done = done_shards(self.folder, run.name)
        if len(done) < run.frozen["shards"]:
            return OPEN
        shards = [read_json(self.folder, file) or {} for file in done.values()]
        rejects = sum(shard["rejects"] for shard in shards)
        reason = too_many_rejects(rejects, run.frozen["rows"], self.job.max_reject_rate)
        state = FAILED if reason else COMMITTED
        known = {
            "reason": reason,
            "rejects": rejects,
            "predictions": [] if reason else [part for shard in shards for part in shard["predictions"]],
            "rejected": [part for shard in shards for part in shard["rejected"]],
            "counts": list(done.values()),
        }
        ended = self._end(run, state, known)
        if ended.state != state:
            raise ended_by_another(run.name)
        return state

    def fail(self, run: Run, reason: str, shard: int = 0, rejects: Sequence[pa.RecordBatch] = ()) -> None:
        """See Store.fail."""
        layout = Layout(self.version, run, kept=bool(self.job.keep))
        part = Part(self.folder, rejects_file(run, shard, uuid.uuid4().hex, "parquet"), layout.rejects)
        for piece in rejects:
            part.write(layout.rejected(piece))
        self._end(run_at(self.folder, run.run), FAILED, {"reason": reason, "rejected": part.done()})

    def missed(self, slots: Sequence[datetime]) -> list[datetime]:
        """See Store.missed; not those from before the job was first known, nor those that would be retired at once."""
        if not slots:
            return []
        now = datetime.now(UTC)
        first = max(self._since(now), now - timedelta(days=self.job.retention.predictions))
        return [slot for slot in slots if slot > first and not self._has_committed(slot)]

    def counts(self, run: Run) -> list[Counts]:
        """See Store.counts."""
        return published.counts(self.folder, run.run)

    def rejects(self, run: Run) -> list[tuple[str, str | None, int, str]]:
        """See Store.rejects."""
        return published.rejects(self.folder, run.run)

    def history(self, window: tuple[datetime, datetime]) -> list[tuple[str, float]]:
        """See Store.history."""
        return history_of(self.job, window, self._environment)

    def predictions(self, run: Run, most: int) -> list[tuple[str, Any, list[float] | None]]:
        """See Store.predictions."""
        return published.first_predictions(self.folder, run.run, most)

    def keep_report(self, run: Run, report: str) -> None:
        """See Store.keep_report."""
        self.folder.write(f"{run.run}/report.json", to_json({"report": report}))

    def retire(self) -> None:
        """See Store.retire; the newest committed slot of a job stays whatever its age."""
        retention.retire(self.folder, self.job.retention, lambda run: self._end(run, ABANDONED))

    def _committed(self, run: SlotRun) -> Run:
        self._show(run)  # who decided may have been killed before it said so
        report = read_json(self.folder, f"{run.name}/report.json") or {}
        return run.to_run(self.job.name, report.get("report"))

    def _joined(self, run: SlotRun) -> Run:
        """An open run; or as it ends now, where a process was killed after its last shard."""
        state = self.finish(run)
        if state == OPEN:
            return run.to_run(self.job.name)
        ended = run_at(self.folder, run.name)
        if state == FAILED:
            raise InputRefused(f"{(ended.end or {})['reason']} Nothing is published.")
        return self._committed(ended)

    def _require_not_failed(self, runs: Sequence[SlotRun], request: str, awaited: int) -> None:
        """Let no shard of a Job begin anew what has failed for another of them, nor wait for it."""
        for run in runs:
            known = run.end or {}
            if run.state == FAILED and (run.number == awaited or (request and known["request"] == request)):
                raise InputRefused(known["reason"])

    def _freeze(self, run: SlotRun, request: str) -> None:
        """Begin a run with the input as it is now, or with what another process has just frozen."""
        began, window = self._now(), self.job.window(run.slot)
        self._since(datetime.now(UTC))
        file = f"inputs/{run.name.replace('/', '-')}-{uuid.uuid4().hex}.parquet"
        try:
            pieces = input_of(self.job, self.contract, window, self._environment).pieces()
            kept = frozen.freeze(self.folder, file, pieces, self.job.shards)
        except (InputRefused, ColumnsMissing, ColumnsRepeated) as error:
            if run_at(self.folder, run.name).frozen is None:
                self._end(run, FAILED, {"reason": str(error)})
            raise
        reach("frozen")
        known = {"window": [instant.isoformat() for instant in window], "rows": kept.rows, "began_at": began}
        document = to_json({**self._named(run), "request": request, **known, "input": kept.to_json()})
        decided = self.folder.decide(f"{run.name}/frozen.json", document)
        reach("freeze-committed")
        if decided != document:
            self.folder.remove(file)

    def _await(self, run: SlotRun, awaited: int, ends: float) -> int:
        """Wait a little for the first shard to begin a run; gives the number of that."""
        if awaited != run.number:
            input_of(self.job, self.contract, self.job.window(run.slot), self._environment).look()
            print(f"slot {slot_text(run.slot)} waits for shard 0 to freeze its input", flush=True)
        if time.monotonic() > ends:
            raise Unavailable(f"Shard 0 has not frozen the input in {self.wait:.0f} s; start this shard again.")
        time.sleep(min(ASK_SECONDS, self.wait))
        return run.number

    def _end(self, run: SlotRun, state: str, more: Mapping[str, Any] = MappingProxyType({})) -> SlotRun:
        """Let a run end so, unless it has ended already; gives it as it has ended."""
        known = run.frozen or {**self._named(run), "request": "", "rows": 0, "began_at": self._now()}
        known = {name: value for name, value in known.items() if name != "input"}
        if state == FAILED:  # for whom
            known["request"] = self._request
        document = {"state": state, **known, "ended_at": self._now(), **more}
        self.folder.decide(f"{run.name}/end.json", to_json(document))
        reach("before-commit")
        ended = run_at(self.folder, run.name)
        self._show(ended)
        reach("after-commit")
        return ended

    def _show(self, run: SlotRun) -> None:
        """Let readers see how a run has ended; again and again it is the same."""
        name = SHOWN.get(run.state)
        if name and self.folder.read(f"{run.name}/{name}") is None:
            self.folder.write(f"{run.name}/{name}", to_json(run.end or {}))

    def _named(self, run: SlotRun) -> dict[str, Any]:
        return {
            "job": self.job.name,
            "slot": slot_text(run.slot),
            "run": run.name,
            "model": self.version.model,
            "version": self.version.version,
            "digest": self.version.digest,
            "classes": list(self.version.classes),
            "shards": self.job.shards,
        }

    def _now(self) -> str:
        return datetime.now(UTC).isoformat()

    def _since(self, now: datetime) -> datetime:
        """When the job was first known: its last firing then was the first that is due."""
        first = self.job.schedule.previous(now) - timedelta(minutes=1)
        found = self.folder.decide("since.json", to_json({"since": first.isoformat()}))
        return datetime.fromisoformat(slot_runs.from_json(found)["since"])

    def _has_committed(self, slot: datetime) -> bool:
        return any(run.state == COMMITTED for run in runs_of(self.folder, slot))
