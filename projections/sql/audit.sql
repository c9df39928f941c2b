-- name: overdue_pointers
-- Active schedules whose series stands at a slot that was due before $1: nobody claimed it, whether a due row exists or not.
SELECT s.id AS schedule, s.tenant, s.slot, s.fold, s.due_at, d.key IS NULL AS unwatched
FROM standings AS s LEFT JOIN due AS d ON d.key = s.id
WHERE s.phase = 'active' AND s.due_at IS NOT NULL AND s.due_at <= $1
ORDER BY s.due_at
LIMIT $2;

-- name: unwatched_pointers
-- Active schedules whose series stands at a slot to come, which no due row will ever bring.
SELECT s.id AS schedule, s.tenant, s.slot, s.fold, s.due_at, true AS unwatched
FROM standings AS s
WHERE s.phase = 'active' AND s.due_at IS NOT NULL AND s.id > $1
    AND NOT EXISTS (SELECT FROM due AS d WHERE d.key = s.id)
ORDER BY s.id
LIMIT $2;

-- name: stuck_occurrences
-- Occurrences of schedules that are not paused, which wait since before $1 or whose attempt began before $2.
SELECT o.schedule, o.tenant, o.slot, o.fold, o.due_at, o.id AS occurrence, o.status
FROM occurrences AS o JOIN standings AS s ON s.id = o.schedule
WHERE o.status IN ('waiting', 'deferred', 'retrying', 'executing') AND s.phase <> 'paused' AND s.open > 0
    AND CASE WHEN o.status = 'executing' THEN o.claimed_at <= $2 AND o.wake_at IS NULL ELSE o.wake_at <= $1 END
ORDER BY o.due_at
LIMIT $3;

-- name: active_series
-- Recurring schedules that ought to fire, by id, for the rolling comparison with the log.
SELECT id, tenant, recipient_zone FROM standings
WHERE phase = 'active' AND recurring AND id > $1
ORDER BY id
LIMIT $2;

-- name: covered_by_missed_run
-- Whether a slot lies within a run of missed slots on record.
SELECT EXISTS (
    SELECT FROM occurrences
    WHERE schedule = $1 AND status = 'missed' AND slot <= $2 AND coalesce(missed_to, slot) >= $2
);
