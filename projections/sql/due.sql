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

-- name: get_due
-- Rows by key.
SELECT * FROM due WHERE key = ANY ($1::uuid[]);

-- name: backlog
-- How much waits, how much of it is due at $1, and since when.
SELECT waiting, overdue, oldest FROM count_due($1);
