-- What people and programs read: committed runs only. New classes come last, so that the view can be replaced
-- without taking away what was granted on it.

CREATE OR REPLACE VIEW {schema}.predictions AS
SELECT
    p.key, p.prediction, v.model, v.version, v.digest, r.job, r.slot, s.scored_at, p.kept, p.probabilities,
    {lower} AS lower, {upper} AS upper{classes}
FROM {schema}.batch_predictions p
JOIN {schema}.batch_runs r USING (run)
JOIN {schema}.batch_shards s USING (run, shard)
JOIN {schema}.batch_versions v USING (digest)
WHERE r.state = 'committed';

CREATE OR REPLACE VIEW {schema}.predictions_latest AS
SELECT p.*
FROM {schema}.predictions p
JOIN (SELECT job, max(slot) AS slot FROM {schema}.batch_runs WHERE state = 'committed' GROUP BY job) l USING (job, slot);

CREATE OR REPLACE VIEW {schema}.event_predictions AS
SELECT
    s.topic, s.partition, p."offset", p.key, p.prediction, v.model, v.version, v.digest, p.event_at, p.scored_at, p.kept, p.probabilities,
    {lower} AS lower, {upper} AS upper{classes}
FROM {schema}.stream_predictions p
JOIN {schema}.stream_sources s USING (source)
JOIN {schema}.batch_versions v ON v.added = p.version;

GRANT SELECT ON {schema}.predictions, {schema}.predictions_latest, {schema}.event_predictions, {schema}.rejects TO {scorer};
