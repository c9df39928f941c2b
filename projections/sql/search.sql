-- name: schedules_by_id
-- Schedules with where they stand, as documents are made of them.
SELECT s.id, s.tenant, s.recipient, s.recipient_ref, s.channel, s.priority, s.type, s.tags, s.content, s.metadata,
       s.created_at, x.status, x.zone, x.due_at, x.updated_at, x.executed_at, x.failure_reason, x.position
FROM schedules AS s JOIN standings AS x ON x.id = s.id
WHERE s.id = ANY ($1::uuid[]);

-- name: occurrences_by_id
-- Occurrences with their schedules, as documents are made of them; the slots let partitions be left out.
SELECT o.id, o.tenant, o.schedule, o.slot, o.status, o.reason, o.recipient_ref, o.priority, o.plan, o.attempts,
       o.due_at, o.ended_at, o.last_failure, o.position, s.recipient, s.channel, s.tags, s.type, s.content, s.metadata,
       s.definition_position
FROM unnest($1::uuid[], $2::timestamp[]) AS k (id, slot)
JOIN LATERAL (SELECT * FROM occurrences AS o WHERE o.id = k.id AND o.slot = k.slot) AS o ON true
JOIN schedules AS s ON s.id = o.schedule;

-- name: occurrences_of
-- The ids of schedules' occurrences behind an id, by id.
SELECT id FROM occurrences WHERE schedule = ANY ($1::uuid[]) AND id > $2 ORDER BY id LIMIT $3;

-- name: schedules_after
-- A stretch of all schedules, by id.
SELECT s.id, s.tenant, s.recipient, s.recipient_ref, s.channel, s.priority, s.type, s.tags, s.content, s.metadata,
       s.created_at, x.status, x.zone, x.due_at, x.updated_at, x.executed_at, x.failure_reason, x.position
FROM schedules AS s JOIN standings AS x ON x.id = s.id
WHERE s.id > $1
ORDER BY s.id
LIMIT $2;

-- name: occurrences_after
-- A stretch of all occurrences, by id.
SELECT o.id, o.tenant, o.schedule, o.slot, o.status, o.reason, o.recipient_ref, o.priority, o.plan, o.attempts,
       o.due_at, o.ended_at, o.last_failure, o.position, s.recipient, s.channel, s.tags, s.type, s.content, s.metadata,
       s.definition_position
FROM occurrences AS o JOIN schedules AS s ON s.id = o.schedule
WHERE o.id > $1
ORDER BY o.id
LIMIT $2;

-- name: find_schedules
-- A page of the ids of a tenant's schedules; source, conditions and order are put together by `search.postgres`.
SELECT s.id, {score} AS score, {at} AS at
FROM {source}
WHERE {where}
ORDER BY {ordering}
LIMIT $2;

-- name: count_schedules
-- How the first of a tenant's hits spread: one row per facet and value, and one for all of them.
WITH hits AS MATERIALIZED (
    SELECT s.id, x.status, s.channel, x.zone, s.type, s.tags, x.due_at
    FROM {source}
    WHERE {where}
    LIMIT $2
)
SELECT 'total' AS facet, NULL AS value, count(*) AS count FROM hits
UNION ALL (SELECT 'status', status, count(*) FROM hits GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT 20)
UNION ALL (SELECT 'channel', channel, count(*) FROM hits GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT 20)
UNION ALL (SELECT 'zone', zone, count(*) FROM hits WHERE zone IS NOT NULL GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT 20)
UNION ALL (SELECT 'type', type, count(*) FROM hits WHERE type IS NOT NULL GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT 20)
UNION ALL (SELECT 'tag', tag, count(*) FROM hits, unnest(tags) AS tag GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT 20)
UNION ALL (SELECT 'due', to_char(date_trunc('hour', due_at, 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), count(*)
           FROM hits WHERE due_at IS NOT NULL GROUP BY 2 ORDER BY 2 LIMIT 168);

-- name: scan_occurrences
-- A tenant's latest occurrences that pass the filters, latest slot first: an id begins with its slot.
SELECT o.id, o.tenant, o.schedule, o.slot, o.status, o.reason, o.recipient_ref, o.priority, o.plan, o.attempts,
       o.due_at, o.ended_at, o.last_failure, o.position, s.recipient, s.channel, s.tags, s.type, s.content, s.metadata,
       s.definition_position
FROM occurrences AS o JOIN schedules AS s ON s.id = o.schedule
WHERE {where}
ORDER BY o.id DESC
LIMIT $2;

-- name: scan_events
-- A tenant's latest events, latest first.
SELECT e.originator_id AS stream, e.originator_version AS version, e.notification_id AS position, e.topic, e.state
FROM log.events AS e
WHERE e.tenant = $1
ORDER BY e.notification_id DESC
LIMIT $2;
