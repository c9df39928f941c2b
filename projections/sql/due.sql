-- name: load_horizon
-- What comes due, in order of time, by keyset; $1 null: every shard.
SELECT * FROM due
WHERE NOT held
    AND ($1::smallint[] IS NULL OR shard = ANY ($1))
    AND due_at <= coalesce($2::timestamptz, 'infinity')
    AND (due_at, key) > (coalesce($3::timestamptz, '-infinity'), $4::uuid)
ORDER BY due_at, key
LIMIT $5;

-- name: next_due_at
-- The earliest due instant (later than $2).
SELECT due_at FROM due
WHERE NOT held
    AND ($1::smallint[] IS NULL OR shard = ANY ($1))
    AND due_at > coalesce($2::timestamptz, '-infinity')
ORDER BY due_at, key
LIMIT 1;

-- name: queues
-- From ($2, $3) down, pressing ones first, at most $4 pairs of priority and tenant that wait, with what each has due
-- at $1 or not. One look into the index for each pair, however many rows it has.
WITH RECURSIVE pair AS (
    (
        SELECT priority, tenant, 1 AS number FROM due
        WHERE NOT held AND (priority, tenant) < ($2::smallint, $3::text)
        ORDER BY priority DESC, tenant DESC
        LIMIT 1
    )
    UNION ALL
    SELECT further.priority, further.tenant, pair.number + 1
    FROM pair CROSS JOIN LATERAL (
        SELECT priority, tenant FROM due
        WHERE NOT held AND (priority, tenant) < (pair.priority, pair.tenant)
        ORDER BY priority DESC, tenant DESC
        LIMIT 1
    ) AS further
    WHERE pair.number < $4::int
)
SELECT priority, tenant, (
    SELECT due_at FROM due
    WHERE NOT held AND due.priority = pair.priority AND due.tenant = pair.tenant
    ORDER BY due_at
    LIMIT 1
) <= $1::timestamptz AS due
FROM pair
ORDER BY number;

-- name: load_queues
-- Of each of these pairs of priority and tenant ($1, $2) the first $6 rows behind its place ($3, $4), due at $5. Said as
-- a range: with equalities the index by time has the same order, and was chosen; it is a walk through the flood.
SELECT front.*
FROM unnest($1::smallint[], $2::text[], $3::timestamptz[], $4::uuid[])
WITH ORDINALITY AS pair (priority, tenant, after_at, after_key, number) CROSS JOIN LATERAL (
    SELECT * FROM due
    WHERE NOT held
        AND (due.priority, due.tenant, due.due_at, due.key)
            > (pair.priority, pair.tenant, pair.after_at, pair.after_key)
        AND (due.priority, due.tenant, due.due_at) <= (pair.priority, pair.tenant, $5::timestamptz)
    ORDER BY due.priority, due.tenant, due.due_at, due.key
    LIMIT $6::int
) AS front
ORDER BY pair.number, front.due_at, front.key;

-- name: get_due
-- Rows by key.
SELECT * FROM due WHERE key = ANY ($1::uuid[]);

-- name: claimed
-- Of schedules: slots' occurrences that are being sent or wait for their next attempt (or were deferred), and the latest
-- slot of all that was claimed. What is open is asked of what is small: the due index, and what executes.
SELECT schedule, occurrence AS id, slot, fold, true AS open
FROM due
WHERE schedule = ANY ($1::uuid[]) AND "row" = 'occurrence' AND origin = 'slot' AND occurrence_version > 0
UNION ALL
SELECT schedule, id, slot, fold, true
FROM occurrences
WHERE schedule = ANY ($1::uuid[]) AND status = 'executing' AND origin = 'slot'
UNION ALL
SELECT s.schedule, c.id, c.slot, c.fold, false
FROM unnest($1::uuid[]) AS s (schedule) CROSS JOIN LATERAL (
    SELECT id, slot, fold FROM occurrences
    WHERE schedule = s.schedule AND origin = 'slot' AND claimed_at IS NOT NULL
    ORDER BY slot DESC, id DESC LIMIT 1
) AS c
ORDER BY schedule, slot DESC, id DESC, open DESC;

-- name: backlog
-- How much waits, how much of it is due at $1, and since when.
SELECT waiting, overdue, oldest FROM count_due($1);
