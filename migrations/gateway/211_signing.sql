-- Requests signed by HMAC, and the version of the API that a key was made for.
--
-- The secret that signs is needed to verify, so it is stored sealed: a copy of this database signs nothing. A nonce is kept as
-- long as its timestamp would be accepted; it lives here and not in one gateway's memory, or another gateway would take
-- the same request again.

ALTER TABLE api_keys ADD COLUMN signing text NOT NULL DEFAULT 'NONE' CHECK (signing IN ('NONE', 'OPTIONAL', 'REQUIRED'));
ALTER TABLE api_keys ADD COLUMN signing_sealed bytea;
ALTER TABLE api_keys ADD COLUMN version text;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_signing CHECK ((signing = 'NONE') = (signing_sealed IS NULL)) NOT VALID;
ALTER TABLE api_keys VALIDATE CONSTRAINT api_keys_signing;

CREATE TABLE request_nonces (
    org_id     uuid        NOT NULL,
    key_id     uuid        NOT NULL,
    nonce      text        NOT NULL CHECK (char_length(nonce) BETWEEN 16 AND 64),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, key_id, nonce),
    FOREIGN KEY (org_id, key_id) REFERENCES api_keys (org_id, id)
);

CREATE INDEX request_nonces_by_end ON request_nonces (expires_at);

CALL tenant_table('request_nonces');
CALL pipeline_table('request_nonces');
