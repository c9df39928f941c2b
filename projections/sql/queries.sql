-- name: applied_position
-- Everything up to here is applied, whoever fed it: by a whole-log feeder, or in every shard.
SELECT greatest(max(position) FILTER (WHERE shard = -1), min(position) FILTER (WHERE shard >= 0))
FROM positions WHERE projection = 'core';

-- name: count_standings
-- Schedules of all tenants, by status and priority.
SELECT status, priority, count FROM count_standings() ORDER BY status, priority;

-- name: get_schedule
-- One schedule with where it stands.
SELECT s.*, x.version, x.position, x.status, x.updated_at, x.slot, x.fold, x.number, x.due_at, x.plan, x.zone,
       x.skipped, x.varied, x.open, x.fired, x.missed, x.executed_at, x.failure_reason
FROM schedules AS s JOIN standings AS x ON x.id = s.id
WHERE s.tenant = $1 AND s.id = $2;

-- name: list_schedules
-- A page of schedules; the conditions and the order are put together by `queries.schedules`.
SELECT s.*, x.version, x.position, x.status, x.updated_at, x.slot, x.fold, x.number, x.due_at, x.plan, x.zone,
       x.skipped, x.varied, x.open, x.fired, x.missed, x.executed_at, x.failure_reason
FROM {source}
WHERE {where}
ORDER BY {ordering}
LIMIT $2;

-- name: current_slot
-- Where a series stands.
SELECT version, phase, slot, fold, number, due_at, plan FROM standings WHERE tenant = $1 AND id = $2;

-- name: get_occurrence
-- One occurrence; its slot, known from its id, leaves one partition.
SELECT o.*, s.recipient, s.channel
FROM occurrences AS o JOIN schedules AS s ON s.id = o.schedule
WHERE o.tenant = $1 AND o.id = $2 AND o.slot = $3;

-- name: list_occurrences
-- A page of occurrences; the conditions and the order are put together by `queries.occurrences`.
SELECT o.*, s.recipient, s.channel
FROM occurrences AS o JOIN schedules AS s ON s.id = o.schedule
WHERE {where}
ORDER BY {ordering}
LIMIT $1;

-- name: missed_run_near
-- The occurrence that heads the last missed run of the schedule $2 which began at or before the local time $3.
SELECT o.id FROM occurrences AS o
WHERE o.tenant = $1 AND o.schedule = $2 AND o.missed_count IS NOT NULL AND o.slot <= $3
ORDER BY o.slot DESC, o.id DESC
LIMIT 1;

-- name: recipient_timeline
-- Occurrences and coming slots, merged by due instant; each half is cut before they are merged.
SELECT * FROM (
    (SELECT o.due_at, o.schedule, o.id AS occurrence, o.slot, o.fold, o.status, s.channel, o.priority, o.reason,
            o.ended_at
     FROM occurrences AS o JOIN schedules AS s ON s.id = o.schedule
     WHERE o.tenant = $1 AND o.recipient_ref = $2 AND {occurrences}
     ORDER BY o.due_at {direction}, o.id {direction} LIMIT $3)
    UNION ALL
    (SELECT d.due_at, d.schedule, d.occurrence, d.slot, d.fold, 'pending', s.channel, d.priority, NULL, NULL
     FROM standings AS x
     JOIN due AS d ON d.key = x.id
     JOIN schedules AS s ON s.id = x.id
     WHERE x.tenant = $1 AND x.recipient_ref = $2 AND x.due_at IS NOT NULL AND {slots}
     ORDER BY d.due_at {direction}, d.occurrence {direction} LIMIT $3)
) AS entries
ORDER BY due_at {direction}, occurrence {direction}
LIMIT $3;

-- name: open_owners
-- Who has open attempts.
SELECT DISTINCT owner FROM occurrences WHERE status = 'executing' AND owner IS NOT NULL ORDER BY owner;

