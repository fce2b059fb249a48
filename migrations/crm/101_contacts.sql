-- Contacts: what is recorded about persons, the identities that are known of them, and which persons turned out to be
-- others.
--
-- As with accounts, `recorded` is false until the first `contact.identified`: a link to an account or a merge can arrive
-- before it. `account_id` is no foreign key, because the contact can be heard of before its account.

CREATE TABLE contacts (
    org_id           uuid        NOT NULL,
    id               uuid        NOT NULL,
    recorded         boolean     NOT NULL DEFAULT false,
    -- What is shown: the name set by hand, else the name told, else the best identity.
    name             text        NOT NULL DEFAULT '',
    name_key         text        COLLATE "C" NOT NULL DEFAULT '',
    told_name        text,
    -- The best of the identities of type `email`.
    email            text,
    title            text,
    company          text,
    avatar_url       text,
    account_id       uuid,
    -- The event that told the account: of two, the later one counts, whatever order they arrive in.
    account_told_at  timestamptz,
    account_told_by  uuid,
    edited_fields    text[]      NOT NULL DEFAULT '{}',
    -- The newest `contact.identified` that was applied; -1 before the first.
    revision         bigint      NOT NULL DEFAULT -1,
    first_seen_at    timestamptz,
    last_seen_at     timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id),
    CHECK ((account_id IS NULL) = (account_told_at IS NULL) AND (account_id IS NULL) = (account_told_by IS NULL)),
    CHECK (NOT recorded OR (first_seen_at IS NOT NULL AND last_seen_at IS NOT NULL))
);

CALL tenant_table('contacts');
CALL pipeline_table('contacts');

CREATE INDEX contacts_by_created ON contacts (org_id, created_at, id) WHERE recorded;
CREATE INDEX contacts_by_name ON contacts (org_id, name_key, id) WHERE recorded;
CREATE INDEX contacts_by_last_seen ON contacts (org_id, last_seen_at, id) WHERE recorded;
CREATE INDEX contacts_by_account_created ON contacts (org_id, account_id, created_at, id) WHERE recorded;
CREATE INDEX contacts_by_account_name ON contacts (org_id, account_id, name_key, id) WHERE recorded;
CREATE INDEX contacts_by_account_last_seen ON contacts (org_id, account_id, last_seen_at, id) WHERE recorded;

-- The identities that each person was told to have, kept under the person they belong to now. `told_by` is the person of
-- the `contact.identified` that listed it: a newer list of the same person replaces exactly these rows, also after a
-- merge. One identity can stand under two persons for a moment, between the two events that move it.
CREATE TABLE contact_identities (
    org_id      uuid             NOT NULL,
    told_by     uuid             NOT NULL,
    type        text             NOT NULL,
    value       text             NOT NULL,
    contact_id  uuid             NOT NULL,
    position    int              NOT NULL,
    verified    boolean          NOT NULL,
    confidence  double precision NOT NULL,
    PRIMARY KEY (org_id, told_by, type, value)
);

CALL tenant_table('contact_identities');
CALL pipeline_table('contact_identities');

CREATE INDEX contact_identities_by_contact ON contact_identities (org_id, contact_id);
CREATE INDEX contact_identities_by_value ON contact_identities (org_id, type, value, contact_id);

-- Actors that turned out to be a known person. They hold off events about the actor that arrive late. `into_id` is
-- always the person that is left at the end of a chain of merges. An anonymous profile leaves a row too: the event does
-- not tell it from a person.
CREATE TABLE contact_merges (
    org_id     uuid        NOT NULL,
    from_id    uuid        NOT NULL,
    into_id    uuid        NOT NULL,
    -- The newest `contact.identified` of the merged person that was applied.
    revision   bigint      NOT NULL,
    merged_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, from_id),
    CHECK (from_id <> into_id)
);

CALL tenant_table('contact_merges');
CALL pipeline_table('contact_merges');

CREATE INDEX contact_merges_by_into ON contact_merges (org_id, into_id);
