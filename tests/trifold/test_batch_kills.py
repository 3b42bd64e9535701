"""Batch runs that are killed anywhere, started twice and lose their database: the table is that of a calm run.

`make prove-batch` runs the whole campaign, `make test` a short form of it; each prints how often a failpoint was hit.
"""

import collections
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.batch import JOB, SCHEMA, Batch, instant
from tests.postgres import free_port
from tests.trifold.test_batch_postgres import rows_of
from trifold.batch.job import Job
from trifold.batch.schedule import Schedule
from trifold.database import Database
from trifold.errors import TrifoldError
from trifold.failpoints import NAMES

PROVE = float(os.environ.get("TRIFOLD_PROVE") or 0)
"""How much of the whole campaign: 1 is 200 kills, 50 double starts and 20 restarts; 0 the short form of `make test`."""
ROWS = 3000
SECONDS = 180
POLL_SECONDS = 0.005
"""Between two looks of the reader: without a pause it took as much of the machine as all that is killed."""
FIRST = instant("2027-01-04T05:00Z")
FREEZING = NAMES[: NAMES.index("freeze-committed") + 1]
"""Failpoints that only the process meets which begins a run."""


@dataclass
class Watcher:
    """A reader that asks all the while how many rows of the slot are visible: none or all, whatever is killed."""

    uri: str
    slot: datetime = FIRST
    polls: int = 0
    seen: set = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)
    seconds: float = 0.0

    def __enter__(self):
        self.thread = threading.Thread(target=self._poll, daemon=True)
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(30)
        self.seconds = time.monotonic() - self.began

    def _poll(self):
        while not self.ended.is_set():
            try:
                with Database(self.uri, autocommit=True, seconds=5) as database:
                    while not self.ended.is_set():
                        [[count]] = database.rows(
                            f"SELECT count(*) FROM {SCHEMA}.predictions WHERE slot = $1", self.slot
                        )
                        self.seen.add(count)
                        self.polls += 1
                        self.ended.wait(POLL_SECONDS)
            except TrifoldError:
                continue  # the database is being restarted


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    """A real MLflow for the reports; its address."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # four processes more
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder, env=environment)
    try:
        ends = time.monotonic() + SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310 - our own
                    break
            except OSError:
                assert time.monotonic() < ends, (folder / "log").read_text()
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@pytest.fixture
def campaign(built_customers, postgres, customers, mlflow_server):
    """A batch of two shards over rows that come in several pieces, with reports, after one calm run."""
    batch = Batch(built_customers.model, postgres, {**JOB, "shards": 2}).migrate()
    tenure = [None if number in (5, 50) else number for number in range(ROWS)]
    batch.fill(rows_of(customers, ROWS, tenure=tenure))
    told = {"MLFLOW_TRACKING_URI": mlflow_server, "MLFLOW_EXPERIMENT_NAME": postgres.rpartition("/")[2]}
    return Campaign(batch, {**told, "TRIFOLD_BATCH_BYTES": "100000"})


@dataclass
class Campaign:
    """Slot after slot, each disturbed in one way, and each equal to the first, which was not."""

    batch: Batch
    told: dict
    hits: collections.Counter = field(default_factory=collections.Counter)
    calm: list = field(default_factory=list)
    slot: datetime = FIRST

    def begin(self, watcher):
        """The calm run."""
        self.finish(0, 1)
        self.calm = self.table()
        assert len(self.calm) == ROWS - 2
        watcher.slot = self.slot

    def next(self, watcher):
        """Go on to the next slot."""
        self.slot = Schedule.parse(self.batch.job["schedule"], self.batch.job["timeZone"]).next(self.slot)
        watcher.slot = self.slot

    def start(self, shard, failpoint=""):
        """A process for a shard of the slot."""
        return self.batch.fork(
            slot=f"{self.slot:%Y-%m-%dT%H:%MZ}", shard=shard, TRIFOLD_FAILPOINT=failpoint, **self.told
        )

    def end(self, *processes):
        """Exit codes, once all have ended; kills at failpoints are counted."""
        codes = []
        for process in processes:
            said = process.communicate(timeout=SECONDS)[0]
            for line in said.splitlines():
                if line.startswith("failpoint "):
                    self.hits[line.split()[1]] += 1
            codes.append(process.returncode)
            assert process.returncode in (0, 75, -signal.SIGKILL), said
        return codes

    def finish(self, *shards):
        """What Kubernetes does: start these shards again until they have ended well."""
        for _ in range(5):
            if not any(self.end(*map(self.start, shards))):
                return
        pytest.fail(f"slot {self.slot} does not end")

    def table(self):
        """What readers see of the slot, but for its time."""
        return [
            row.replace(f'"slot": "{self.slot:%Y-%m-%dT%H:%M:%S}+00:00"', "")
            for row in self.batch.table(f"{self.slot:%Y-%m-%dT%H:%MZ}")
        ]

    def check(self):
        """The table is that of the calm run, and the slot has one committed run and one report."""
        assert self.table() == self.calm
        states = self.batch.ask(
            f"SELECT state, report IS NOT NULL FROM {SCHEMA}.batch_runs WHERE slot = $1 AND state <> 'abandoned'",
            self.slot,
        )
        assert states == [("committed", True)]
        rejects = self.batch.ask(f"SELECT key FROM {SCHEMA}.rejects WHERE slot = $1 ORDER BY key", self.slot)
        assert rejects == [("c5",), ("c50",)]

    def kill(self, name):
        """Kill a process at a failpoint, before or after the other shard is done, then start it again."""
        hit = f"{name}@2" if name.startswith("chunk") else name
        left = (0, 1)
        if name not in FREEZING:
            assert self.end(self.start(1)) == [0]
            left = (0,)
        assert self.end(self.start(0, hit)) == [-signal.SIGKILL], f"failpoint {name} was not reached"
        self.finish(*left)
        self.check()

    def double(self, seed):
        """Start everything twice at once, and kill one of them somewhere."""
        name = random.Random(seed).choice(NAMES[:11])  # noqa: S311
        self.end(self.start(0, name), self.start(0), self.start(1), self.start(1))
        self.finish(0, 1)
        self.check()

    def lose_database(self, server, seed):
        """Stop a process somewhere, take the database away as by a power cut, and let it go on."""
        names = [name for name in NAMES if name not in ("report-kept", "before-retention")]
        name = random.Random(seed).choice(names)  # noqa: S311
        if name not in FREEZING:
            self.end(self.start(1))
        process = self.start(0, f"{name}:stop")
        wait_stopped(process)
        server.kill()
        server.start()
        process.send_signal(signal.SIGCONT)
        self.end(process)
        self.finish(0, 1)
        self.check()


def wait_stopped(process):
    """Wait until a process has stopped itself at its failpoint."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        if process.is_stopped():
            return
        assert process.poll() is None, process.communicate()[0]
    pytest.fail("the failpoint was not reached")


