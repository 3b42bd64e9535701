"""Runs in files that are killed, started twice or wake up late: one table a slot, and no reader sees part of it."""

import json
import re
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch import SLOT, instant, version
from tests.trifold.test_batch_files import RUN, batch_of, scorer_of
from tests.trifold.test_batch_postgres import rows_of
from trifold.batch.schedule import Schedule
from trifold.batch.scored import score
from trifold.batch.statistics import Tally
from trifold.batch.store import Counts
from trifold.errors import InputRefused, Unavailable
from trifold.failpoints import NAMES

ROWS = 40_000
SMALL_PIECES = {"TRIFOLD_BATCH_BYTES": "400000"}
OF_A_REPORT = ("before-report", "report-rendered", "report-kept")
PLACES = [name for name in NAMES if name not in OF_A_REPORT]
OF_THE_STORE = [name for name in PLACES if name != "started" and not name.startswith("chunk")]


@pytest.fixture
def files(built_customers, place, customers):
    """A job of two shards over rows that come in several pieces, some of them refused."""
    batch = batch_of(built_customers.model, place, shards=2)
    batch.fill(rows_of(customers, ROWS, tenure=[None if number in (5, 50) else 7 for number in range(ROWS)]))
    return batch


def scorer(batch, shard=0, **job):
    """What a pod has made when it begins; it does not wait for long."""
    made = scorer_of(batch, shard, **job)
    made.store.wait = 20
    return made


@contextmanager
def at_work(made, run, shard=0):
    """A shard whose rows are all written, and the counts to commit it with."""
    with made.store.shard(run, shard) as working:
        tally, rows, refused = Tally(made.bins, top=5), 0, 0
        for scored in score(made.store.read(run, shard), made.model, made.job, tally):
            working.write(scored)
            rows, refused = rows + scored.rows, refused + scored.refused
        yield working, Counts(rows, refused, 1.0, tally.to_json(), tally.top())


def slots(first=SLOT):
    """One slot after the other."""
    schedule, slot = Schedule.parse("0 6 * * 1", "Europe/Berlin"), instant(first)
    while True:
        yield f"{slot:%Y-%m-%dT%H:%MZ}"
        slot = schedule.next(slot)


def bare(table):
    """Rows by key, without what belongs to the slot and the time."""
    return table.drop_columns(["slot", "scored_at"]).sort_by("key")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_may_be_killed_anywhere(files):
    """At each failpoint a process dies, others go on, and the table is that of a calm run."""
    places = PLACES if files.place.address.startswith("file") else OF_THE_STORE
    following = slots()
    calm = next(following)
    assert [files.run(slot=calm, shard=shard) for shard in (0, 1)] == [0, 0]
    wanted = bare(files.read(calm))
    assert wanted.num_rows == ROWS - 2
    for name, slot in zip(places, following, strict=False):
        first = name in ("started", "locked", "frozen", "freeze-committed", "before-retention")
        assert first or files.run(slot=slot, shard=0) == 0
        failpoint = f"{name}@2" if name.startswith("chunk") else name
        killed = files.fork(slot=slot, shard=0 if first else 1, TRIFOLD_FAILPOINT=failpoint, **SMALL_PIECES)
        said = killed.communicate(timeout=120)[0]
        assert killed.returncode == -9, (name, said)
        assert f"failpoint {failpoint.partition('@')[0]} reached" in said
        seen = files.read(slot)
        assert seen is None or bare(seen) == wanted, name
        assert (seen is not None) == (name == "after-commit"), name
        assert [files.run(slot=slot, shard=shard) for shard in (0, 1)] == [0, 0], name
        assert bare(files.read(slot)) == wanted, name
        names = (f"out/weekly/{run_of(slot)}/{name}.json" for name in ("manifest", "end"))
        manifest, end = (json.loads(files.place.read(name)) for name in names)
        assert manifest == end
    print(f"killed at {len(places)} places: {', '.join(places)}")


def run_of(slot):
    """The folder of a slot's first run."""
    return f"{instant(slot):%Y%m%dT%H%MZ}/0001"


