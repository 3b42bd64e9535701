"""Batch runs into PostgreSQL: what readers see, what is refused, what a second start does."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.batch import SCHEMA, SLOT, instant, version
from trifold.answers import Answers, same_bits
from trifold.database import Database
from trifold.model import Model

NEXT = "2026-11-30T05:00Z"


def rows_of(customers, count=400, **changes):
    """Customers as a table with the key id, some columns changed."""
    table, _ = customers
    frame = table.iloc[np.arange(count) % len(table)].reset_index(drop=True)
    columns = {"id": [f"c{number}" for number in range(count)], **{name: frame[name] for name in frame}, **changes}
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def test_predictions_are_the_models_own_bit_for_bit(batch, customers):
    """What stands in the table is what the model says of the same rows, as numbers and as words."""
    table = rows_of(customers)
    batch.fill(table)
    assert batch.run() == 0
    model = Model.load(batch.folder)
    checked = model.contract.check(table.drop_columns("id"))
    wanted = model.predict(checked.rows)
    found = batch.ask(f"SELECT key, prediction, probabilities FROM {SCHEMA}.predictions")
    by_key = {key: (prediction, probabilities) for key, prediction, probabilities in found}
    ordered = [by_key[key] for key in table.column("id").to_pylist()]
    predictions = np.array([prediction for prediction, _ in ordered], dtype=wanted.predictions.dtype)
    assert same_bits(Answers(predictions, (np.array([each for _, each in ordered]),)), wanted)


def test_the_view_says_which_version_made_each_row(batch, customers):
    """Every prediction carries model, version, digest, job, slot and time, and a column a class."""
    batch.fill(rows_of(customers, 3))
    assert batch.run() == 0
    first, *_ = batch.table()
    row = json.loads(first)
    assert row.keys() >= {"key", "prediction", "probability_No", "probability_Yes", "kept", "lower", "upper"}
    assert (row["model"], row["job"], row["slot"]) == ("customers", "weekly", "2026-11-23T05:00:00+00:00")
    assert row["probabilities"] == [row["probability_No"], row["probability_Yes"]]
    [(scored,)] = batch.ask(
        f"SELECT count(*) FROM {SCHEMA}.predictions WHERE scored_at BETWEEN now() - interval '1 hour' AND now()"
    )
    assert scored == 3


def test_shards_give_the_same_table_as_one(batch, customers):
    """Shards are ranges of the key's hash: no row lacks, none comes twice, and only the last makes the run visible."""
    batch.fill(rows_of(customers))
    assert batch.run() == 0
    whole = [json.loads(row) for row in batch.table()]
    batch.job["shards"] = 3
    for shard in (2, 0):
        assert batch.run(slot=NEXT, shard=shard) == 0
        assert batch.table(NEXT) == []
    assert batch.run(slot=NEXT, shard=1) == 0
    sharded = [json.loads(row) for row in batch.table(NEXT)]
    assert [row | {"slot": ""} for row in sharded] == [row | {"slot": ""} for row in whole]
    counts = batch.ask(
        f"SELECT s.rows FROM {SCHEMA}.batch_shards s JOIN {SCHEMA}.batch_runs r USING (run) WHERE shards = 3"
    )
    assert all(rows > 50 for (rows,) in counts)


def test_a_second_start_changes_nothing(batch, customers):
    """Kubernetes may start a slot twice; the second finds it done, whatever the input has become."""
    batch.fill(rows_of(customers))
    assert batch.run() == 0
    before = batch.ask(f"SELECT * FROM {SCHEMA}.predictions ORDER BY key")
    batch.ask("UPDATE customers SET tenure = 1")
    assert batch.run() == 0
    assert batch.ask(f"SELECT * FROM {SCHEMA}.predictions ORDER BY key") == before
    assert [state for _, state, *_ in batch.runs()] == ["committed"]


