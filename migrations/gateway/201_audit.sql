-- The audit log. An entry is committed before the write that it tells of is asked for, its outcome after the answer, so that
-- nothing that was accepted is missing. Nobody who serves requests may change or delete either.

CREATE TABLE audit_entries (
    org_id     uuid        NOT NULL REFERENCES organizations (org_id),
    id         uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    actor_type text        NOT NULL,
    actor_id   text        NOT NULL,
    role       text        NOT NULL,
    action     text        NOT NULL,
    resource   text        NOT NULL,
    record_id  text,
    request    jsonb       NOT NULL,
    address    text        NOT NULL,
    request_id text        NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE INDEX audit_entries_by_age ON audit_entries (org_id, created_at, id);

CALL tenant_table('audit_entries');
CALL pipeline_table('audit_entries');

CREATE TABLE audit_outcomes (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    -- `ok` or an error's code.
    outcome    text        NOT NULL,
    record_id  text,
    after      jsonb,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, id) REFERENCES audit_entries (org_id, id)
);

CALL tenant_table('audit_outcomes');
CALL pipeline_table('audit_outcomes');

DO $$
BEGIN
    EXECUTE format('REVOKE UPDATE, DELETE ON audit_entries, audit_outcomes FROM %I, %I',
                   current_schema() || '_app', current_schema() || '_pipeline');
END $$;
