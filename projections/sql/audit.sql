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

-- name: missed_runs
-- Runs of missed slots of the schedules $1, but for those which end before the local time $2; whatever became of the
-- first slot since, which may have been asked for again.
SELECT schedule, slot, fold, coalesce(missed_to, slot) AS to_slot, coalesce(missed_to_fold, fold) AS to_fold
FROM occurrences
WHERE schedule = ANY($1) AND missed_count IS NOT NULL AND coalesce(missed_to, slot) >= $2
ORDER BY schedule, slot, fold;
