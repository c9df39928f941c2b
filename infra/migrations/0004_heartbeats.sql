-- The signs of life of every process that works: a row each, written about once a second, worth nothing after a crash.
-- shards: what a worker has by its partitions; none where one worker does everything.
DROP TABLE sys.heartbeats;
CREATE UNLOGGED TABLE sys.heartbeats (
    incarnation bigint PRIMARY KEY,
    kind text NOT NULL,
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied bigint NOT NULL,
    in_flight int NOT NULL,
    queued int NOT NULL,
    shards smallint[] NOT NULL DEFAULT '{}',
    metrics text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);

GRANT SELECT ON sys.heartbeats TO horae_api;
