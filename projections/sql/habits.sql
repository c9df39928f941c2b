-- name: prior_habits
-- What is known of the recipients in a batch.
SELECT h.* FROM unnest($1::text[], $2::text[]) AS k (tenant, recipient_ref)
JOIN habits AS h ON h.tenant = k.tenant AND h.recipient_ref = k.recipient_ref;

-- name: prior_awaited
-- Which of a batch's occurrences an answer was awaited of.
SELECT occurrence FROM awaited WHERE occurrence = ANY ($1::uuid[]);

-- name: prior_calibrations
-- Calibration of the tenants' shards that a batch tells something of.
SELECT c.* FROM unnest($1::text[], $2::smallint[]) AS k (tenant, shard)
JOIN calibrations AS c ON c.tenant = k.tenant AND c.shard = k.shard;

-- name: clear_habits
-- Recipients who are to be forgotten, and what was awaited of them.
WITH gone AS (
    DELETE FROM awaited AS a USING unnest($1::text[], $2::text[]) AS k (tenant, recipient_ref)
    WHERE a.tenant = k.tenant AND a.recipient_ref = k.recipient_ref
)
DELETE FROM habits AS h USING unnest($1::text[], $2::text[]) AS k (tenant, recipient_ref)
WHERE h.tenant = k.tenant AND h.recipient_ref = k.recipient_ref;

-- name: write_habits
-- Counts, as they come out of the fold.
INSERT INTO habits (tenant, recipient_ref, epoch, asked, answered, active, recent, answered_at, position)
SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[],
                     $8::bigint[], $9::bigint[])
ON CONFLICT (tenant, recipient_ref) DO UPDATE SET
    epoch = excluded.epoch, asked = excluded.asked, answered = excluded.answered, active = excluded.active,
    recent = excluded.recent, answered_at = excluded.answered_at, position = excluded.position;

-- name: write_awaited
-- Answers that may come.
INSERT INTO awaited (occurrence, tenant, recipient_ref, shard, closes_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[])
ON CONFLICT (occurrence) DO UPDATE SET closes_at = excluded.closes_at;

-- name: clear_awaited
-- Answers that came, or will not.
DELETE FROM awaited WHERE occurrence = ANY ($1::uuid[]);

-- name: write_calibrations
-- Calibration, as it comes out of the fold: each vector as a JSON array.
INSERT INTO calibrations (tenant, shard, weights, precision, told, position)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[])
ON CONFLICT (tenant, shard) DO UPDATE SET
    weights = excluded.weights, precision = excluded.precision, told = excluded.told, position = excluded.position;

-- name: write_models
-- The tenants' models.
INSERT INTO models (tenant, version, fitted_at, model, position)
SELECT * FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::json[], $5::bigint[])
ON CONFLICT (tenant) DO UPDATE SET
    version = excluded.version, fitted_at = excluded.fitted_at, model = excluded.model, position = excluded.position;

-- name: due_windows
-- Occurrences whose attribution window has ended, oldest first.
SELECT occurrence, tenant FROM awaited WHERE closes_at <= $1 ORDER BY closes_at, occurrence LIMIT $2;

-- name: next_window
-- When the next attribution window ends.
SELECT closes_at FROM awaited ORDER BY closes_at LIMIT 1;

-- name: habits_of
-- What is known of some of a tenant's recipients, and their segments.
SELECT h.*, r.segment FROM habits AS h
LEFT JOIN recipients AS r ON r.tenant = h.tenant AND r.recipient_ref = h.recipient_ref
WHERE h.tenant = $1 AND h.recipient_ref = ANY ($2::text[]);

-- name: habits_sample
-- What is known of so many of a tenant's recipients, in an order that is their own and nobody's choice.
SELECT h.*, r.segment FROM habits AS h
LEFT JOIN recipients AS r ON r.tenant = h.tenant AND r.recipient_ref = h.recipient_ref
WHERE h.tenant = $1
ORDER BY hashtext(h.recipient_ref), h.recipient_ref LIMIT $2;

-- name: calibrations_of
-- A tenant's calibration, shard by shard.
SELECT * FROM calibrations WHERE tenant = $1 ORDER BY shard;

-- name: model_of
-- A tenant's present model.
SELECT version, fitted_at, model, position FROM models WHERE tenant = $1;

-- name: trust_in_models
-- Of these tenants' present models: to how many people they were fitted, and how much of what was foretold came true.
SELECT tenant, version, (model ->> 'people')::int AS people, (model ->> 'trust')::float8 AS trust
FROM models WHERE tenant = ANY ($1::text[]);

-- name: segments_of
-- The segments of some of a tenant's recipients.
SELECT recipient_ref, segment FROM recipients WHERE tenant = $1 AND recipient_ref = ANY ($2::text[]);

-- name: learning_tenants
-- Tenants of whose recipients anything is known, and when their model was fitted.
SELECT t.tenant, m.fitted_at, m.position FROM (SELECT DISTINCT tenant FROM habits) AS t
LEFT JOIN models AS m ON m.tenant = t.tenant ORDER BY t.tenant;
