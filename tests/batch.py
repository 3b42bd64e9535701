"""Batch runs for the tests: a release's schema in a real PostgreSQL, and the real command as a process."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from tests.forks import Fork
from trifold.batch import __main__ as commands
from trifold.batch import score, slots
from trifold.database import Database
from trifold.packed import Packed

ROOT = Path(__file__).resolve().parents[1]
SLOT = "2026-11-23T05:00Z"
SCHEMA = "customers"
JOB = {
    "name": "weekly",
    "schedule": "0 6 * * 1",
    "timeZone": "Europe/Berlin",
    "key": "id",
    "keep": [],
    "shards": 1,
    "maxRejectRate": 0.01,
    "catchUp": 0,
    "source": {"query": "SELECT * FROM customers", "files": ""},
    "sink": {"files": ""},
    "report": {"top": 5, "history": ""},
    "retentionDays": {"rejects": 30, "inputs": 7, "predictions": 36_500},  # the tests' slots stay young
}


@dataclass
class Batch:
    """A release's batch part: a packed model, a database, a job."""

    folder: Path
    uri: str
    job: dict = field(default_factory=lambda: dict(JOB))

    def environment(self, shard=0, **more):
        """What the chart would set."""
        told = {
            "TRIFOLD_JOB": json.dumps(self.job),
            "TRIFOLD_JOBS": json.dumps([self.job]),
            "TRIFOLD_DATABASE_URI": self.uri,
            "TRIFOLD_OWNER_URI": self.uri,
            "TRIFOLD_DATABASE_SCHEMA": SCHEMA,
            "TRIFOLD_MODEL": str(self.folder),
            "JOB_COMPLETION_INDEX": str(shard),
            "MLFLOW_TRACKING_URI": "",
        }
        return {**os.environ, **told, **more}

    def migrate(self):
        """Make the schema."""
        assert commands.main(["migrate"], self.environment()) == 0
        with Database(self.uri) as database:
            database.run(f"UPDATE {SCHEMA}.batch_jobs SET since = '2000-01-01'")
            database.commit()
        return self

    def run(self, *argv, slot=SLOT, shard=0, **more):
        """Score a shard of a slot in this process; gives the exit code."""
        arguments = ["--slot", slot, *argv] if slot else argv
        return score.main(arguments, self.environment(shard, **more))

    def start(self, *argv, slot=SLOT, shard=0, **more):
        """Score a shard of a slot in a process of its own, as a CronJob does."""
        command = [sys.executable, ROOT / "cronjobs/score.py", "--slot", slot, *argv]
        environment = self.environment(shard, PYTHONPATH=str(ROOT), **more)
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def fork(self, *argv, slot=SLOT, shard=0, **more):
        """The same in a fifth of the time: see tests/forks.py."""
        return Fork(["--slot", slot, *argv], self.environment(shard, **more))

    def ask(self, statement, *parameters):
        """Rows of a query."""
        with Database(self.uri, autocommit=True) as database:
            return database.rows(statement, *parameters)

    def fill(self, table, name="customers"):
        """Make a table with these rows."""
        with Database(self.uri) as database:
            [piece] = table.combine_chunks().to_batches() or [None]
            database.make("public", name, piece)
            database.commit()

    def table(self, slot=SLOT):
        """What readers see of a slot, all columns but scored_at, by key, as text that shows every bit."""
        found = self.ask(
            "SELECT to_jsonb(p) - 'scored_at' FROM (SELECT * FROM "
            f"{SCHEMA}.predictions WHERE slot = $1 ORDER BY key) AS p",
            slots.parse_slot(slot),
        )
        return [row for (row,) in found]

    def runs(self):
        """State, rows and rejects of the runs, by slot."""
        return self.ask(f"SELECT slot, state, rows, rejects FROM {SCHEMA}.batch_runs ORDER BY slot, run")


def version(built):
    """The version of a built model; other tests may have logged some between two."""
    return Packed.read(built.model).version


def instant(text):
    """A slot as a datetime."""
    moment: datetime = slots.parse_slot(text)
    return moment


@pytest.fixture
def batch(built_customers, postgres):
    """A migrated schema for the customers' model, in a fresh database without customers."""
    return Batch(built_customers.model, postgres).migrate()
