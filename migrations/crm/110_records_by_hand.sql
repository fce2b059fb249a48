-- What a person adds to accounts and contacts, whatever was learnt: an owner, tags, own fields, removal.
--
-- `deleted_at`: removed by hand. The row stays unrecorded, so that what is learnt later does not bring it back, and so
-- that recording it again by hand finds the same id.

ALTER TABLE accounts
    ADD COLUMN owner_id   uuid,
    ADD COLUMN tags       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN custom     jsonb  NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at timestamptz,
    ADD CONSTRAINT accounts_deleted CHECK (deleted_at IS NULL OR NOT recorded);
ALTER TABLE contacts
    ADD COLUMN owner_id   uuid,
    ADD COLUMN tags       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN custom     jsonb  NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at timestamptz,
    ADD CONSTRAINT contacts_deleted CHECK (deleted_at IS NULL OR NOT recorded);
-- A person can take the account of a contact away: then nobody told it, but somebody decided.
CREATE INDEX accounts_by_owner ON accounts (org_id, owner_id, created_at, id) WHERE recorded AND owner_id IS NOT NULL;
CREATE INDEX contacts_by_owner ON contacts (org_id, owner_id, created_at, id) WHERE recorded AND owner_id IS NOT NULL;
-- Removed accounts are found again by their domain, too.
CREATE INDEX accounts_by_domain_all ON accounts (org_id, domain) WHERE domain IS NOT NULL;

-- Accounts recorded by hand that turned out to be others; they hold off what is told about them later.
CREATE TABLE account_merges (
    org_id    uuid        NOT NULL,
    from_id   uuid        NOT NULL,
    into_id   uuid        NOT NULL,
    merged_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, from_id),
    CHECK (from_id <> into_id)
);
CALL tenant_table('account_merges');
CALL pipeline_table('account_merges');

-- Words that records are marked with. The records hold the names too, so that reading them needs no join; renaming a tag
-- changes both in one transaction.
CREATE TABLE tags (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    name_key   text        COLLATE "C" NOT NULL,
    color      text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX tags_by_name ON tags (org_id, name_key);
CREATE INDEX tags_by_created ON tags (org_id, created_at, id);
CALL tenant_table('tags');
CALL pipeline_table('tags');

CREATE TABLE record_tags (
    org_id    uuid NOT NULL,
    tag_id    uuid NOT NULL,
    object    text COLLATE "C" NOT NULL CHECK (object IN ('account', 'contact', 'deal')),
    record_id uuid NOT NULL,
    PRIMARY KEY (org_id, tag_id, object, record_id),
    CONSTRAINT record_tags_tag FOREIGN KEY (org_id, tag_id) REFERENCES tags (org_id, id) ON DELETE CASCADE
);
CREATE INDEX record_tags_by_record ON record_tags (org_id, record_id);
CALL tenant_table('record_tags');
CALL pipeline_table('record_tags');

-- Fields of an organization's own: definitions as data.
CREATE TABLE custom_fields (
    org_id           uuid        NOT NULL,
    id               uuid        NOT NULL,
    object           text        COLLATE "C" NOT NULL CHECK (object IN ('account', 'contact', 'deal')),
    key              text        COLLATE "C" NOT NULL,
    label            text        NOT NULL,
    type             text        COLLATE "C" NOT NULL,
    required         boolean     NOT NULL,
    is_unique        boolean     NOT NULL,
    pattern          text,
    options          text[]      NOT NULL,
    reference_object text        COLLATE "C",
    default_value    jsonb,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          bigint      NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX custom_fields_by_key ON custom_fields (org_id, object, key);
CREATE INDEX custom_fields_by_plain_key ON custom_fields (org_id, key, id);
CREATE INDEX custom_fields_by_created ON custom_fields (org_id, created_at, id);
CALL tenant_table('custom_fields');
CALL pipeline_table('custom_fields');

-- The values once more, for filters, sorts and uniqueness: `key` orders as the values do. A list has a row for each
-- element. The values that are read stand in the records.
CREATE TABLE custom_values (
    org_id    uuid    NOT NULL,
    field_id  uuid    NOT NULL,
    record_id uuid    NOT NULL,
    key       text    COLLATE "C" NOT NULL,
    is_unique boolean NOT NULL,
    PRIMARY KEY (org_id, field_id, record_id, key),
    CONSTRAINT custom_values_field FOREIGN KEY (org_id, field_id) REFERENCES custom_fields (org_id, id) ON DELETE CASCADE
);
CREATE INDEX custom_values_by_key ON custom_values (org_id, field_id, key, record_id);
CREATE UNIQUE INDEX custom_values_unique ON custom_values (org_id, field_id, key) WHERE is_unique;
CREATE INDEX custom_values_by_record ON custom_values (org_id, record_id);
CALL tenant_table('custom_values');
CALL pipeline_table('custom_values');
