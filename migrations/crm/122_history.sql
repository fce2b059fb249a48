-- What accounts, contacts and deals were: a row for each change, written in the transaction that makes it, never changed.
--
-- `recorded_at` is the time of the change as the record has it (`updated_at`); of one record it never falls, because it is set
-- under the record's lock. Of versions of one instant the one with the higher id is later. Partitioned by id (UUIDv7, so by time).

CREATE TABLE record_versions (
    org_id      uuid        NOT NULL,
    record_id   uuid        NOT NULL,
    version_id  uuid        NOT NULL,
    kind        smallint    NOT NULL CHECK (kind BETWEEN 1 AND 3),
    recorded_at timestamptz NOT NULL,
    -- Of a contact or a deal the account that it belongs to.
    account_id  uuid,
    -- The record as the contract carries it (devsignal.crm.v1.Account, Contact or Deal); null when it was removed.
    state       bytea,
    PRIMARY KEY (org_id, record_id, version_id)
) PARTITION BY RANGE (version_id);
CALL partitioned_table('record_versions');
-- What a record was at a time.
CREATE INDEX record_versions_by_time ON record_versions (org_id, record_id, recorded_at, version_id);
-- Which contacts and deals ever belonged to an account.
CREATE INDEX record_versions_by_account ON record_versions (org_id, account_id, kind, record_id) WHERE account_id IS NOT NULL;
CALL tenant_table('record_versions');
CALL pipeline_table('record_versions');
-- History is added to and read.
DO $$
BEGIN
    EXECUTE format('REVOKE UPDATE, DELETE ON record_versions FROM %I, %I', current_schema() || '_app', current_schema() || '_pipeline');
END $$;

-- The score with its factors, as it was told (devsignal.scores.v1.AccountScore, without ids of signals).
ALTER TABLE score_changes ADD COLUMN detail bytea;

-- Records that are there get their first version by the task that makes them searchable; it begins anew.
DELETE FROM search_backfill;
