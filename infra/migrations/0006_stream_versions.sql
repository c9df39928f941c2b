-- The head of one stream, for one tenant or (NULL, the owner only) for all, however long the stream is: one look at the
-- end of the index. Not a definer function: the caller's policy applies, as in log.load.
CREATE FUNCTION log.version(for_tenant text, stream uuid) RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    IF for_tenant IS NOT NULL THEN
        PERFORM pg_catalog.set_config('horae.tenant', for_tenant, true);
    END IF;
    RETURN coalesce(
        (SELECT e.originator_version FROM log.events AS e
         WHERE e.originator_id = stream AND (for_tenant IS NULL OR e.tenant || '' = for_tenant)
         ORDER BY e.originator_version DESC LIMIT 1),
        0);
END $$;

REVOKE ALL ON FUNCTION log.version(text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.version(text, uuid) TO horae_api;