-- name: open_claims
-- The open attempts of one incarnation.
SELECT id, version, attempts, owner, tenant, shard, schedule, claimed_at FROM occurrences
WHERE status = 'executing' AND owner = $1 AND id > $2
ORDER BY id
LIMIT $3;

-- name: get_recipient
-- One profile.
SELECT tenant, id, recipient_ref, zone, locale, attributes, version, created_at, updated_at, position
FROM recipients WHERE tenant = $1 AND id = $2;

-- name: find_key
-- The key that is presented.
SELECT id, tenant, sha256, prefix, label, scope, created_at, expires_at, revoked_at, rotated_from, successor, version,
       position
FROM api_keys WHERE sha256 = $1;

-- name: find_feed
-- The feed whose token is presented.
SELECT id, tenant, sha256, prefix, label, recipient, recipient_ref, created_at, old_until, revoked_at, version, position
FROM feeds WHERE $1 IN (sha256, old_sha256);

-- name: list_feeds
-- A page of a tenant's feeds.
SELECT id, tenant, sha256, prefix, label, recipient, recipient_ref, created_at, old_until, revoked_at, version, position
FROM feeds AS f WHERE {where}
ORDER BY f.created_at DESC, f.id DESC
LIMIT $1;

-- name: list_calendars
-- A tenant's calendars by id.
SELECT id, definition, subscription, version, created_at, updated_at, position FROM calendars
WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3;

-- name: subscribed_calendars
-- All tenants' calendars that subscribe to a file.
SELECT tenant, id, subscription FROM calendars WHERE subscription IS NOT NULL ORDER BY tenant, id;

-- name: calendar_names
-- Which calendars of a tenant name which.
SELECT id, names FROM calendars WHERE tenant = $1;

-- name: schedules_following
-- Active schedules of a recipient whose slots follow the zone that they prefer, all of them or from one on; and those of
-- which a slot waits that was moved by itself to a time that may.
SELECT s.id FROM schedules AS s JOIN standings AS n ON n.id = s.id
WHERE s.tenant = $1 AND s.recipient_ref = $2
    AND (
        s.timing::jsonb @? '$.** ? (@.zone == "recipient")' AND n.phase = 'active' AND n.due_at IS NOT NULL
        OR n.phase <> 'cancelled' AND EXISTS (
            SELECT FROM due AS d JOIN occurrences AS o ON o.id = d.occurrence AND o.slot = d.slot
            WHERE d.schedule = s.id AND d."row" = 'occurrence' AND d.origin = 'slot' AND d.occurrence_version = 0
                AND o.plan ->> 'zone_source' IN ('recipient', 'tenant')
        )
    )
ORDER BY s.id;

-- name: schedules_on_calendars
-- Schedules that keep to one of these calendars and are not cancelled.
SELECT s.id FROM schedules AS s JOIN standings AS n ON n.id = s.id
WHERE s.tenant = $1 AND s.calendar = ANY ($2::text[]) AND n.phase <> 'cancelled'
ORDER BY s.id;

-- name: planned_on_calendars
-- A tenant's active schedules that keep to a calendar, and what the plan of the slot where they stand calls that.
SELECT s.id, s.calendar, n.plan ->> 'calendar' AS label FROM schedules AS s JOIN standings AS n ON n.id = s.id
WHERE s.tenant = $1 AND s.calendar IS NOT NULL AND (s.calendar, s.id) > ($2, $3)
    AND n.phase = 'active' AND n.slot IS NOT NULL
ORDER BY s.calendar, s.id
LIMIT $4;

-- name: calendars_planned_by
-- By which hours, weekend, country and holidays all that keeps to a calendar was last looked at; for the owner's role.
SELECT value #>> '{}' FROM sys.settings WHERE key = 'calendars';

-- name: note_calendars_planned_by
-- That all has been looked at by these.
INSERT INTO sys.settings (key, value) VALUES ('calendars', to_jsonb($1::text))
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: neighbours_of_recipient
-- Schedules of a recipient that go out at about a time: one-offs between two instants, series that go on before the
-- end, and whichever has a slot between the two that was moved by itself, wherever its series stands.
(SELECT n.id, n.due_at FROM standings AS n
 WHERE n.tenant = $1 AND n.recipient_ref = $2 AND n.due_at < $4 AND (n.recurring OR n.due_at > $3)
 ORDER BY n.due_at, n.id LIMIT $5)
