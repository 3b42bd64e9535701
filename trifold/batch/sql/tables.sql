-- The tables of one release's batch runs, in a schema of its own. Written for `python -m trifold.batch migrate`, which
-- fills in {schema}, {scorer} and {prediction} and runs it as the owner; with --print, for psql. Running it again changes nothing.
-- The role that scores owns nothing here but the frozen inputs that it makes.

CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE IF NOT EXISTS {schema}.batch_jobs (
    job text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now() -- earlier slots were never asked for, and are not caught up
);

CREATE TABLE IF NOT EXISTS {schema}.batch_versions (
    digest text PRIMARY KEY,
    model text NOT NULL,
    version text NOT NULL,
    classes text[] NOT NULL, -- whose probabilities are at these places of batch_predictions.probabilities
    half_width float8, -- of a regressor's interval
    added bigint GENERATED ALWAYS AS IDENTITY
);

CREATE TABLE IF NOT EXISTS {schema}.batch_runs (
    run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    slot timestamptz NOT NULL,
    slot_start timestamptz NOT NULL,
    digest text NOT NULL REFERENCES {schema}.batch_versions,
    shards integer NOT NULL CHECK (shards > 0),
    state text NOT NULL CHECK (state IN ('open', 'committed', 'failed', 'replaced', 'abandoned')),
    rows bigint NOT NULL,
    rejects bigint,
    reason text,
    request text NOT NULL DEFAULT '', -- the Job that began it, or for which it failed
    report text, -- the MLflow run that holds it
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS batch_runs_committed ON {schema}.batch_runs (job, slot) WHERE state = 'committed';
CREATE UNIQUE INDEX IF NOT EXISTS batch_runs_open ON {schema}.batch_runs (job, slot) WHERE state = 'open';

CREATE TABLE IF NOT EXISTS {schema}.batch_shards (
    run bigint NOT NULL REFERENCES {schema}.batch_runs ON DELETE CASCADE,
    shard smallint NOT NULL,
    rows bigint NOT NULL,
    rejects bigint NOT NULL,
    seconds float8 NOT NULL,
    statistics json NOT NULL,
    top json NOT NULL, -- rows by key with the greatest scores, for the report; emptied with the rejects
    scored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, shard)
);

CREATE TABLE IF NOT EXISTS {schema}.batch_predictions (
    run bigint NOT NULL,
    shard smallint NOT NULL,
    key text COLLATE "C" NOT NULL,
    prediction {prediction},
    probabilities float8[],
    kept json,
    PRIMARY KEY (run, key)
);

CREATE TABLE IF NOT EXISTS {schema}.batch_rejects (
    run bigint NOT NULL,
    shard smallint NOT NULL,
    row bigint NOT NULL, -- position in the shard
    key text COLLATE "C" NOT NULL,
    "column" text,
    rule text NOT NULL,
    expected text NOT NULL,
    got text NOT NULL
);
CREATE INDEX IF NOT EXISTS batch_rejects_run ON {schema}.batch_rejects (run, key);

CREATE OR REPLACE VIEW {schema}.rejects AS
SELECT j.key, j."column", j.rule, j.expected, j.got, v.model, v.version, v.digest, r.job, r.slot, r.state
FROM {schema}.batch_rejects j
JOIN {schema}.batch_runs r USING (run)
JOIN {schema}.batch_versions v USING (digest)
WHERE r.state IN ('committed', 'failed');

GRANT USAGE, CREATE ON SCHEMA {schema} TO {scorer};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.batch_runs, {schema}.batch_shards, {schema}.batch_predictions, {schema}.batch_rejects TO {scorer};
GRANT SELECT, INSERT ON {schema}.batch_jobs, {schema}.batch_versions TO {scorer};
