-- name: positions
-- How far this projection has come, per shard.
SELECT shard, position FROM positions WHERE projection = $1;

-- name: copy
-- Which copy of the read models this is.
SELECT copy FROM built_by;

-- name: parked_families
-- What must queue behind an event that could not be applied.
SELECT DISTINCT family FROM parked;

-- name: move_positions
-- Compare and set; gives how many moved. Rows in a fixed order, so that two movers cannot deadlock. Whoever waits to
-- read what they wrote hears $5, at commit.
WITH wanted AS (
    SELECT p.shard, n.next FROM positions AS p
    JOIN unnest($2::smallint[], $3::bigint[], $4::bigint[]) AS n (shard, old, next)
        ON p.shard = n.shard AND p.position = n.old
    WHERE p.projection = $1 AND EXISTS (SELECT FROM built_by AS b WHERE b.copy = $6)
    ORDER BY p.shard
    FOR UPDATE OF p
), moved AS (
    UPDATE positions AS p SET position = w.next FROM wanted AS w
    WHERE p.projection = $1 AND p.shard = w.shard
    RETURNING 1
)
SELECT count(*), CASE WHEN $5::text IS NOT NULL THEN pg_notify('horae_applied', $5) END FROM moved;

-- name: table_exists
-- Looked up in the catalogue itself: what to_regclass found missing a moment ago it finds missing still, from its cache.
SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace);

-- name: prior_standings
-- The prior rows of a batch.
SELECT * FROM standings WHERE id = ANY ($1::uuid[]);

-- name: prior_timings
-- What a batch's changes are compared with.
SELECT id, timing FROM schedules WHERE id = ANY ($1::uuid[]);

-- name: prior_occurrences
-- The prior rows of a batch; the slots let partitions be left out.
SELECT o.* FROM unnest($1::uuid[], $2::timestamp[]) AS k (id, slot)
JOIN LATERAL (SELECT * FROM occurrences AS o WHERE o.id = k.id AND o.slot = k.slot) AS o ON true;

-- name: prior_due
-- Stored due rows: those of occurrences in the batch, and all waiting ones of schedules that clients touched.
SELECT * FROM due WHERE key = ANY ($1::uuid[])
UNION
SELECT * FROM due WHERE schedule = ANY ($2::uuid[]) AND "row" = 'occurrence';

-- name: write_schedules
-- What clients asked for. The rows, as those below, are one array of the table's own row type: columns in its order.
INSERT INTO schedules SELECT * FROM unnest($1::schedules[])
ON CONFLICT (id) DO UPDATE SET
    channel = excluded.channel, priority = excluded.priority, kind = excluded.kind, type = excluded.type,
    tags = excluded.tags, timing = excluded.timing, delivery = excluded.delivery,
    expires_after_s = excluded.expires_after_s, content = excluded.content, metadata = excluded.metadata,
    definition_position = excluded.definition_position, calendar = excluded.calendar,
    conflicts = excluded.conflicts, settled = excluded.settled;

-- name: retime_schedules
-- Schedules whose timing alone changed for all slots, since the rest was asked for from a slot on.
UPDATE schedules AS s
SET timing = n.timing, calendar = n.calendar, definition_position = n.position, settled = n.settled
FROM unnest($1::uuid[], $2::json[], $3::text[], $4::bigint[], $5::json[]) AS n (id, timing, calendar, position, settled)
WHERE s.id = n.id;

-- name: write_words
-- What schedules are found by; each text is a tsvector as `search.words` makes it.
INSERT INTO schedule_words (schedule, tenant, words)
SELECT n.schedule, n.tenant, n.words::tsvector FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (schedule, tenant, words)
ON CONFLICT (schedule) DO UPDATE SET words = excluded.words;

-- name: clear_tags
-- Before the tags of changed schedules are written anew.
DELETE FROM schedule_tags WHERE schedule = ANY ($1::uuid[]);

-- name: write_tags
-- One row per tag.
INSERT INTO schedule_tags (tenant, tag, created_at, schedule)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::uuid[]);

-- name: write_standings
-- Where schedules stand.
INSERT INTO standings SELECT * FROM unnest($1::standings[])
ON CONFLICT (id) DO UPDATE SET
    recurring = excluded.recurring, priority = excluded.priority, status = excluded.status, phase = excluded.phase,
    version = excluded.version, slot = excluded.slot, fold = excluded.fold, number = excluded.number,
    due_at = excluded.due_at, plan = excluded.plan, zone = excluded.zone, recipient_zone = excluded.recipient_zone,
    skipped = excluded.skipped, varied = excluded.varied, open = excluded.open, one_off = excluded.one_off, one_off_id = excluded.one_off_id,
    fired = excluded.fired, missed = excluded.missed, updated_at = excluded.updated_at, cancelled_at = excluded.cancelled_at, executed_at = excluded.executed_at,
    failure_reason = excluded.failure_reason, position = excluded.position, conflict_key = excluded.conflict_key,
    moved_to = excluded.moved_to;