def test_two_starts_at_once_score_once(batch, customers):
    """Two pods of one shard and slot: one waits for the other."""
    batch.fill(rows_of(customers))
    processes = [batch.start() for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert len(batch.table()) == 400
    assert [state for _, state, *_ in batch.runs()] == ["committed"]


def test_the_input_is_frozen_once(batch, customers):
    """Shards that start later see the rows of the first, though the table has changed meanwhile."""
    batch.job["shards"] = 2
    batch.fill(rows_of(customers))
    assert batch.run(shard=0) == 0
    batch.ask("DELETE FROM customers")
    assert batch.run(shard=1) == 0
    assert len(batch.table()) == 400


def test_the_window_is_that_of_the_slot(batch, customers):
    """:slot_start is the firing before, in the job's zone; a cast with two colons is no parameter."""
    query = "SELECT c.*, :slot_start AS start, :slot_end::text AS until FROM customers c "
    query += "WHERE '2000-01-01'::date < :slot_end"
    batch.job["source"] = {"query": query, "files": ""}
    batch.job["keep"] = ["start", "until"]
    batch.fill(rows_of(customers, 1))
    assert batch.run(slot="2026-03-30T04:00Z") == 0  # a Monday at 06:00 in Berlin, a day after the clock went forward
    kept = json.loads(batch.table("2026-03-30T04:00Z")[0])["kept"]
    assert kept["start"] == "2026-03-23T05:00:00+00:00"
    assert kept["until"].startswith("2026-03-30 04:00:00")


def test_an_empty_result_is_a_committed_run_of_no_rows(batch, customers):
    """Nothing to score is no failure; who waits for the slot sees that it is done."""
    batch.fill(rows_of(customers))
    batch.job["source"] = {"query": "SELECT * FROM customers WHERE false", "files": ""}
    assert batch.run() == 0
    assert batch.runs() == [(instant(SLOT), "committed", 0, 0)]


def test_rejects_say_why_and_sink_no_neighbour(batch, customers):
    """One bad row in four hundred stands in rejects with the words of the online 422, and all others are scored."""
    tenure = [None if number == 7 else number for number in range(400)]
    regions = ["west" if number == 9 else "north" for number in range(400)]
    batch.fill(rows_of(customers, tenure=tenure, region=regions))
    assert batch.run() == 0
    assert len(batch.table()) == 398
    found = batch.ask(f'SELECT key, "column", rule, expected, state FROM {SCHEMA}.rejects ORDER BY key')
    assert found[0] == ("c7", "tenure", "missing", "a whole number", "committed")
    assert found[1][:3] == ("c9", None, "refused_by_model")
    assert batch.runs() == [(instant(SLOT), "committed", 400, 2)]


@pytest.mark.parametrize("shards", [1, 2])
def test_too_many_rejects_publish_nothing(batch, customers, capsys, shards):
    """Above maxRejectRate the input is wrong, not the rows; the rejects say how, and a mended input is scored anew."""
    batch.job["shards"] = shards
    batch.fill(rows_of(customers, tenure=[None if number % 50 == 0 else 5 for number in range(400)]))
    codes = [batch.run(shard=shard, TRIFOLD_JOB_UID="6f1c") for shard in range(shards)]
    assert codes[-1] == 65
    assert "maxRejectRate is 1.0%" in capsys.readouterr().err
    assert batch.table() == []
    assert [state for _, state, *_ in batch.runs()] == ["failed"]
    assert batch.ask(f"SELECT count(*) > 0 FROM {SCHEMA}.rejects WHERE state = 'failed'") == [(True,)]
    batch.ask("UPDATE customers SET tenure = 5")
    assert [batch.run(shard=shard) for shard in range(shards)] == [0] * shards
    assert len(batch.table()) == 400


REFUSED = {
    "a column lacks": ({}, "ALTER TABLE customers DROP COLUMN tenure", 65, "lacks column 'tenure'"),
    "the key's column lacks": ({"key": "customer"}, None, 65, "lacks customer, the key"),
    "a key lacks": ({}, "UPDATE customers SET id = NULL WHERE id IN ('c1', 'c2')", 65, "2 rows or more have no id"),
    "a key twice": ({}, "UPDATE customers SET id = 'c1' WHERE id = 'c2'", 65, "stands more than once"),
    "a key twice, once refused": (
        {},
        "UPDATE customers SET id = 'c1', tenure = NULL WHERE id = 'c2'",
        65,
        "stands more than once",
    ),
    "no such table": (
        {"source": {"query": "SELECT * FROM clients", "files": ""}},
        None,
        78,
        'relation "clients" does not',
    ),
    "no SQL": ({"source": {"query": "SELEC 1", "files": ""}}, None, 78, "syntax error"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_one_sentence_and_leaves_nothing(batch, customers, capsys, case):
    """Wrong columns, keys and queries: a defined exit code, no key in the log, nothing visible, nothing half done."""
    changes, statement, code, words = REFUSED[case]
    batch.job.update(changes)
    batch.fill(rows_of(customers))
    if statement:
        batch.ask(statement)
    assert batch.run() == code
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "c1" not in said.out + said.err
    assert batch.table() == []
    assert batch.ask(f"SELECT count(*) FROM {SCHEMA}.batch_predictions") == [(0,)]


def test_another_version_replaces_only_when_asked(batch, customers, built_customers, built_other_customers, capsys):
    """A committed slot is history: another version is refused, and with --replace takes its place at once."""
    batch.fill(rows_of(customers))
    assert batch.run() == 0
    batch.folder = built_other_customers.model
    assert batch.run() == 73
    one, other = version(built_customers), version(built_other_customers)
    assert f"was committed by version {one}, this is version {other}; with --replace" in capsys.readouterr().err
    batch.job["shards"] = 2
    asked = {"TRIFOLD_JOB_UID": "6f1c"}
    assert batch.run("--replace", shard=0, **asked) == 0
    assert {json.loads(row)["version"] for row in batch.table()} == {one}
    assert batch.run("--replace", shard=1, **asked) == 0
    assert {json.loads(row)["version"] for row in batch.table()} == {other}
    assert batch.run("--replace", shard=1, **asked) == 0  # a pod that is started again
    assert [state for _, state, *_ in batch.runs()] == ["replaced", "committed"]


def test_an_open_run_of_another_version_is_begun_anew(batch, customers, built_other_customers):
    """A release that is upgraded between two shards never mixes versions in a slot."""
    batch.job["shards"] = 2
    batch.fill(rows_of(customers))
    assert batch.run(shard=0) == 0
    batch.folder = built_other_customers.model
    assert batch.run(shard=1) == 0
    assert batch.table() == []
    assert batch.run(shard=0) == 0
    assert {json.loads(row)["version"] for row in batch.table()} == {version(built_other_customers)}


def test_missed_slots_are_caught_up(batch, customers):
    """A run first does what earlier slots lack, back to catchUp, but nothing from before the job was known."""
    batch.job["catchUp"] = 3
    batch.fill(rows_of(customers, 5))
    batch.ask(f"UPDATE {SCHEMA}.batch_jobs SET since = '2026-11-03'")
    assert batch.run(slot="2026-11-16T05:00Z") == 0
    assert batch.run(slot="2026-12-07T05:00Z") == 0
    slots = [slot for slot, state, *_ in batch.runs() if state == "committed"]
    assert slots == [instant(f"2026-{day}T05:00Z") for day in ("11-09", "11-16", "11-23", "11-30", "12-07")]


def test_what_retention_removed_was_not_missed(batch, customers):
    """It would be scored and removed again by each run."""
    batch.job |= {"catchUp": 3, "retentionDays": {**batch.job["retentionDays"], "predictions": 1}}
    batch.fill(rows_of(customers, 5))
    assert batch.run(slot="2026-01-19T05:00Z") == 0
    assert [slot for slot, *_ in batch.runs()] == [instant("2026-01-19T05:00Z")]


def test_what_fails_in_an_earlier_slot_holds_up_no_later_one(batch, customers, capsys):
    """A slot whose input is bad for ever would otherwise stop the job for ever."""
    batch.job["catchUp"] = 1
    query = "SELECT * FROM customers WHERE :slot_end <> '2026-11-16 05:00Z' OR tenure / 0 = 1"
    batch.job["source"] = {"query": query, "files": ""}
    batch.fill(rows_of(customers, 5))
    assert batch.run() == 0
    assert "slot 2026-11-16T05:00Z was missed and could not be caught up: PostgreSQL refuses" in capsys.readouterr().out
    assert len(batch.table()) == 5


def test_retention_drops_what_is_old_and_keeps_the_newest_slot(batch, customers):
    """Personal data has an end; the newest predictions stay, however old they are."""
    batch.job["retentionDays"] = {**batch.job["retentionDays"], "predictions": 400}
    batch.fill(rows_of(customers, tenure=[None, None, None, *range(397)]))
    for slot in ("2026-11-09T05:00Z", "2026-11-16T05:00Z", SLOT):
        assert batch.run(slot=slot) == 0
    batch.ask(f"UPDATE {SCHEMA}.batch_runs SET ended_at = now() - interval '500 days' WHERE slot < '2026-11-20'")
    batch.ask(f"UPDATE {SCHEMA}.batch_runs SET ended_at = now() - interval '100 days' WHERE slot > '2026-11-20'")
    assert batch.run() == 0
    assert [slot for slot, *_ in batch.runs()] == [instant(SLOT)]
    assert batch.ask(f"SELECT count(*) FROM {SCHEMA}.batch_rejects") == [(0,)]
    assert batch.ask(f"SELECT top::text FROM {SCHEMA}.batch_shards") == [("[]",)]
    tables = batch.ask("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'input_%'")
    assert tables == []
    assert len(batch.table()) == 397


def test_the_role_that_scores_needs_nothing_but_its_schema(batch, postgres_server, customers):
    """It reads the source and writes the release's schema; it cannot make a table elsewhere."""
    batch.fill(rows_of(customers))
    name = batch.uri.rpartition("/")[2]
    role = f"scorer_{name}"
    batch.ask(f"CREATE ROLE {role} LOGIN")
    batch.ask(f"GRANT SELECT ON customers TO {role}")
    owner, batch.uri = batch.uri, postgres_server.uri(name, role)
    from trifold.batch import __main__ as commands

    assert commands.main(["migrate"], batch.environment(TRIFOLD_OWNER_URI=owner)) == 0
    assert batch.run() == 0
    assert len(batch.table()) == 400
    assert batch.run(TRIFOLD_DATABASE_SCHEMA="public") == 78


def test_migrating_again_changes_nothing(batch, customers):
    """The hook runs at each upgrade; grants and rows stay."""
    batch.fill(rows_of(customers))
    assert batch.run() == 0
    before = batch.table()
    batch.migrate()
    assert batch.table() == before


def test_a_database_that_is_away_is_tried_again_later(batch, capsys, monkeypatch):
    """Exit code 75: Kubernetes starts the pod again."""
    monkeypatch.setattr("trifold.database.CONNECT_SECONDS", 0.5)
    batch.uri = batch.uri.replace("postgres@127.0.0.1:", "postgres@127.0.0.1:1/x?dummy=").partition("?")[0]
    assert batch.run() == 75
    assert "PostgreSQL does not let us in" in capsys.readouterr().err


SLOTS = {
    "no slot at all": (None, {}, 78, "ends in no minute"),
    "a name without a minute": (None, {"TRIFOLD_JOB_NAME": "churn-weekly-x"}, 78, "ends in no minute"),
    "no zone": ("2026-11-23T05:00", {}, 78, "2026-11-23T05:00"),
}


@pytest.mark.parametrize("case", SLOTS)
def test_a_slot_that_nobody_said_is_refused(batch, capsys, case):
    """A run for whatever the clock says would be another one after each restart."""
    slot, told, code, words = SLOTS[case]
    assert batch.run(slot=slot, **told) == code
    assert words in capsys.readouterr().err


def test_the_jobs_name_says_the_slot(batch, customers):
    """The suffix of a CronJob's Job is its scheduled minute since the epoch."""
    batch.fill(rows_of(customers, 2))
    minutes = int(instant(SLOT).timestamp()) // 60
    assert batch.run(slot=None, TRIFOLD_JOB_NAME=f"customers-weekly-{minutes}") == 0
    assert len(batch.table()) == 2


def test_helm_test_scores_the_example_in_a_schema_of_its_own(batch, capsys):
    """The whole way from a frozen input to a commit, and not a row in the release's own tables."""
    from trifold.batch import __main__ as commands

    for _ in range(2):
        assert commands.main(["verify"], batch.environment()) == 0
    assert "scored its example (5 rows) into PostgreSQL as at build" in capsys.readouterr().out
    assert batch.ask(f"SELECT count(*) FROM {SCHEMA}__test.predictions") == [(5,)]
    assert batch.ask(f"SELECT count(*) FROM {SCHEMA}.batch_runs") == [(0,)]


def test_a_statement_does_not_end_the_transaction(postgres):
    """The driver's executescript commits first: a run would be seen before its input, and its lock be let go."""
    with Database(postgres) as database, Database(postgres) as other:
        database.rows("SELECT pg_advisory_xact_lock(1)")
        database.run("CREATE TABLE begun (number integer)")
        database.run("INSERT INTO begun VALUES (1)")
        assert other.rows("SELECT pg_try_advisory_xact_lock(1), to_regclass('begun') IS NULL") == [(False, True)]
        database.rollback()
        assert other.rows("SELECT to_regclass('begun') IS NULL") == [(True,)]
