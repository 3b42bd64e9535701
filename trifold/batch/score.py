"""Score one shard of one slot: what a CronJob's pod does, from its name to its exit code."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from trifold.batch import slots
from trifold.batch.checks import too_many_rejects
from trifold.batch.job import Job
from trifold.batch.overlap import overlapped
from trifold.batch.reports import Reports
from trifold.batch.scored import score
from trifold.batch.slots import parse_slot, slot_text
from trifold.batch.statistics import Bins, Tally
from trifold.batch.store import COMMITTED, FAILED, Counts, Run, Store
from trifold.batch.stores import open_store
from trifold.errors import ColumnsMissing, ColumnsRepeated, InputRefused, JobError, TrifoldError
from trifold.exits import TERMINATED, exit_code
from trifold.failpoints import reach
from trifold.model import Model
from trifold.packed import Packed
from trifold.settings import Settings
from trifold.versions import load

SAMPLED = 100_000
"""Rows of a run whose columns are counted for its report; more would tell no more."""
KEPT_REJECTS = 1000
"""Rejects that are kept of a shard whose rejects alone fail the run."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """A loaded model at work on one shard of a job's slots.

    Attributes:
        job: The job.
        shard: Which shard.
        store: Where its runs are.
        model: The model.
        bins: How its report counts.
        reports: What keeps a committed run's report.
    """

    job: Job
    shard: int
    store: Store
    model: Model
    bins: Bins
    reports: Reports

    def catch_up(self, slot: datetime) -> None:
        """Do this shard of earlier slots that were missed, the oldest first; what fails there is said, and left."""
        earlier = []
        at = slot
        for _ in range(self.job.catch_up):
            at = self.job.schedule.previous(at)
            earlier.append(at)
        for missed in self.store.missed(sorted(earlier)):
            try:
                self.finish(missed)
            except TrifoldError as error:
                say(f"slot {slot_text(missed)} was missed and could not be caught up: {error}")

    def finish(self, slot: datetime, request: str = "", *, replace: bool = False) -> None:
        """Do this shard of a slot and, when the run is committed and has none, its report."""
        run = self.run(slot, request, replace=replace)
        if run.state == COMMITTED and not run.report:
            self.reports.keep(self.store, run)

    def run(self, slot: datetime, request: str = "", *, replace: bool = False) -> Run:
        """Do this shard of a slot; gives the run as it is afterwards.

        Raises:
            InputRefused: Its input cannot be scored; the run has failed and published nothing.
            TrifoldError: Nothing of the shard was kept.
        """
        run = self.store.begin(slot, request, replace=replace)
        if run.state == COMMITTED:
            say(f"slot {slot_text(slot)} is committed: {run.rows:,} rows")
            return run
        start, rejects = time.monotonic(), list[pa.RecordBatch]()
        try:
            with self.store.shard(run, self.shard) as shard:
                if shard is None:
                    say(f"slot {slot_text(slot)}, shard {self.shard} of {run.shards} is done")
                    return run
                tally = Tally(self.bins, every=max(1, run.rows // SAMPLED), top=self.job.top)
                rows, refused = 0, 0
                pieces = overlapped(self.store.read(run, self.shard))
                for scored in overlapped(score(pieces, self.model, self.job, tally)):
                    rows, refused = rows + scored.rows, refused + scored.refused
                    if len(rejects) < KEPT_REJECTS and scored.rejects.num_rows:
                        rejects.append(scored.rejects[:KEPT_REJECTS])
                    self._require_few(refused, run)
                    shard.write(scored)
                    reach("chunk-written")
                    progress(rows, run, start)
                seconds = time.monotonic() - start
                state = shard.commit(Counts(rows, refused, seconds, tally.to_json(), tally.top()))
        except (InputRefused, ColumnsMissing, ColumnsRepeated) as error:
            self.store.fail(run, str(error), self.shard, rejects)
            raise
        say(
            f"slot {slot_text(slot)}, shard {self.shard} of {run.shards}: "
            f"{rows:,} rows, {refused:,} refused, {seconds:.1f} s"
        )
        run = Run(run.run, run.job, run.slot, state, run.rows, run.shards)
        if state == FAILED:
            raise InputRefused(f"Slot {slot_text(slot)} has too many rejects, and nothing of it is published.")
        return run

    def _require_few(self, refused: int, run: Run) -> None:
        """End a run early that has too many rejects whatever else comes."""
        reason = too_many_rejects(refused, run.rows, self.job.max_reject_rate)
        if reason:
            raise InputRefused(f"{reason} Nothing is published; rejects, beside predictions, names the rows.")


def say(line: str) -> None:
    """Print a line of the log: no value of a row, and no key, ever."""
    print(line, flush=True)


_last = 0.0


def progress(rows: int, run: Run, start: float) -> None:
    """Say every ten seconds how far it is."""
    global _last
    now = time.monotonic()
    if now - max(_last, start) < 10:
        return
    _last = now
    share = f" of about {run.rows // run.shards:,}" if run.rows else ""
    say(f"  {rows:,}{share} rows, {rows / (now - start):,.0f} a second")


def scorer_of(job: Job, shard: int, settings: Settings, folder: Path, environment: Mapping[str, str]) -> Scorer:
    """A scorer of the packed model in a folder.

    Raises:
        TrifoldError: The model cannot be loaded, or its database or storage does not answer.
    """
    packed = Packed.read(folder)
    model, version = load(folder, settings)
    profile = model.contract.profile
    job = replace(job, key=job.key or (profile.key if profile else None) or "")
    if not job.key:
        raise JobError(f"No key is set for job {job.name}, and the model's profile names none: set its key.")
    bins = Bins.of(model, folder)
    store = open_store(job, version, model.contract, environment)
    return Scorer(job, shard, store, model, bins, Reports(job, packed, model, bins, environment))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="score.py",
        description="Score one shard of one slot of the job in TRIFOLD_JOB; again and again gives the same as once.",
        epilog="Example: score.py --slot 2026-11-01T06:00Z",
    )
    parser.add_argument("--slot", help="scheduled minute in UTC; without it, from the Job's name in TRIFOLD_JOB_NAME")
    parser.add_argument("--replace", action="store_true", help="score a slot again that is committed")
    return parser.parse_args(argv)


def slot_of(options: argparse.Namespace, environment: Mapping[str, str]) -> datetime:
    """The slot: as asked for, or as the Job's name says.

    Raises:
        JobError: Neither says one.
    """
    if options.slot:
        return parse_slot(options.slot)
    name = environment.get("TRIFOLD_JOB_NAME", "")
    slot = slots.slot_of(name)
    if slot is None:
        raise JobError(f"No slot is known: the Job's name, {name!r}, ends in no minute; give --slot 2026-11-01T06:00Z.")
    return slot


def work(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Do what the command line asks for.

    Raises:
        TrifoldError: It could not be done.
    """
    from trifold import bento

    options = parse(argv)
    reach("started")
    slot = slot_of(options, environment)
    job = Job.from_text(environment.get("TRIFOLD_JOB", ""))
    shard = int(environment.get("JOB_COMPLETION_INDEX") or 0)
    settings = Settings.from_environment(environment)
    folder = settings.model or bento.packed_model()
    packed = Packed.read(folder)
    say(f"{job.name} {slot_text(slot)}: {packed.name} version {packed.version}, shard {shard} of {job.shards}")
    scorer = scorer_of(job, shard, settings, folder, environment)
    request = environment.get("TRIFOLD_JOB_UID") or f"process {os.getpid()} at {time.time()}"
    if not options.replace:
        scorer.catch_up(slot)
    scorer.finish(slot, request, replace=options.replace)
    reach("before-retention")
    if shard == 0:
        scorer.store.retire()


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Work, and say in one sentence and an exit code what went wrong."""
    # As the first process of a container it would not hear SIGTERM otherwise; 0 would count the shard as done.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))
    return exit_code(lambda: work(sys.argv[1:] if argv is None else argv, environment))
