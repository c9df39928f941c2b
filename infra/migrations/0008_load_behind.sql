-- The events of one stream behind a version, for one tenant or (NULL, the owner only) for all: a long stream is read in
-- pages. Not a definer function: the caller's policy applies, as in log.load.
CREATE FUNCTION log.load_behind(
    for_tenant text, of_stream uuid, after_version bigint, upto_version bigint, upto_position bigint)
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
        WHERE e.originator_id = of_stream
            AND e.originator_version > after_version
            AND (for_tenant IS NULL OR e.tenant || '' = for_tenant)  -- as in the policy
            AND (upto_version IS NULL OR e.originator_version <= upto_version)
            AND (upto_position IS NULL OR e.notification_id <= upto_position)
        ORDER BY e.originator_version;
END $$;

REVOKE ALL ON FUNCTION log.load_behind(text, uuid, bigint, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.load_behind(text, uuid, bigint, bigint, bigint) TO horae_api;
