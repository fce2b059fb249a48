-- Credentials with which an organization's programs read its events from the broker, and the consumers they read from. The
-- broker asks about a user before its organization is known, so the pipeline role reads both. Of a password only the SHA-256
-- is stored: it has 256 bits of randomness.

CREATE TABLE nats_credentials (
    org_id          uuid        NOT NULL REFERENCES organizations (org_id),
    id              uuid        NOT NULL,
    name            text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    password_sha256 bytea       NOT NULL CHECK (octet_length(password_sha256) = 32),
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    revoked_at      timestamptz,
    PRIMARY KEY (org_id, id)
);

CREATE UNIQUE INDEX nats_credentials_by_id ON nats_credentials (id);
CREATE INDEX nats_credentials_by_age ON nats_credentials (org_id, created_at, id);

CALL tenant_table('nats_credentials');
CALL pipeline_table('nats_credentials');

CREATE TABLE nats_consumers (
    org_id        uuid        NOT NULL,
    id            uuid        NOT NULL,
    credential_id uuid        NOT NULL,
    -- Part of the name at the broker; a credential may use a fixed number of them.
    slot          smallint    NOT NULL CHECK (slot > 0),
    -- Empty for all.
    event_types   text[]      NOT NULL,
    start_at      timestamptz NOT NULL,
    -- One event at a time.
    ordered       boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, credential_id, slot),
    FOREIGN KEY (org_id, credential_id) REFERENCES nats_credentials (org_id, id)
);

CREATE INDEX nats_consumers_by_age ON nats_consumers (org_id, created_at, id);

CALL tenant_table('nats_consumers');
CALL pipeline_table('nats_consumers');
