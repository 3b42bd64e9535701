"""Runs in PostgreSQL: frozen input, predictions and state of a run in one schema, each step one transaction."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa

from trifold.batch.checks import Began, is_joined, is_replaced, require_columns, too_many_rejects, twice
from trifold.batch.csv_columns import UNREAD
from trifold.batch.file_tables import load
from trifold.batch.history import history_of
from trifold.batch.inputs import read_columns
from trifold.batch.job import Job, bound
from trifold.batch.slots import slot_text
from trifold.batch.sources import Files
from trifold.batch.store import ABANDONED, COMMITTED, FAILED, OPEN, REPLACED, Counts, Run, Scored
from trifold.contract.contract import Contract
from trifold.database import Database, literal, quoted
from trifold.errors import InputRefused, Unavailable
from trifold.failpoints import reach
from trifold.versions import Version

LOCK_SECONDS = 0.2
HASH = "((hashtextextended(coalesce({key}::text, ''), 0) & 2147483647) * {shards}) >> 31 = {shard}"
"""Shards are ranges of the key's hash, so that rows of one key meet in one of them."""


class Postgres:
    """A store (store.py) in a schema that `python -m trifold.batch migrate` made.

    Attributes:
        uri: Address of the database, of the role that scores.
        schema: The release's schema.
        job: Whose runs.
        version: The model version that scores.
        contract: Its contract.
    """

    def __init__(
        self,
        uri: str,
        schema: str,
        job: Job,
        version: Version,
        contract: Contract,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.uri, self.schema, self.job = uri, schema, job
        self.version, self.contract = version, contract
        self._in = quoted(schema)
        self._open: Database | None = None
        self._request = ""
        self._environment = environment  # says how files are reached

    @property
    def _database(self) -> Database:
        """The connection; a new one where the last was lost or given up."""
        if self._open is None:
            self._open = Database(self.uri)
        return self._open

    def begin(self, slot: datetime, request: str = "", *, replace: bool = False) -> Run:
        """See Store.begin; the first who asks freezes, all others wait for the lock and find it done."""
        self._request = request
        with self._transaction() as database:
            self._lock(database, f"{self.job.name} {slot.isoformat()}")
            reach("locked")
            found, asked = self._find(slot), request if replace else None
            if COMMITTED in found:
                run, began = found[COMMITTED]
                if not is_replaced(began, slot, self.job, self.version, asked):
                    return run
            self._require_not_failed(slot, request)
            if OPEN in found:
                run, began = found[OPEN]
                if is_joined(began, self.job, self.version, asked):
                    return run
                self._abandon(run)
            run = self._freeze(slot, request)
            reach("frozen")
        reach("freeze-committed")
        return run

    def read(self, run: Run, shard: int) -> Iterator[pa.RecordBatch]:
        """See Store.read."""
        table = self._input(run)
        with Database(self.uri) as database:  # of its own: the other holds the shard's lock, in another thread
            there = set(database.schema(f"SELECT * FROM {table}").names)
            yield from database.read(self._query(table, there, run.shards, shard))

    def _query(self, table: str, there: set[str], shards: int, shard: int) -> str:
        """What a shard reads of the frozen input, whose columns are `there`."""
        unread = f", {quoted(UNREAD)}" if UNREAD in there else ""
        query = f"SELECT {read_columns(self.job, self.contract, there)}{unread} FROM {table}"
        if shards > 1:
            query += " WHERE " + HASH.format(key=quoted(self.job.key), shards=shards, shard=shard)
        return query

    @contextmanager
    def shard(self, run: Run, shard: int) -> Iterator["PostgresShard | None"]:
        """See Store.shard; a second process waits here until the first has ended."""
        with self._transaction() as database:
            self._lock(database, f"{run.run} {shard}")
            reach("shard-locked")
            done = database.rows(
                f"SELECT 1 FROM {self._in}.batch_shards WHERE run = $1 AND shard = $2", int(run.run), shard
            )
            yield None if done else PostgresShard(self, database, run, shard)
            database.rollback()  # whoever did not commit leaves nothing

    def fail(self, run: Run, reason: str, shard: int = 0, rejects: Sequence[pa.RecordBatch] = ()) -> None:
        """See Store.fail."""
        with self._transaction() as database:
            state = self._state(database, run)
            if state == OPEN:
                for piece in rejects:
                    database.write(self.schema, "batch_rejects", placed(piece, run, shard))
                self._end(database, run, FAILED, reason)

    def missed(self, slots: Sequence[datetime]) -> list[datetime]:
        """See Store.missed; not those from before the job was first known, nor those that would be retired at once."""
        if not slots:
            return []
        with self._transaction() as database:
            self._know_job(database)
            [[first]] = database.rows(
                f"SELECT greatest(since, now() - interval '1 day' * $2) FROM {self._in}.batch_jobs WHERE job = $1",
                self.job.name,
                self.job.retention.predictions,
            )
            done = database.rows(
                f"SELECT slot FROM {self._in}.batch_runs WHERE job = $1 AND state = 'committed' AND slot >= $2",
                self.job.name,
                min(slots),
            )
        committed = {slot for (slot,) in done}
        return [slot for slot in slots if slot > first and slot not in committed]

    def counts(self, run: Run) -> list[Counts]:
        """See Store.counts."""
        found = self._ask(
            f"SELECT rows, rejects, seconds, statistics::text, top::text FROM {self._in}.batch_shards "
            "WHERE run = $1 ORDER BY shard",
            int(run.run),
        )
        return [Counts(*numbers, *map(json.loads, texts)) for *numbers, texts in ((*row[:3], row[3:]) for row in found)]

    def rejects(self, run: Run) -> list[tuple[str, str | None, int, str]]:
        """See Store.rejects."""
        found = self._ask(
            f'SELECT rule, "column", count(*), min(expected) FROM {self._in}.batch_rejects WHERE run = $1 '
            "GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
            int(run.run),
        )
        return [(rule, column, count, expected) for rule, column, count, expected in found]

    def keep_report(self, run: Run, report: str) -> None:
        """See Store.keep_report."""
        self._ask(f"UPDATE {self._in}.batch_runs SET report = $2 WHERE run = $1", int(run.run), report)

    def retire(self) -> None:
        """See Store.retire; the newest committed run of a job stays whatever its age."""
        days = self.job.retention
        old = (
            f"SELECT run FROM {self._in}.batch_runs r WHERE job = {literal(self.job.name)} AND ended_at < now() - "
            "interval '1 day' * {days} "
        )
        newest = (
            f"AND slot < (SELECT max(slot) FROM {self._in}.batch_runs n WHERE n.job = r.job AND n.state = 'committed') "
        )
        inputs, rejects = old.format(days=days.inputs), old.format(days=days.rejects)
        predictions = old.format(days=days.predictions) + newest
        dead = f"SELECT run FROM {self._in}.batch_runs WHERE job = {literal(self.job.name)} "
        dead += "AND state IN ('failed', 'replaced', 'abandoned')"
        there = f"to_regclass(format('%I.%I', {literal(self.schema)}, 'input_' || run)) IS NOT NULL"
        with self._transaction() as database:
            for (run,) in database.rows(f"SELECT run FROM ({inputs} UNION {predictions}) AS ended WHERE {there}"):
                database.run(f"DROP TABLE IF EXISTS {self._in}.{quoted(f'input_{run}')}")
            database.run(f"DELETE FROM {self._in}.batch_rejects WHERE run IN ({rejects})")
            database.run(
                f"UPDATE {self._in}.batch_shards SET top = '[]' WHERE run IN ({rejects}) AND top::text <> '[]'"
            )
            database.run(f"DELETE FROM {self._in}.batch_predictions WHERE run IN ({predictions} UNION ALL {dead})")
            database.run(f"DELETE FROM {self._in}.batch_runs WHERE run IN ({predictions})")

    def history(self, window: tuple[datetime, datetime]) -> list[tuple[str, float]]:
        """See Store.history."""
        return history_of(self.job, window, self._environment)

    def predictions(self, run: Run, most: int) -> list[tuple[str, Any, list[float] | None]]:
        """See Store.predictions."""
        columns = f"SELECT key, prediction, probabilities FROM {self._in}.batch_predictions"
        found = self._ask(f"{columns} WHERE run = $1 ORDER BY key LIMIT {int(most)}", int(run.run))
        return [(key, prediction, probabilities) for key, prediction, probabilities in found]

    def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _find(self, slot: datetime) -> dict[str, tuple[Run, Began]]:
        """The slot's open and its committed run, by state, and how they were begun."""
        found = self._database.rows(
            "SELECT run, job, slot, state, rows, shards, report, digest, version, request "
            f"FROM {self._in}.batch_runs JOIN {self._in}.batch_versions USING (digest) "
            "WHERE job = $1 AND slot = $2 AND state IN ('open', 'committed')",
            self.job.name,
            slot,
        )
        runs = [
            (Run(str(row[0]), *row[1:7]), Began(digest=row[7], version=row[8], shards=row[5], request=row[9]))
            for row in found
        ]
        return {run.state: (run, began) for run, began in runs}

    def _require_not_failed(self, slot: datetime, request: str) -> None:
        """Let no shard of a Job begin anew what has failed for another of them, on the same input."""
        found = self._database.rows(
            f"SELECT reason FROM {self._in}.batch_runs "
            "WHERE job = $1 AND slot = $2 AND state = 'failed' AND request = $3 AND request <> '' LIMIT 1",
            self.job.name,
            slot,
            request,
        )
        if found:
            raise InputRefused(str(found[0][0]))

    def _abandon(self, run: Run) -> None:
        database = self._database
        database.run(f"UPDATE {self._in}.batch_runs SET state = '{ABANDONED}', ended_at = now() WHERE run = {run.run}")
        database.run(f"DELETE FROM {self._in}.batch_predictions WHERE run = {run.run}")
        database.run(f"DELETE FROM {self._in}.batch_rejects WHERE run = {run.run}")
        database.run(f"DROP TABLE IF EXISTS {self._input(run)}")

    def _freeze(self, slot: datetime, request: str) -> Run:
        """Begin a run and keep its input, in the transaction that is open."""
        database, window = self._database, self.job.window(slot)
        files = Files(self.job, self.contract, window, self._environment) if self.job.files else None
        query = bound(self.job.query, window)
        require_columns(files.schema() if files else database.schema(query), self.job, self.contract)
        self._know_job(database)
        self.version.insert(database, self._in)
        [[number]] = database.rows(
            f"INSERT INTO {self._in}.batch_runs (job, slot, slot_start, digest, shards, state, rows, request) "
            "VALUES ($1, $2, $3, $4, $5, 'open', 0, $6) RETURNING run",
            self.job.name,
            slot,
            window[0],
            self.version.digest,
            self.job.shards,
            request,
        )
        table = f"{self._in}.{quoted(f'input_{number}')}"
        if files:
            rows = load(database, self.schema, f"input_{number}", files)
        else:
            rows = database.run(f"CREATE TABLE {table} AS SELECT * FROM ({query}\n) AS asked")
        database.run(f"UPDATE {self._in}.batch_runs SET rows = {rows} WHERE run = {number}")
        return Run(str(number), self.job.name, slot, OPEN, rows, self.job.shards)

    def _know_job(self, database: Database) -> None:
        database.rows(f"INSERT INTO {self._in}.batch_jobs (job) VALUES ($1) ON CONFLICT DO NOTHING", self.job.name)

    def _input(self, run: Run) -> str:
        return f"{self._in}.{quoted(f'input_{run.run}')}"

    def _lock(self, database: Database, name: str) -> None:
        """Wait until no other transaction holds the name; held until this one ends.

        It asks again and again instead of waiting in the driver, where no signal would be heard.
        """
        statement = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
        while not database.rows(statement, f"{self.schema} {name}")[0][0]:
            time.sleep(LOCK_SECONDS)

    def _state(self, database: Database, run: Run) -> str:
        """The run's state, which stays so until the transaction ends."""
        [[state]] = database.rows(f"SELECT state FROM {self._in}.batch_runs WHERE run = $1 FOR UPDATE", int(run.run))
        return str(state)

    def _end(self, database: Database, run: Run, state: str, reason: str | None = None) -> None:
        database.rows(
            f"UPDATE {self._in}.batch_runs SET state = $2, reason = $3, ended_at = clock_timestamp(), "
            "request = CASE WHEN $2 = 'failed' THEN $4 ELSE request END, "
            f"rejects = (SELECT sum(rejects) FROM {self._in}.batch_shards WHERE run = $1) WHERE run = $1",
            int(run.run),
            state,
            reason,
            self._request,
        )

    def _ask(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._transaction() as database:
            return database.rows(statement, *parameters)

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        """The connection; what was not committed when something went wrong inside is rolled back."""
        try:
            yield self._database
            self._database.commit()
        except BaseException:
            self.close()
            raise


class PostgresShard:
    """A shard under work, in one transaction that holds its lock."""

    def __init__(self, store: Postgres, database: Database, run: Run, shard: int) -> None:
        self._store, self._database, self._run, self._shard = store, database, run, shard

    def write(self, scored: Scored) -> None:
        """See Shard.write: both tables by COPY."""
        for table, piece in (("batch_predictions", scored.predictions), ("batch_rejects", scored.rejects)):
            if piece.num_rows:
                self._write(table, placed(piece, self._run, self._shard))

    def commit(self, counts: Counts) -> str:
        """See Shard.commit."""
        store, database, run = self._store, self._database, self._run
        schema = quoted(store.schema)
        if counts.rejects:
            self._require_single_keys()
        reach("shard-written")
        if store._state(database, run) != OPEN:
            raise Unavailable(f"Run {run.run} of {run.job} was ended by another process; start this one again.")
        database.rows(
            f"INSERT INTO {schema}.batch_shards (run, shard, rows, rejects, seconds, statistics, top) "
            "VALUES ($1, $2, $3, $4, $5, $6::json, $7::json)",
            int(run.run),
            self._shard,
            counts.rows,
            counts.rejects,
            counts.seconds,
            json.dumps(counts.statistics),
            json.dumps(counts.top),
        )
        reach("shard-recorded")
        [(done, rejects)] = database.rows(
            f"SELECT count(*), sum(rejects)::bigint FROM {schema}.batch_shards WHERE run = $1", int(run.run)
        )
        state = OPEN
        if done == run.shards:
            reason = too_many_rejects(rejects, run.rows, store.job.max_reject_rate)
            state = FAILED if reason else COMMITTED
            if state == COMMITTED:
                database.rows(
                    f"UPDATE {schema}.batch_runs SET state = '{REPLACED}' "
                    "WHERE job = $1 AND slot = $2 AND state = 'committed'",
                    run.job,
                    run.slot,
                )
            store._end(database, run, state, reason)
        reach("before-commit")
        database.commit()
        reach("after-commit")
        return state

    def _write(self, table: str, piece: pa.RecordBatch) -> None:
        try:
            self._database.write(self._store.schema, table, piece)
        except InputRefused:
            raise InputRefused(twice(self._store.job)) from None

    def _require_single_keys(self) -> None:
        """A key of an accepted row stands once by the primary key; see to those of rejects."""
        schema = quoted(self._store.schema)
        found = self._database.rows(
            # LIMIT lets the server look each reject up; without it, it may read all predictions.
            f"SELECT 1 FROM {schema}.batch_rejects j, LATERAL (SELECT FROM {schema}.batch_predictions p "
            "WHERE p.run = j.run AND p.key = j.key LIMIT 1) AS known WHERE run = $1 AND shard = $2 "
            f"UNION ALL SELECT 1 FROM {schema}.batch_rejects WHERE run = $1 AND shard = $2 "
            "GROUP BY key HAVING count(DISTINCT row) > 1 LIMIT 1",
            int(self._run.run),
            self._shard,
        )
        if found:
            raise InputRefused(twice(self._store.job))


def placed(piece: pa.RecordBatch, run: Run, shard: int) -> pa.RecordBatch:
    """A piece with its run and shard."""
    number = pa.repeat(pa.scalar(int(run.run), pa.int64()), piece.num_rows)
    place = pa.repeat(pa.scalar(shard, pa.int16()), piece.num_rows)
    return pa.RecordBatch.from_arrays([number, place, *piece.columns], names=["run", "shard", *piece.schema.names])


def list_runs(uri: str, schema: str, jobs: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The newest runs of some jobs, as `trifold runs` shows them."""
    tables = quoted(schema)
    names = (
        "slot",
        "job",
        "state",
        "rows",
        "rejects",
        "seconds",
        "version",
        "shards",
        "shards_done",
        "reason",
        "report",
    )
    with Database(uri) as database:
        found = database.rows(
            "SELECT slot, job, state, rows, rejects, extract(epoch FROM ended_at - began_at)::float8, version, shards, "
            f"(SELECT count(*) FROM {tables}.batch_shards s WHERE s.run = r.run), reason, report "
            f"FROM {tables}.batch_runs r JOIN {tables}.batch_versions USING (digest) "
            f"WHERE job IN ({', '.join(map(literal, jobs))}) ORDER BY slot DESC, run DESC LIMIT {int(most)}"
        )
    runs = [dict(zip(names, row, strict=True)) for row in found]
    return [{**run, "slot": slot_text(run["slot"])} for run in runs]