UNION
(SELECT n.id, n.due_at FROM standings AS n
 WHERE n.tenant = $1 AND n.recipient_ref = $2 AND n.moved_to > $3
     AND EXISTS (SELECT FROM due AS d
                 WHERE d.schedule = n.id AND d."row" = 'occurrence' AND d.due_at > $3 AND d.due_at < $4)
 ORDER BY n.id LIMIT $5)
ORDER BY due_at, id LIMIT $5;

-- name: neighbours_under_key
-- The same of those that name one key, whoever gets them.
(SELECT n.id, n.due_at FROM standings AS n
 WHERE n.tenant = $1 AND n.conflict_key = $2 AND n.due_at < $4 AND (n.recurring OR n.due_at > $3)
 ORDER BY n.due_at, n.id LIMIT $5)
UNION
(SELECT n.id, n.due_at FROM standings AS n
 WHERE n.tenant = $1 AND n.conflict_key = $2 AND n.moved_to > $3
     AND EXISTS (SELECT FROM due AS d
                 WHERE d.schedule = n.id AND d."row" = 'occurrence' AND d.due_at > $3 AND d.due_at < $4)
 ORDER BY n.id LIMIT $5)
ORDER BY due_at, id LIMIT $5;

-- name: left_of_series
-- Series that have ended but for slots that were moved by themselves and go out after an instant.
SELECT s.*, x.version, x.position, x.status, x.updated_at, x.slot, x.fold, x.number, x.due_at, x.plan, x.zone,
       x.skipped, x.varied, x.open, x.fired, x.missed, x.executed_at, x.failure_reason
FROM schedules AS s JOIN standings AS x ON x.id = s.id
WHERE x.tenant = $1 AND ($2::text IS NULL OR x.recipient_ref = $2) AND x.moved_to > $3 AND x.due_at IS NULL
    AND x.phase = 'active'
ORDER BY x.moved_to, x.id
LIMIT $4;

-- name: list_keys
-- A page of a tenant's keys.
SELECT id, tenant, sha256, prefix, label, scope, created_at, expires_at, revoked_at, rotated_from, successor, version,
       position
FROM api_keys AS k WHERE {where}
ORDER BY k.created_at DESC, k.id DESC
LIMIT $1;

-- name: planned_by_others
-- By schedule, what was planned by another release of the zone data: where it stands, if it is active and that was, and
-- how many of its slots that were moved by themselves and wait.
WITH standing AS (
    SELECT id, slot, fold, number, due_at, plan FROM standings
    WHERE tenant = $1 AND id > $2 AND phase = 'active' AND slot IS NOT NULL
        AND plan ->> 'tzdata' <> $3 AND plan ->> 'zone_source' <> 'instant'
    ORDER BY id
    LIMIT $4
), alone AS (
    SELECT d.schedule AS id, count(*) AS moved FROM due AS d JOIN occurrences AS o ON o.id = d.occurrence AND o.slot = d.slot
    WHERE d.tenant = $1 AND d.schedule > $2 AND d."row" = 'occurrence' AND d.origin = 'slot' AND d.occurrence_version = 0
        AND o.plan ->> 'tzdata' <> $3 AND o.plan ->> 'zone_source' <> 'instant'
    GROUP BY d.schedule
    ORDER BY d.schedule
    LIMIT $4
)
SELECT id, slot, fold, number, due_at, plan, coalesce(moved, 0)::int AS moved FROM standing FULL JOIN alone USING (id)
ORDER BY id
LIMIT $4;

-- name: tenants
-- Everybody who has ever had a schedule; for the owner's role, which sees them all.
SELECT DISTINCT tenant FROM standings ORDER BY tenant;
