-- How far the documents of the search engine are, per shard: every event of the shard up to there is in them. A row is
-- moved by whoever indexed, from the value that he knew.
CREATE TABLE sys.search_positions (
    shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

INSERT INTO sys.search_positions (shard) SELECT generate_series(0, 63);

GRANT SELECT ON sys.search_positions TO horae_api;
