-- People: users, where they are members, who is invited, and their sessions.
--
-- A user belongs to no organization, so `users`, `sessions` and `refresh_tokens` have no org_id; what a user may see of an
-- organization follows from `members` alone. Tokens and invitations are stored as SHA-256 of 192 random bits and more.

CREATE TABLE users (
    id             uuid        PRIMARY KEY,
    -- In lower case.
    email          text        NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
    name           text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    -- argon2id with the parameters of the program that made it: 16 bytes of salt, 32 of hash.
    password       bytea       NOT NULL CHECK (octet_length(password) = 48),
    created_at     timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_by_email ON users (email);

CREATE TABLE members (
    org_id     uuid        NOT NULL REFERENCES organizations (org_id),
    -- The user.
    id         uuid        NOT NULL REFERENCES users (id),
    role       text        NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE INDEX members_by_user ON members (id, created_at);
CREATE INDEX members_by_age ON members (org_id, created_at, id);

CALL tenant_table('members');
CALL pipeline_table('members');

CREATE TABLE invitations (
    org_id       uuid        NOT NULL REFERENCES organizations (org_id),
    id           uuid        NOT NULL,
    email        text        NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
    role         text        NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    token_sha256 bytea       NOT NULL CHECK (octet_length(token_sha256) = 32),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    -- Accepted or withdrawn: good no more.
    ended_at     timestamptz,
    PRIMARY KEY (org_id, id)
);

CREATE UNIQUE INDEX invitations_by_token ON invitations (token_sha256);
CREATE INDEX invitations_by_age ON invitations (org_id, created_at, id);

CALL tenant_table('invitations');
CALL pipeline_table('invitations');

CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id),
    -- The one organization that it is for.
    organization uuid        NOT NULL REFERENCES organizations (org_id),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz
);

CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE refresh_tokens (
    sha256     bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    session_id uuid        NOT NULL REFERENCES sessions (id),
    -- Good once; a second use ends the session.
    used_at    timestamptz
);

CREATE INDEX api_keys_by_age ON api_keys (org_id, created_at, id);
