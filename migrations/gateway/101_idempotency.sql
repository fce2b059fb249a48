-- Answers of writes that carried an Idempotency-Key, kept for a day.
--
-- A record without `completed_at` is a request that runs; after `locked_until` its gateway is taken to be dead and the
-- next try may take the record over. The answer is sealed: it can hold a secret that is shown only once.

CREATE TABLE idempotency_records (
    org_id         uuid        NOT NULL,
    key            text        NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    request_sha256 bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    -- Which attempt holds the record, so that one that was taken over cannot write its answer any more.
    attempt        uuid        NOT NULL,
    locked_until   timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    completed_at   timestamptz,
    answer_sealed  bytea,
    PRIMARY KEY (org_id, key),
    CHECK ((completed_at IS NULL) = (answer_sealed IS NULL))
);

-- Old records are deleted in the order of their age.
CREATE INDEX idempotency_records_by_age ON idempotency_records (created_at);

CALL tenant_table('idempotency_records');
CALL pipeline_table('idempotency_records');
