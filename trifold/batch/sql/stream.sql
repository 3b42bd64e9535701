-- The tables of one release's stream, in the same schema as its batch runs. Predictions and how far they go are written
-- in one transaction, so that each event counts once whatever is killed; running this again changes nothing.

CREATE TABLE IF NOT EXISTS {schema}.stream_sources (
    source integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL, -- the first event that is not yet scored
    topic_id text NOT NULL, -- Kafka's own, another one when a topic is made anew
    UNIQUE (topic, partition)
);

CREATE TABLE IF NOT EXISTS {schema}.stream_identity (
    identity uuid NOT NULL -- tells this release from one of the same name that has another database
);
INSERT INTO {schema}.stream_identity SELECT gen_random_uuid() WHERE NOT EXISTS (SELECT FROM {schema}.stream_identity);

CREATE TABLE IF NOT EXISTS {schema}.stream_predictions (
    source integer NOT NULL,
    "offset" bigint NOT NULL,
    key text COLLATE "C", -- of the event; bytes that are no UTF-8 as \x…
    prediction {prediction},
    probabilities float8[],
    kept json,
    event_at timestamptz NOT NULL,
    version bigint NOT NULL, -- batch_versions.added
    scored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, "offset")
);
CREATE INDEX IF NOT EXISTS stream_predictions_scored_at ON {schema}.stream_predictions USING brin (scored_at);

CREATE TABLE IF NOT EXISTS {schema}.stream_dead_letters (
    source integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    value bytea NOT NULL,
    headers json NOT NULL, -- [name, bytes in base64 or null] each
    reasons json NOT NULL, -- as HTTP's 422 gives them
    event_at timestamptz NOT NULL,
    version bigint NOT NULL,
    dead_at timestamptz NOT NULL DEFAULT now(),
    redriven_at timestamptz,
    PRIMARY KEY (source, "offset")
);

CREATE OR REPLACE VIEW {schema}.dead_letters AS
SELECT s.topic, s.partition, d."offset", d.key, d.value, d.headers, d.reasons, v.model, v.version, v.digest, d.event_at, d.dead_at, d.redriven_at
FROM {schema}.stream_dead_letters d
JOIN {schema}.stream_sources s USING (source)
JOIN {schema}.batch_versions v ON v.added = d.version;

GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.stream_sources, {schema}.stream_predictions, {schema}.stream_dead_letters TO {scorer};
GRANT SELECT ON {schema}.stream_identity, {schema}.dead_letters TO {scorer};
