-- Configured sources of signals.

CREATE TABLE sources (
    org_id         uuid        NOT NULL,
    id             uuid        NOT NULL,
    type           text        NOT NULL CHECK (type IN
        ('github', 'npm', 'pypi', 'website', 'docs', 'product_api', 'segment', 'custom_webhook')),
    name           text        NOT NULL,
    -- What lists sort by.
    name_key       text        COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(name)) STORED,
    config         jsonb,
    status         text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'error')),
    status_reason  text,
    -- The webhook's shared secret, sealed with the service's key; bound to this row and column.
    secret         bytea,
    -- At most seconds old; never written by the accepting transaction, which would make every request wait for this row.
    last_signal_at timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
) WITH (fillfactor = 80);

CREATE INDEX sources_by_created ON sources (org_id, created_at, id);
CREATE INDEX sources_by_name ON sources (org_id, name_key, id);
-- A webhook names only the source: its organization is what this finds.
CREATE INDEX sources_by_id ON sources (id);

CALL tenant_table('sources');
CALL pipeline_table('sources');
