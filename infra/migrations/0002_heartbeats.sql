-- The signs of life of the worker that works: one row, written about once a second, worth nothing after a crash.
CREATE UNLOGGED TABLE sys.heartbeats (
    kind text PRIMARY KEY,
    incarnation bigint NOT NULL,
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied bigint NOT NULL,
    in_flight int NOT NULL,
    queued int NOT NULL,
    metrics text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);

GRANT SELECT ON sys.heartbeats TO horae_api;