-- name: write_occurrences
-- What became of slots. One that was moved by itself may be moved again, or be back in its series: it begins anew.
INSERT INTO occurrences SELECT * FROM unnest($1::occurrences[])
ON CONFLICT (id, slot) DO UPDATE SET
    origin = excluded.origin, number = excluded.number, due_at = excluded.due_at, missed_count = excluded.missed_count,
    missed_to = excluded.missed_to, missed_to_fold = excluded.missed_to_fold,
    priority = excluded.priority, status = excluded.status, reason = excluded.reason, version = excluded.version,
    attempts = excluded.attempts, owner = excluded.owner, wake_at = excluded.wake_at, claimed_at = excluded.claimed_at,
    ended_at = excluded.ended_at, late_ms = excluded.late_ms, duration_ms = excluded.duration_ms, plan = excluded.plan,
    recipient_zone = excluded.recipient_zone, last_failure = excluded.last_failure, response = excluded.response,
    reported = excluded.reported, engagement = excluded.engagement, position = excluded.position;

-- name: write_due
-- What waits.
INSERT INTO due SELECT * FROM unnest($1::due[])
ON CONFLICT (key) DO UPDATE SET
    due_at = excluded.due_at, priority = excluded.priority, schedule_version = excluded.schedule_version,
    occurrence = excluded.occurrence, occurrence_version = excluded.occurrence_version, slot = excluded.slot,
    fold = excluded.fold, number = excluded.number, zone = excluded.zone, origin = excluded.origin,
    held = excluded.held;

-- name: clear_due
-- What waits no more.
DELETE FROM due WHERE key = ANY ($1::uuid[]);

-- name: write_recipients
-- Recipients' profiles.
INSERT INTO recipients (tenant, id, recipient_ref, zone, locale, attributes, version, created_at, updated_at, position,
                        segment)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::json[], $7::int[],
                     $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::text[])
ON CONFLICT (tenant, id) DO UPDATE SET
    zone = excluded.zone, locale = excluded.locale, attributes = excluded.attributes, version = excluded.version,
    updated_at = excluded.updated_at, position = excluded.position, segment = excluded.segment;

-- name: write_calendars
-- Calendars; what a calendar names goes as a JSON array, because arrays of arrays must be of one length.
INSERT INTO calendars (tenant, id, definition, names, subscription, version, created_at, updated_at, position)
SELECT n.tenant, n.id, n.definition, ARRAY(SELECT json_array_elements_text(n.names)), n.subscription, n.version, n.at,
       n.at, n.position
FROM unnest($1::text[], $2::text[], $3::json[], $4::json[], $5::json[], $6::int[], $7::timestamptz[], $8::bigint[])
    AS n (tenant, id, definition, names, subscription, version, at, position)
ON CONFLICT (tenant, id) DO UPDATE SET
    definition = excluded.definition, names = excluded.names, subscription = excluded.subscription,
    version = excluded.version, updated_at = excluded.updated_at, position = excluded.position;

-- name: issue_keys
-- New keys.
INSERT INTO api_keys (id, tenant, sha256, prefix, label, scope, created_at, expires_at, rotated_from, version, position)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::uuid[], $10::int[], $11::bigint[]);

-- name: rotate_keys
-- Keys that end in favour of a successor.
UPDATE api_keys AS k SET successor = n.successor, expires_at = n.expires_at, version = n.version, position = n.position
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::bigint[])
    AS n (id, successor, expires_at, version, position)
WHERE k.id = n.id;

-- name: revoke_keys
-- Keys that work no more.
UPDATE api_keys AS k SET revoked_at = n.revoked_at, version = n.version, position = n.position
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::bigint[]) AS n (id, revoked_at, version, position)
WHERE k.id = n.id;

-- name: open_feeds
-- New feeds.
INSERT INTO feeds (id, tenant, sha256, prefix, label, recipient, recipient_ref, created_at, version, position)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::int[], $10::bigint[]);

-- name: rotate_feeds
-- Feeds that have another token. One at a time: a feed may be rotated twice in a batch, and each counts on the last.
UPDATE feeds SET old_sha256 = sha256, sha256 = $2, prefix = $3, old_until = $4, version = $5, position = $6
WHERE id = $1;

-- name: revoke_feeds
-- Feeds that answer no more.
UPDATE feeds AS f SET revoked_at = n.revoked_at, version = n.version, position = n.position
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::bigint[]) AS n (id, revoked_at, version, position)
WHERE f.id = n.id;

-- name: park
-- Events that cannot be applied, and those behind them.
INSERT INTO parked (family, position, stream, version, tenant, event, error)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[]);

-- name: parked_of
-- One family's parked events, oldest first.
SELECT family, position, stream, version, tenant, event, error FROM parked WHERE family = $1 ORDER BY position;

-- name: list_parked
-- Everything that is parked.
SELECT family, position, stream, version, tenant, event, error FROM parked ORDER BY position;

-- name: tell_to_look
-- For feeds: rows have changed that they did not write, so what they know must be loaded again.
SELECT pg_notify('horae_look', '');

-- name: unpark
-- The events of a family that have been applied.
DELETE FROM parked WHERE family = $1 AND position = ANY ($2::bigint[]);
