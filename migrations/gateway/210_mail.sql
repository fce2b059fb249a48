-- Mail: what is to be sent, and the tokens that go out by mail.
--
-- A mail is put in with the change that it tells of and sent afterwards, under one Message-ID however often it is tried. It
-- holds no secret: a token is derived from the mail's id and a key that is not in the database. A mail belongs to a person,
-- who may be in no organization or in several, so these tables have no org_id; requests may put mails in and see what
-- became of one, and nothing else.

ALTER TABLE users ADD COLUMN verified_at timestamptz;
ALTER TABLE invitations ADD COLUMN mail_id uuid;

CREATE TABLE mails (
    id         uuid        PRIMARY KEY,
    template   text        NOT NULL CHECK (char_length(template) BETWEEN 1 AND 50),
    recipient  text        NOT NULL CHECK (char_length(recipient) BETWEEN 3 AND 254),
    -- What the text is filled with.
    facts      jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    -- When it is tried next; a mail that is being tried is not due before its sender is taken to be dead.
    due_at     timestamptz NOT NULL,
    -- Not worth sending afterwards.
    expires_at timestamptz NOT NULL,
    attempts   int         NOT NULL DEFAULT 0,
    ended_at   timestamptz,
    outcome    text        CHECK (outcome IN ('sent', 'refused', 'given_up', 'expired', 'nobody')),
    -- The last failure, for operators.
    reason     text,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE INDEX mails_due ON mails (due_at) WHERE ended_at IS NULL;
CREATE INDEX mails_ended ON mails (ended_at) WHERE ended_at IS NOT NULL;

-- Single-use tokens that went out by mail, each for one purpose.
CREATE TABLE mail_tokens (
    sha256     bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    purpose    text        NOT NULL CHECK (purpose IN ('verify_email', 'password_reset')),
    user_id    uuid        NOT NULL REFERENCES users (id),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE INDEX mail_tokens_by_user ON mail_tokens (user_id);
CREATE INDEX mail_tokens_by_end ON mail_tokens (expires_at);

-- Tries to come in, counted over all gateways. `free_at` moves ahead with every try; once it is too far ahead, tries are
-- refused. A bucket is the digest of what is counted: addresses are not kept.
CREATE TABLE throttles (
    bucket  uuid        PRIMARY KEY,
    free_at timestamptz NOT NULL
);

CREATE INDEX throttles_by_end ON throttles (free_at);

DO $$
DECLARE
    app name := current_schema() || '_app';
BEGIN
    EXECUTE format('REVOKE ALL ON mails, mail_tokens, throttles FROM %I', app);
    EXECUTE format('GRANT INSERT ON mails TO %I', app);
    EXECUTE format('GRANT SELECT (id, outcome) ON mails TO %I', app);
END $$;
