-- The log (one table, one insert function), the schema for read models, and what processes share.
--
-- Run by the owner role, which is not a superuser. Row-level security is forced, so that even the owner reads through a
-- policy; the API's role reads only the tenant named by the setting horae.tenant of its transaction.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'horae_api') THEN
        CREATE ROLE horae_api LOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'role horae_api is missing and % may not create it', current_user
        USING HINT = 'As an administrator: CREATE ROLE horae_api LOGIN PASSWORD ''...'' NOSUPERUSER NOBYPASSRLS';
END $$;

CREATE SCHEMA log;
CREATE SCHEMA read;

GRANT USAGE ON SCHEMA log, read, sys TO horae_api;
ALTER DEFAULT PRIVILEGES IN SCHEMA read GRANT SELECT ON TABLES TO horae_api;

-- The event sourcing library's table (its names), plus event_id, tenant and shard.
-- notification_id is the position: gapless, assigned under the lock of log.append.
CREATE TABLE log.events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    notification_id bigint NOT NULL,
    shard smallint NOT NULL,
    event_id uuid,
    tenant text NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    -- Rows never change: vacuum only has to freeze and to keep the visibility map.
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02
);
CREATE UNIQUE INDEX events_notification_id_idx ON log.events (notification_id);
CREATE INDEX events_tenant_idx ON log.events (tenant, notification_id);

ALTER TABLE log.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.events FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON log.events TO CURRENT_USER USING (true) WITH CHECK (true);
-- The concatenation keeps the planner from looking for a stream by its tenant: before the first ANALYZE it takes both
-- for equally selective, and reads the tenant's whole log.
CREATE POLICY tenant ON log.events FOR SELECT TO horae_api
    USING (tenant || '' = current_setting('horae.tenant', true));
GRANT SELECT ON log.events TO horae_api;

