-- The read models: everything here can be rebuilt from the log, nothing here is the truth.
--
-- Applied by the owner role with search_path set to the schema that is being filled (`read`, or a shadow of it while
-- rebuilding), so all names are unqualified. Row-level security is forced: the owner reads through its own policy, the
-- API's role sees only the tenant named by the setting horae.tenant of its transaction, and can write nothing.

-- How far each projection has come: one row per shard, and shard -1 for a feeder of the whole log.
CREATE TABLE positions (
    projection text NOT NULL,
    shard smallint NOT NULL CHECK (shard BETWEEN -1 AND 63),
    position bigint NOT NULL,
    PRIMARY KEY (projection, shard)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

INSERT INTO positions (projection, shard, position) SELECT 'core', shard, 0 FROM generate_series(-1, 63) AS shard;

-- Which text of this file and which rules of the projector filled these tables; and which copy this is, so that a feeder
-- notices when a rebuild has put another one in its place.
CREATE TABLE built_by (fingerprint text NOT NULL, copy uuid NOT NULL DEFAULT gen_random_uuid());

-- What clients asked for: written when they ask, untouched when it fires.
CREATE TABLE schedules (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    recipient text NOT NULL,
    recipient_ref text NOT NULL,
    channel text NOT NULL,
    priority smallint NOT NULL,
    kind text NOT NULL,
    type text,                              -- metadata's "type", for filters
    tags text[] NOT NULL,
    timing json NOT NULL,
    delivery json NOT NULL,
    expires_after_s double precision,
    content json NOT NULL,
    metadata json NOT NULL,
    cloned_from uuid,
    created_at timestamptz NOT NULL,
    definition_position bigint NOT NULL,    -- of the event that wrote this row
    calendar text,                          -- that its series keeps to
    conflicts json,                         -- what becomes of it where it meets others; null: nobody looks
    settled json                            -- how it stood among others when it last asked
);
CREATE INDEX schedules_calendar_idx ON schedules (tenant, calendar, id) WHERE calendar IS NOT NULL;
CREATE INDEX schedules_created_idx ON schedules (tenant, created_at DESC, id DESC);
CREATE INDEX schedules_recipient_idx ON schedules (tenant, recipient_ref, created_at DESC, id DESC);

-- One row per tag of a schedule. A table, because an array's operators are not leakproof: under row-level security
-- no index on the array would be used.
CREATE TABLE schedule_tags (
    tenant text NOT NULL,
    tag text NOT NULL,
    created_at timestamptz NOT NULL,
    schedule uuid NOT NULL,
    PRIMARY KEY (schedule, tag)
);
CREATE INDEX schedule_tags_idx ON schedule_tags (tenant, tag, created_at DESC, schedule DESC);

-- The words by which a schedule is found, made by `search.words`. A table of its own: they are written when a client
-- asks, never when it fires. New words wait in the index's list and are merged in many at a time.
CREATE TABLE schedule_words (
    schedule uuid PRIMARY KEY,
    tenant text NOT NULL,
    words tsvector NOT NULL
);
CREATE INDEX schedule_words_idx ON schedule_words USING gin (words) WITH (gin_pending_list_limit = 8192);

-- Where each schedule stands: narrow, because it is written at every claim and outcome.
CREATE TABLE standings (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    shard smallint NOT NULL,
    recipient_ref text NOT NULL,
    recurring boolean NOT NULL,
    priority smallint NOT NULL,
    status text NOT NULL,                   -- as clients see it
    phase text NOT NULL,                    -- active, paused, cancelled: what clients last asked for
    version int NOT NULL,                   -- head of the schedule's stream
    slot timestamp,                         -- the series' next slot; null: none, or paused
    fold smallint,
    number int,
    due_at timestamptz,
    plan json,
    zone text,                              -- IANA zone of the last plan
    recipient_zone text,                    -- the zone that the next slot took from the recipient
    skipped json NOT NULL,                  -- slots taken out by hand: [[local, fold], ...]
    varied json NOT NULL,                   -- changed from a slot on, or one by itself: see `rows.Standing`
    open int NOT NULL,                      -- occurrences that have not ended
    one_off text,                           -- of a one-off: the status of its slot's occurrence
    one_off_id uuid,                        -- that occurrence, once there is one
    fired int NOT NULL,
    missed int NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    cancelled_at timestamptz,
    executed_at timestamptz,
    failure_reason text,
    position bigint NOT NULL,               -- of the last event that touched it
    conflict_key text,                      -- that it shares with those that it must not meet
    moved_to timestamptz                    -- where the last of the slots that were moved by themselves goes out
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX standings_status_idx ON standings (tenant, status, priority, created_at DESC, id DESC);
CREATE INDEX standings_due_idx ON standings (tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX standings_upcoming_idx ON standings (tenant, recipient_ref, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX standings_key_idx ON standings (tenant, conflict_key, due_at)
    WHERE due_at IS NOT NULL AND conflict_key IS NOT NULL;
-- Few have moved slots, and nothing that firing writes stands in these.
CREATE INDEX standings_moved_idx ON standings (tenant, recipient_ref, moved_to) WHERE moved_to IS NOT NULL;
CREATE INDEX standings_moved_key_idx ON standings (tenant, conflict_key, moved_to)
    WHERE moved_to IS NOT NULL AND conflict_key IS NOT NULL;

-- What became of every slot that was touched. Partitioned by the slot's naive local month; an id begins with its slot's
-- milliseconds, so a look-up by id visits one partition. The projector makes the partitions as slots need them.
CREATE TABLE occurrences (
    id uuid NOT NULL,
    slot timestamp NOT NULL,
    fold smallint NOT NULL,
    number int,
    tenant text NOT NULL,
    shard smallint NOT NULL,
    schedule uuid NOT NULL,
    recipient_ref text NOT NULL,
    priority smallint NOT NULL,
    origin text NOT NULL,
    status text NOT NULL,                   -- waiting, deferred, executing, retrying, or an outcome
    reason text,
    version int NOT NULL,                   -- head of the occurrence's stream; 0: triggered, not yet claimed
    attempts int NOT NULL,
    owner bigint,                           -- incarnation of the worker whose attempt is open
    due_at timestamptz NOT NULL,
    wake_at timestamptz,                    -- when a waiting one is looked at again
    claimed_at timestamptz,
    ended_at timestamptz,
    late_ms double precision,               -- from due to the start of the first attempt
    duration_ms double precision,           -- of the last attempt
    plan json,
    recipient_zone text,
    last_failure json,
    response json,
    reported json,                          -- a provider's last word on the delivery
    engagement json,                        -- when its recipient first did what with it, and whether that answered it
    missed_count int,                       -- of a missed run: how many slots, up to which
    missed_to timestamp,
    missed_to_fold smallint,
    position bigint NOT NULL,
    PRIMARY KEY (id, slot)
) PARTITION BY RANGE (slot);
CREATE INDEX occurrences_schedule_idx ON occurrences (schedule, slot DESC, id DESC);
CREATE INDEX occurrences_recipient_idx ON occurrences (tenant, recipient_ref, due_at DESC, id DESC);
CREATE INDEX occurrences_dead_idx ON occurrences (tenant, ended_at DESC, id DESC)
    WHERE status IN ('dead_lettered', 'unknown');
CREATE INDEX occurrences_open_idx ON occurrences (owner, id) WHERE status = 'executing';

-- One row per waiting thing: the next slot of a series (key: schedule), or an occurrence that waits by itself
-- (key: occurrence). One index for all shards: what comes due next is read in order of time whoever owns it.
CREATE TABLE due (
    key uuid PRIMARY KEY,
    "row" text NOT NULL,
    shard smallint NOT NULL,
    tenant text NOT NULL,
    due_at timestamptz NOT NULL,
    priority smallint NOT NULL,
    schedule uuid NOT NULL,
    schedule_version int NOT NULL,
    occurrence uuid NOT NULL,
    occurrence_version int NOT NULL,
    slot timestamp NOT NULL,
    fold smallint NOT NULL,
    number int,
    zone text,
    origin text NOT NULL,
    held boolean NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due_due_at_idx ON due (due_at, key) WHERE NOT held;
-- Who else has something due, when a flood of one priority and tenant fills the front of the index above.
CREATE INDEX due_turns_idx ON due (priority, tenant, due_at, key) WHERE NOT held;
CREATE INDEX due_waiting_idx ON due (schedule) WHERE "row" = 'occurrence';

CREATE TABLE recipients (
    tenant text NOT NULL,
    id text NOT NULL,
    recipient_ref text NOT NULL,
    zone text,
    locale text,
    attributes json NOT NULL,
    version int NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    segment text,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX recipients_ref_idx ON recipients (tenant, recipient_ref);

-- Days and hours of work that tenants have written down.
CREATE TABLE calendars (
    tenant text NOT NULL,
    id text NOT NULL,
    definition json NOT NULL,
    names text[] NOT NULL,                  -- calendars that it names
    subscription json,                      -- where its days come from, if not from the tenant's own hand
    version int NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    sha256 text NOT NULL UNIQUE,
    prefix text NOT NULL,
    label text NOT NULL,
    scope text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    rotated_from uuid,
    successor uuid,
    version int NOT NULL,
    position bigint NOT NULL
);
CREATE INDEX api_keys_tenant_idx ON api_keys (tenant, created_at DESC, id DESC);

-- Addresses at which calendar programs find schedules, by the hashes of their tokens.
CREATE TABLE feeds (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    sha256 text NOT NULL UNIQUE,
    prefix text NOT NULL,
    label text NOT NULL,
    recipient text,                         -- null: everybody's
    recipient_ref text,
    created_at timestamptz NOT NULL,
    old_sha256 text,                        -- of the token before this one, which works until then
    old_until timestamptz,
    revoked_at timestamptz,
    version int NOT NULL,
    position bigint NOT NULL
);
CREATE INDEX feeds_tenant_idx ON feeds (tenant, created_at DESC, id DESC);
CREATE INDEX feeds_old_idx ON feeds (old_sha256) WHERE old_sha256 IS NOT NULL;

-- The learner's state: how often each recipient was asked, answered and was seen by hour of the week, as
-- `learning.counts` has it: whole numbers, little endian; an empty text stands for nothing but zeros.
CREATE TABLE habits (
    tenant text NOT NULL,
    recipient_ref text NOT NULL,
    epoch smallint NOT NULL,
    asked bytea NOT NULL,
    answered bytea NOT NULL,
    active bytea NOT NULL,
    recent bytea NOT NULL,
    answered_at bigint NOT NULL,
    position bigint NOT NULL,               -- of the last event that touched it
    PRIMARY KEY (tenant, recipient_ref)
) WITH (fillfactor = 70);

-- Messages whose answers are awaited, until when.
CREATE TABLE awaited (
    occurrence uuid PRIMARY KEY,
    tenant text NOT NULL,
    recipient_ref text NOT NULL,
    shard smallint NOT NULL,
    closes_at timestamptz NOT NULL
);
CREATE INDEX awaited_closes_idx ON awaited (closes_at, occurrence);
CREATE INDEX awaited_recipient_idx ON awaited (tenant, recipient_ref);

-- How what plans foretold came true: coefficients of each tenant's shards, as 64-bit floats.
CREATE TABLE calibrations (
    tenant text NOT NULL,
    shard smallint NOT NULL,
    weights bytea NOT NULL,
    precision bytea NOT NULL,
    told bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, shard)
);

-- The model that each tenant's choices rest on; older ones are in the log.
CREATE TABLE models (
    tenant text PRIMARY KEY,
    version int NOT NULL,
    fitted_at timestamptz NOT NULL,
    model json NOT NULL,
    position bigint NOT NULL
);

-- Events that could not be applied, and those that queue behind them. A family is a schedule with its occurrences, or
-- any other stream: what shares rows waits together, so that replaying it in order gives what would have been.
CREATE TABLE parked (
    family uuid NOT NULL,
    position bigint NOT NULL,
    stream uuid NOT NULL,
    version int NOT NULL,
    tenant text NOT NULL,
    event text NOT NULL,
    error text,                             -- null: queued behind the one that failed
    PRIMARY KEY (family, position)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['schedules', 'schedule_tags', 'schedule_words', 'standings', 'occurrences', 'due', 'recipients', 'calendars', 'api_keys',
                                'feeds', 'parked', 'habits', 'awaited', 'calibrations',
                                'models']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY tenant ON %I FOR SELECT TO horae_api '
                       'USING (tenant = current_setting(''horae.tenant'', true))', name);
    END LOOP;
END $$;

-- A caller whose tenant is not known yet sees the one key whose hash it presents, and no other.
CREATE POLICY presented ON api_keys FOR SELECT TO horae_api USING (sha256 = current_setting('horae.key', true));
-- So does a calendar program, which has a feed's token and nothing else.
CREATE POLICY presented ON feeds FOR SELECT TO horae_api
    USING (current_setting('horae.feed', true) IN (sha256, old_sha256));

GRANT SELECT ON positions, schedules, schedule_tags, standings, occurrences, due, recipients, calendars, api_keys, feeds, parked,
    habits, calibrations, models TO horae_api;

-- Numbers over all tenants, for metrics: no names, so that the API's role may ask. The bodies are bound to these tables
-- when made, whatever the caller's search_path.
CREATE FUNCTION count_standings() RETURNS TABLE (status text, priority smallint, count bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.status, s.priority, count(*) FROM standings AS s GROUP BY s.status, s.priority;
END;

CREATE FUNCTION count_due(upto timestamptz) RETURNS TABLE (waiting bigint, overdue bigint, oldest timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*), count(*) FILTER (WHERE d.due_at <= upto), min(d.due_at) FROM due AS d WHERE NOT d.held;
END;

-- The caller's schedules that have the words, and how well. Operators of tsvector are not leakproof, so under row-level
-- security no index would serve: here the owner looks, and the tenant's condition stands in this one place.
CREATE FUNCTION find_schedules(sought tsquery) RETURNS TABLE (schedule uuid, score real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT w.schedule, pg_catalog.ts_rank(w.words, sought) FROM schedule_words AS w
    WHERE w.words @@ sought AND w.tenant = pg_catalog.current_setting('horae.tenant', true);
END;

-- Words of the caller's schedules that begin so, in those of them that have the words; of the first few thousand.
CREATE FUNCTION complete_word(sought tsquery, beginning text, most int) RETURNS TABLE (word text, count bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT l.lexeme, count(*) FROM (
        SELECT w.words FROM schedule_words AS w
        WHERE w.words @@ sought AND w.tenant = pg_catalog.current_setting('horae.tenant', true)
        LIMIT 5000
    ) AS found, unnest(found.words) AS l (lexeme, positions, weights)
    WHERE starts_with(l.lexeme, beginning)
    GROUP BY l.lexeme
    ORDER BY count(*) DESC, l.lexeme COLLATE "C"
    LIMIT most;
END;

REVOKE ALL ON FUNCTION find_schedules(tsquery), complete_word(tsquery, text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_schedules(tsquery), complete_word(tsquery, text, int) TO horae_api;

REVOKE ALL ON FUNCTION count_standings(), count_due(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_standings(), count_due(timestamptz) TO horae_api;
