-- Deliveries of GitHub events that do not become signals: kept raw, for a time.

CREATE TABLE github_deliveries_raw (
    org_id      uuid        NOT NULL,
    delivery    text        COLLATE "C" NOT NULL,
    source_id   uuid        NOT NULL,
    event       text        NOT NULL,
    received_at timestamptz NOT NULL,
    -- As received, zstd.
    body        bytea       NOT NULL,
    PRIMARY KEY (org_id, delivery)
);
ALTER TABLE github_deliveries_raw ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX github_deliveries_raw_expiry ON github_deliveries_raw USING brin (received_at)
    WITH (pages_per_range = 32, autosummarize = on);
CALL tenant_table('github_deliveries_raw');
CALL pipeline_table('github_deliveries_raw');

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON github_deliveries_raw FROM %I', current_schema() || '_app');
END $$;
