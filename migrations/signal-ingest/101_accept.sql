-- What the accepting transaction writes: the keys that make repeats recognisable, and the batches as accepted.

-- The first signal of each key, for as long as the signal is kept.
CREATE TABLE idempotency_keys (
    org_id    uuid NOT NULL,
    key       text COLLATE "C" NOT NULL,
    signal_id uuid NOT NULL,
    PRIMARY KEY (org_id, key)
);
-- Signal ids are in the order of time: a few bytes per 128 pages find what has expired.
CREATE INDEX idempotency_keys_expiry ON idempotency_keys USING brin (signal_id) WITH (autosummarize = on);
CALL tenant_table('idempotency_keys');
CALL pipeline_table('idempotency_keys');

-- Accepted signals, never changed: the message `SignalsAccepted`, zstd. Everything derived can be rebuilt from here.
CREATE TABLE batches (
    org_id       uuid        NOT NULL,
    id           uuid        NOT NULL,
    signal_count integer     NOT NULL CHECK (signal_count > 0),
    accepted_at  timestamptz NOT NULL,
    payload      bytea       NOT NULL,
    PRIMARY KEY (org_id, id)
) PARTITION BY RANGE (id);
-- Compressed already.
ALTER TABLE batches ALTER COLUMN payload SET STORAGE EXTERNAL;
CALL partitioned_table('batches');
CALL tenant_table('batches');
CALL pipeline_table('batches');

-- Only the workers accept; nobody changes a batch.
DO $$
DECLARE
    app name := current_schema() || '_app';
    pipeline name := current_schema() || '_pipeline';
BEGIN
    EXECUTE format('REVOKE ALL ON idempotency_keys, batches FROM %I', app);
    EXECUTE format('GRANT SELECT ON batches TO %I', app);
    EXECUTE format('REVOKE UPDATE, DELETE ON batches FROM %I', pipeline);
    EXECUTE format('REVOKE UPDATE ON idempotency_keys FROM %I', pipeline);
END $$;