def report(campaign, watcher, what):
    """Print the figures, and hold the reader's."""
    assert watcher.seen <= {0, ROWS - 2}, watcher.seen
    rate = watcher.polls / watcher.seconds
    print(f"\n{what}; a reader polled {watcher.polls:,} times, {rate:,.0f} a second, and saw all or nothing")
    print("failpoints hit: " + ", ".join(f"{name} {campaign.hits[name]}" for name in NAMES if campaign.hits[name]))
    assert rate >= 50 or not PROVE


@pytest.mark.slow
@pytest.mark.timeout(7200 if PROVE else 600)
def test_killed_anywhere_the_table_is_the_same(campaign):
    """SIGKILL at every step boundary, and a start after it: byte-equal, one run, one report, never a part visible."""
    kills = round(200 * PROVE) or 5
    names = itertools.cycle(NAMES) if PROVE else random.sample(NAMES, kills)
    with Watcher(campaign.batch.uri) as watcher:
        campaign.begin(watcher)
        for number, name in enumerate(itertools.islice(names, kills), 1):
            print(f"kill {number} of {kills}: {name}", flush=True)
            campaign.next(watcher)
            campaign.kill(name)
    report(campaign, watcher, f"{kills} kills")
    assert sum(campaign.hits.values()) == kills


@pytest.mark.slow
@pytest.mark.timeout(7200 if PROVE else 600)
def test_started_twice_it_is_scored_once(campaign):
    """Both shards twice at once, one of the four killed: the others wait, take over or find it done."""
    starts = round(50 * PROVE) or 1
    with Watcher(campaign.batch.uri) as watcher:
        campaign.begin(watcher)
        for seed in range(starts):
            print(f"double start {seed + 1} of {starts}", flush=True)
            campaign.next(watcher)
            campaign.double(seed)
    report(campaign, watcher, f"{starts} double starts")


@pytest.mark.slow
@pytest.mark.timeout(7200 if PROVE else 600)
def test_a_database_that_crashes_loses_nothing(campaign, postgres_server):
    """The database is gone at start, in the middle or at the commit, and comes back by its log."""
    restarts = round(20 * PROVE) or 1
    with Watcher(campaign.batch.uri) as watcher:
        campaign.begin(watcher)
        for seed in range(restarts):
            print(f"crash {seed + 1} of {restarts}", flush=True)
            campaign.next(watcher)
            campaign.lose_database(postgres_server, seed + (0 if PROVE else random.randrange(1000)))  # noqa: S311
    report(campaign, watcher, f"{restarts} database restarts")


@pytest.mark.slow
@pytest.mark.parametrize("days", [("2026-03-28", "2026-03-30"), ("2026-10-24", "2026-10-26")])
def test_each_slot_is_done_once_though_the_clock_changes(batch, customers, days):
    """Half-hourly in Berlin while the clock goes forward or back, slots missed, late and twice: each is there once."""
    from trifold.batch import score
    from trifold.settings import Settings

    batch.fill(rows_of(customers, 2))
    batch.job |= {"schedule": "*/30 * * * *", "catchUp": 3}
    schedule = Schedule.parse("*/30 * * * *", "Europe/Berlin")
    first, last = (instant(f"{day}T00:00Z") for day in days)
    slots = list(schedule.between(first, last))
    assert [b - a for a, b in itertools.pairwise(slots)] == [timedelta(minutes=30)] * (len(slots) - 1)
    told = batch.environment()
    scorer = score.scorer_of(
        Job.from_text(json.dumps(batch.job)), 0, Settings.from_environment(told), batch.folder, told
    )
    chance = random.Random(days[0])  # noqa: S311
    missed = 0
    for slot in slots:
        if slot not in (slots[0], slots[-1]) and missed < 3 and chance.random() < 0.4:
            missed += 1
            continue
        missed = 0
        for _ in range(chance.choice([1, 1, 2])):
            scorer.catch_up(slot)
            scorer.finish(slot)
    found = batch.ask(
        f"SELECT slot, count(*), max(slot_start) FROM {SCHEMA}.batch_runs WHERE state = 'committed' "
        "GROUP BY 1 ORDER BY 1"
    )
    assert [slot for slot, count, _ in found if slot >= first and count == 1] == slots
    assert [start for slot, _, start in found][1:] == [slot for slot, *_ in found][:-1]