-- Appends a batch of commands in one transaction and one round trip.
--
-- Events and expectations are columns of arrays; `commands` and `expecting` say to which command a row belongs.
-- The caller keeps the batch free of commands that name a stream to which an earlier command of the batch appends, so
-- that checking all heads before inserting anything equals running the commands one after the other.
--
-- Gives one row per command: its last position; or the first failed expectation (stream, expected, actual) and no
-- position, in which case none of its events were stored. A command all of whose events are stored already, by event
-- id, at their versions, is not a conflict: it gets the position which it got then.
CREATE FUNCTION log.append(
    commands int[], streams uuid[], versions bigint[], event_ids uuid[], tenants text[], shards smallint[],
    topics text[], states bytea[],
    expecting int[], expected_streams uuid[], expected_versions bigint[]
) RETURNS TABLE (command int, "position" bigint, stream uuid, expected bigint, actual bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    base bigint;
    conflicts int[];
BEGIN
    -- One appender at a time until commit: order of positions = order of commits. (Not LOCK TABLE, which would also
    -- wait for ANALYZE, VACUUM and index builds.) Each statement below takes its own snapshot, after the lock.
    PERFORM pg_advisory_xact_lock(7235418830166529);

    FOR command, stream, expected, actual, "position" IN
        WITH refused AS MATERIALIZED (
            SELECT DISTINCT ON (e.command)
                e.command, e.stream, e.version AS expected, coalesce(head.version, 0) AS actual
            FROM unnest(expecting, expected_streams, expected_versions)
                WITH ORDINALITY AS e (command, stream, version, ordinal)
            LEFT JOIN LATERAL (
                SELECT originator_version AS version FROM log.events
                WHERE originator_id = e.stream ORDER BY originator_version DESC LIMIT 1
            ) AS head ON true
            WHERE coalesce(head.version, 0) <> e.version
            ORDER BY e.command, e.ordinal
        ), known AS (
            -- Only a complete match of ids is the command's own earlier success.
            SELECT e.command,
                CASE WHEN count(*) = count(stored.notification_id) THEN max(stored.notification_id) END AS "position"
            FROM unnest(commands, streams, versions, event_ids) AS e (command, stream, version, event_id)
            LEFT JOIN log.events AS stored
                ON stored.originator_id = e.stream AND stored.originator_version = e.version
                AND stored.event_id = e.event_id
            WHERE e.command IN (SELECT r.command FROM refused AS r)
            GROUP BY e.command
        )
        SELECT r.command, r.stream, r.expected, r.actual, k."position"
        FROM refused AS r JOIN known AS k ON k.command = r.command
    LOOP
        conflicts := conflicts || command;
        RETURN NEXT;
    END LOOP;

    stream := NULL;
    expected := NULL;
    actual := NULL;
    base := coalesce((SELECT max(notification_id) FROM log.events), 0);
    FOR command, "position" IN
        WITH chosen AS (
            SELECT e.*, base + row_number() OVER (ORDER BY e.ordinal) AS notification_id
            FROM unnest(commands, streams, versions, event_ids, tenants, shards, topics, states)
                WITH ORDINALITY AS e (command, stream, version, event_id, tenant, shard, topic, state, ordinal)
            WHERE conflicts IS NULL OR e.command <> ALL (conflicts)
        ), stored AS (
            INSERT INTO log.events (
                originator_id, originator_version, notification_id, shard, event_id, tenant, topic, state)
            SELECT c.stream, c.version, c.notification_id, c.shard, c.event_id, c.tenant, c.topic, c.state
            FROM chosen AS c ORDER BY c.ordinal
        )
        SELECT c.command, max(c.notification_id) FROM chosen AS c GROUP BY c.command ORDER BY c.command
    LOOP
        RETURN NEXT;
    END LOOP;

    IF FOUND THEN
        -- The library's channel: the table's name.
        PERFORM pg_notify('events', '');
    END IF;
END $$;

-- The events of streams, for one tenant or (NULL, the owner only) for all, in one round trip.
-- Not a definer function: the caller's policy applies, with the tenant set for this transaction only.
CREATE FUNCTION log.load(for_tenant text, streams uuid[], upto_version bigint, upto_position bigint)
RETURNS TABLE (stream uuid, version bigint, "position" bigint, topic text, state bytea)
LANGUAGE plpgsql
AS $$
BEGIN
    IF for_tenant IS NOT NULL THEN
        PERFORM pg_catalog.set_config('horae.tenant', for_tenant, true);
    END IF;
    RETURN QUERY
        SELECT e.originator_id, e.originator_version, e.notification_id, e.topic, e.state
        FROM log.events AS e
        WHERE e.originator_id = ANY (streams)
            AND (for_tenant IS NULL OR e.tenant || '' = for_tenant)  -- as in the policy
            AND (upto_version IS NULL OR e.originator_version <= upto_version)
            AND (upto_position IS NULL OR e.notification_id <= upto_position)
        ORDER BY e.originator_id, e.originator_version;
END $$;

-- The log from a position on, for one tenant or (NULL, the owner only) for all.
CREATE FUNCTION log.after(for_tenant text, after_position bigint, at_most int)
RETURNS TABLE (stream uuid, version bigint, "position" bigint, topic text, state bytea)
LANGUAGE plpgsql
AS $$
BEGIN
    IF for_tenant IS NOT NULL THEN
        PERFORM pg_catalog.set_config('horae.tenant', for_tenant, true);
        RETURN QUERY
            SELECT e.originator_id, e.originator_version, e.notification_id, e.topic, e.state
            FROM log.events AS e
            WHERE e.tenant = for_tenant AND e.notification_id > after_position
            ORDER BY e.notification_id LIMIT at_most;
    ELSE
        RETURN QUERY
            SELECT e.originator_id, e.originator_version, e.notification_id, e.topic, e.state
            FROM log.events AS e
            WHERE e.notification_id > after_position
            ORDER BY e.notification_id LIMIT at_most;
    END IF;
END $$;

-- The last position of the whole log; a number only, so that the API's role may ask.
CREATE FUNCTION log.head() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(max(notification_id), 0) FROM log.events $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA log FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA log TO horae_api;

-- The virtual clock: one row, absent when the installation runs on real time.
CREATE TABLE sys.clock (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    now timestamptz NOT NULL,
    target timestamptz NOT NULL,
    done_at timestamptz,
    CHECK (target >= now)
);

-- One row per started process; its id is the owner that claims name. A living one holds a session advisory lock on it.
CREATE TABLE sys.incarnations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid int NOT NULL
);

-- What the installation decided about itself once, such as the key of its recipient references.
CREATE TABLE sys.settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL
);

GRANT SELECT ON ALL TABLES IN SCHEMA sys TO horae_api;
GRANT INSERT, UPDATE ON sys.clock, sys.incarnations TO horae_api;