@pytest.mark.slow
def test_two_whole_jobs_of_one_slot_at_once(files):
    """Kubernetes starts a slot twice: four processes, one table, whose readers see all of it or nothing."""
    seen, ended = [], threading.Event()

    def poll():
        while not ended.is_set():
            table = files.read()
            if table is not None:
                seen.append(table)

    poller = threading.Thread(target=poll)
    poller.start()
    started = [files.fork(shard=shard, TRIFOLD_JOB_UID=uid, **SMALL_PIECES) for uid in "ab" for shard in (0, 1)]
    said = [process.communicate(timeout=200)[0] for process in started]
    again = [files.run(shard=shard) for shard in (0, 1)]  # as Kubernetes does where one came too late
    ended.set()
    poller.join()
    assert {process.returncode for process in started} <= {0, 75}, said
    assert again == [0, 0]
    assert seen
    assert all(table == seen[0] for table in seen)
    assert files.read() == seen[0]
    assert seen[0].num_rows == ROWS - 2
    assert [name for name in files.place.files("out") if name.endswith("manifest.json")] == [f"{RUN}/manifest.json"]


def test_two_who_freeze_at_once_read_the_same_rows(files, customers):
    """The input changes while two processes freeze it: both score what was decided on."""
    addresses = [files.fill(rows_of(customers, count), f"{count}.parquet") for count in (100, 200)]
    scorers = [scorer(files, source={"query": "", "files": address}) for address in addresses]
    runs, barrier = [None, None], threading.Barrier(2)

    def begin(number):
        barrier.wait()
        runs[number] = scorers[number].store.begin(instant(SLOT))

    threads = [threading.Thread(target=begin, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs[0] == runs[1]
    for shard in (0, 1):
        pieces = [pa.Table.from_batches(made.store.read(runs[0], shard)) for made in scorers]
        assert pieces[0] == pieces[1]
    assert runs[0].rows in (100, 200)
    inputs = [name for name in files.place.files("out/weekly") if name.startswith("inputs/")]
    assert len(inputs) == 1


def test_a_twin_that_comes_late_changes_nothing(files):
    """Two processes do the same shard; the second finds the run committed and leaves nothing behind."""
    made, other = scorer(files), scorer(files)
    run = made.store.begin(instant(SLOT))
    with at_work(made, run) as (working, counts):
        assert [files.run(shard=shard) for shard in (0, 1)] == [0, 0]
        before = {name: files.place.read(f"out/{name}") for name in files.place.files("out")}
        assert working.commit(counts) == "committed"
    after = {name: files.place.read(f"out/{name}") for name in files.place.files("out")}
    assert {name: after[name] for name in after if ".scratch" not in name} == {
        name: content for name, content in before.items() if ".scratch" not in name
    }
    assert other.store.begin(instant(SLOT)).state == "committed"


def test_twins_of_a_shard_are_counted_once(files):
    """Two processes have both done a shard when the last one comes: the manifest names one of each."""
    made, twin = scorer(files), scorer(files)
    run = made.store.begin(instant(SLOT))
    with at_work(made, run) as (one, counts), at_work(twin, run) as (other, more):
        assert one.commit(counts) == "open"
        assert other.commit(more) == "open"
    assert files.run(shard=1) == 0
    manifest = json.loads(files.place.read(f"out/{RUN}/manifest.json"))
    assert len(manifest["predictions"]) == 2
    assert manifest["rejects"] == 2
    assert files.read().num_rows == ROWS - 2


def test_who_wakes_up_after_another_version_began_publishes_nothing(files, built_other_customers):
    """A process sleeps while the release is upgraded and the slot begun anew; then it is told to start again."""
    made = scorer(files)
    run = made.store.begin(instant(SLOT))
    old, files.folder = files.folder, built_other_customers.model
    with at_work(made, run) as (working, counts):
        assert [files.run(shard=shard) for shard in (0, 1)] == [0, 0]
        with pytest.raises(Unavailable, match="ended by another process"):
            working.commit(counts)
    assert set(files.read().column("version").to_pylist()) == {version(built_other_customers)}
    assert not [name for name in files.place.files("out") if name.startswith(f"{RUN}/parts")]
    files.folder = old
    assert files.run() == 73


def test_who_wakes_up_after_a_replacement_does_not_undo_it(files):
    """The last to say that the first run is committed does so after the second was: readers stay with the second."""
    assert [files.run(shard=shard) for shard in (0, 1)] == [0, 0]
    first = files.place.read(f"out/{RUN}/manifest.json")
    asked = {"TRIFOLD_JOB_UID": "again"}
    assert [files.run("--replace", shard=shard, **asked) for shard in (0, 1)] == [0, 0]
    replaced = files.read()
    files.place.put(f"out/{RUN}/manifest.json", first)
    assert files.read() == replaced
    assert [state for _, state, *_ in files.runs()] == ["committed", "replaced"]


def test_a_failure_and_a_commit_at_once_have_one_end(files):
    """One process finds the input bad while the other ends the run well: whichever was first, all are told the same."""
    made, other = scorer(files, 0), scorer(files, 1)
    run = made.store.begin(instant(SLOT))
    with at_work(made, run) as (one, counts), at_work(other, run, 1) as (two, more):
        assert one.commit(counts) == "open"
        made.store.fail(run, "A reason.")
        with pytest.raises(Unavailable):
            two.commit(more)
    assert files.read() is None
    assert [state for _, state, *_ in files.runs()] == ["failed"]
    assert [files.run(shard=shard) for shard in (0, 1)] == [0, 0]
    assert [state for _, state, *_ in files.runs()] == ["committed", "failed"]


def test_a_shard_waits_for_the_first_to_freeze(files, capsys):
    """It waits as long as it may, then Kubernetes starts it again; what cannot be read it says at once."""
    made = scorer(files, 1)
    made.store.wait = 0.1
    with pytest.raises(Unavailable, match="Shard 0 has not frozen the input"):
        made.store.begin(instant(SLOT))
    assert "waits for shard 0" in capsys.readouterr().out
    made.store.wait = 60
    waiting = threading.Thread(target=made.run, args=(instant(SLOT),))
    waiting.start()
    assert files.run(shard=0) == 0
    waiting.join()
    assert files.read().num_rows == ROWS - 2
    lacking = scorer(files, 1, keep=["nothing"])
    with pytest.raises(InputRefused, match="lacks nothing"):
        lacking.store.begin(instant(SLOT) + timedelta(days=7))


def test_a_shard_that_waits_hears_of_a_failure(files):
    """The first cannot read the input to its end; the others do not wait for what never comes."""
    files.job["source"]["files"] = f"{files.place.address}/in/*.csv"
    files.place.put("in/a.csv", b'id,tenure,charges,active,plan,region\nc1,"1\n')
    made, heard = scorer(files, 1), []

    def wait():
        try:
            made.store.begin(instant(SLOT))
        except InputRefused as error:
            heard.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert files.run(shard=0) == 65
    waiting.join()
    assert heard
    assert "unexpected end of data" in heard[0]


def peak(process):
    """The most memory in MiB that a process has used until its end; what wait4 says is also of its parent."""
    status, most = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        most = int(found[1]) / 1024 if found else most
        time.sleep(0.02)
    assert process.returncode == 0, process.stdout.read()
    return most


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_memory_is_flat(built_customers, disk, customers, kind):
    """A million rows take as much memory as four hundred thousand, with which all queues are full."""
    used = {}
    for count, slot in zip((400_000, 1_000_000), slots(), strict=False):
        batch = batch_of(built_customers.model, disk, f"{count}.{kind}")
        batch.fill(rows_of(customers, count), f"{count}.{kind}")
        used[count] = peak(batch.start(slot=slot))
    print(f"{kind}: {used[400_000]:.0f} MiB for 400,000 rows, {used[1_000_000]:.0f} MiB for 1,000,000")
    assert used[1_000_000] <= 1.1 * used[400_000]
