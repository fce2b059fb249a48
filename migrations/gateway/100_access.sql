-- Who may call: organizations and their API keys.
--
-- A key is found by its id before its organization is known, so the pipeline role reads api_keys and organizations. Only
-- the SHA-256 of a key's secret is stored: the secret has more than 190 bits of randomness, so no salt or slow hash is
-- needed, and a copy of this table opens nothing.

CREATE TABLE organizations (
    org_id     uuid        PRIMARY KEY,
    name       text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL
);

CALL tenant_table('organizations');
CALL pipeline_table('organizations');

CREATE TABLE api_keys (
    org_id        uuid        NOT NULL REFERENCES organizations (org_id),
    id            uuid        NOT NULL,
    -- The part before the secret, for people to tell keys apart.
    prefix        text        NOT NULL,
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    name          text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    role          text        NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    -- `resource:verb`; empty means no further limit than the role.
    scopes        text[]      NOT NULL DEFAULT '{}',
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);

-- Found by id alone when a request arrives.
CREATE UNIQUE INDEX api_keys_by_id ON api_keys (id);

CALL tenant_table('api_keys');
CALL pipeline_table('api_keys');
