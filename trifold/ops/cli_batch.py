"""The commands for batch jobs: run, backfill, runs."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trifold.errors import DeployError
from trifold.ops.terminal import console, print_line, print_table, step

if TYPE_CHECKING:  # a command imports them when it needs them
    from trifold.ops.batch import BatchJob
    from trifold.ops.helm import Target
    from trifold.ops.job_states import Seen
    from trifold.ops.jobs import Following
    from trifold.ops.runs import Run

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""
MOST_AT_ONCE = 50
WIDTH = 24

Release = Annotated[str, typer.Argument(metavar="RELEASE", help="Name of the release.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job, in batch.jobs of its values.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the releases.")]
Replace = Annotated[bool, typer.Option("--replace", help="Do it anew where it is committed.")]
Slot = Annotated[str, typer.Option(metavar="TIME", help="As 2026-11-02T05:00Z. [dim]default: the last firing[/dim]")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="From this instant, day or month on.")]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="To this instant, day or month, all of it.")]


def run(
    release: Release,
    job: JobName,
    slot: Slot = "",
    replace: Replace = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Or leave it to the cluster.")] = True,
    namespace: Namespace = "models",
) -> None:
    """Run a batch job for one slot, now, beside its schedule. Exit code 1 if the run fails.

    The Job is the one that the schedule would start. A slot that is committed stays as it is, without --replace.
    """
    from trifold.ops import batch, jobs
    from trifold.ops import runs as listing
    from trifold.ops.job_states import DONE, GONE

    target = target_of(release, namespace)
    with step("start") as said:
        (found,) = jobs.find(target, job)
        when = batch.read_slot(found, slot, datetime.now(UTC))
        following = jobs.start(target, batch.make_job(found, when, replace=replace))
        said.append(f"{found.local(when)}, Job {following.name}{'' if following.new else ', active already'}")
    if found.suspended:
        print_line(f"  {job} is suspended: its schedule starts nothing; this run is made all the same.")
    if not wait:
        print_line(_shows("It runs in the cluster", target))
        return
    try:
        seen = _follow(following)
    except KeyboardInterrupt:
        print_line(_shows("\nThe Job runs on", target))
        raise typer.Exit(INTERRUPTED) from None
    if seen.state not in (DONE, GONE):
        raise _failure(target, found, when, seen)
    try:
        with console.status("runs …"):
            there = listing.run_of(target, found, when)
    except DeployError as error:
        if seen.state == GONE:
            raise
        print_line(escape(f"  It is done, but: {error}"))
        return
    if seen.state == GONE and (there is None or there.state != listing.COMMITTED):
        raise _failure(target, found, when, seen)
    _print_runs(target, [found], [there] if there else [])


def backfill(
    release: Release,
    job: JobName,
    start: From,
    end: To,
    parallel: Annotated[int, typer.Option(metavar="N", min=1, max=MOST_AT_ONCE, help="Jobs at once.")] = 1,
    replace: Replace = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Do the others too when one fails.")] = False,
    namespace: Namespace = "models",
) -> None:
    """Run a batch job for every slot of a time that is not committed, the oldest first; 1,000 at most.

    Days and months are those of the job's time zone. Ended and started again, it goes on where it was.

    The schedule goes on beside it: its concurrencyPolicy Forbid counts only what it started itself.

    The Jobs belong to the CronJob: its history limits clean them up. Their label trifold.dev/backfill tells them apart.
    """
    from trifold.ops import backfill as filling
    from trifold.ops import batch, jobs, runs

    target = target_of(release, namespace)
    with step("runs") as said:
        (found,) = jobs.find(target, job)
        first, last = batch.read_span(found, start, end)
        slots = batch.slots_between(found, first, last, datetime.now(UTC))
        there = set() if replace else runs.committed(target, found)
        todo = [slot for slot in slots if slot not in there]
        said.append(f"{len(slots):,} slots, {len(slots) - len(todo):,} of them committed already")
    if not todo:
        return
    labels = {batch.BACKFILL: f"{first:%Y%m%dT%H%MZ}-{last:%Y%m%dT%H%MZ}"}

    def begin(slot: datetime) -> "Following":
        return jobs.start(target, batch.make_job(found, slot, replace=replace, labels=labels))

    ended: dict[datetime, Seen] = {}
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(job, total=len(todo))
            for slot, seen in filling.work(todo, begin, at_once=parallel, keep_going=keep_going):
                ended[slot] = seen
                print_line(escape(f"  {found.local(slot):<{WIDTH}} {seen.says or seen.state}"))
                bar.advance(task)
    except KeyboardInterrupt:
        print_line("\nNo other slot is begun; a Job that is active runs on. The same command goes on from here.")
        raise typer.Exit(INTERRUPTED) from None
    _sum_up(target, found, len(todo), ended)


def runs(
    release: Release,
    job: Annotated[str, typer.Option(metavar="JOB", help="Of this job only.")] = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many, the newest first.")] = 20,
    namespace: Namespace = "models",
) -> None:
    """Show a release's batch runs: job, slot, state, rows, rejects, duration, version, report.

    A short Job in the cluster reads them, as only the cluster need reach the database.
    """
    from trifold.ops import jobs
    from trifold.ops import runs as listing

    target = target_of(release, namespace)
    with console.status("runs …"):
        found = jobs.find(target, job)
        shown = listing.collect(target, found, limit)
    if not shown:
        again = f"trifold run {release} {found[0].name} -n {namespace}"
        print_line(f"{release} has no runs{f' of {job}' if job else ''} yet; make one: [bold]{again}[/bold]")
        return
    _print_runs(target, found, shown)


def target_of(release: str, namespace: str) -> "Target":
    """A release of the cluster that is configured.

    Raises:
        DeployError: It can have no such name, or no cluster is configured.
    """
    from trifold.ops import helm, kube
    from trifold.ops.lockfile import require_release

    require_release(release)
    target = helm.Target(release, namespace, helm.context())
    kube.connect(target.context)
    return target


def _shows(what: str, target: "Target") -> str:
    return f"{what}; [bold]trifold runs {target.release} -n {target.namespace}[/bold] shows how far it is."


def _follow(following: "Following") -> "Seen":
    """Wait until a Job has ended, with a line that says how far its shards are."""
    from trifold.ops.job_states import DONE, RUNNING
    from trifold.ops.jobs import POLL_SECONDS

    began = time.monotonic()
    with console.status("run …") as shown:
        while (seen := following.look()).state == RUNNING:
            shown.update(escape(f"run … {seen.says}"))
            time.sleep(POLL_SECONDS)
    if seen.state == DONE:
        print_line(f"  {'run':<11} {'done':<56} {time.monotonic() - began:6.1f} s")
    return seen


def _failure(target: "Target", job: "BatchJob", slot: datetime, seen: "Seen") -> DeployError:
    words = f" Its pod's last words:\n{seen.words}" if seen.words else ""
    return DeployError(f"{job.name} of {target.release}, slot {job.local(slot)}: {seen.says}.{words}")


def _print_runs(target: "Target", jobs: "Sequence[BatchJob]", shown: "Sequence[Run]") -> None:
    from trifold.ops import runs as listing
    from trifold.ops.job_states import FAILED

    print_table(listing.table(shown, jobs))
    for one in shown:
        if one.state in (FAILED, listing.STOPPED):
            print_line(escape(f"  {listing.advice(one, target)}"))


def _sum_up(target: "Target", job: "BatchJob", wanted: int, ended: "dict[datetime, Seen]") -> None:
    """Say how many slots were done.

    Raises:
        DeployError: One of them was not.
    """
    from trifold.ops import runs as listing
    from trifold.ops.job_states import DONE, GONE

    lost = [slot for slot, seen in ended.items() if seen.state == GONE]  # a history limit of few removes Jobs at once
    there = listing.committed(target, job) if lost else set()
    failed = [slot for slot, seen in ended.items() if seen.state != DONE and slot not in there]
    rest = f", {wanted - len(ended):,} not begun" if wanted > len(ended) else ""
    print_line(f"\n{len(ended) - len(failed):,} done, {len(failed):,} failed{rest}")
    if failed:
        raise _failure(target, job, failed[0], ended[failed[0]])
