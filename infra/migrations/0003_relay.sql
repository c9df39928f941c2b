-- How far the log was published to Kafka: one row, moved by the one relay that is active.
--
-- position: everything up to it is acknowledged by Kafka. last: shard (0 to 63) -> position of its last event up to
-- there, 0 for none; the array's first element is shard 0's.
CREATE TABLE sys.relay (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    last bigint[] NOT NULL DEFAULT array_fill(0::bigint, ARRAY[64]) CHECK (array_length(last, 1) = 64),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

INSERT INTO sys.relay DEFAULT VALUES;

GRANT SELECT ON sys.relay TO horae_api;
