-- Saved views: a filter, a sort and columns of a list, under a name; one's own, or everybody's.
--
-- They stand here and not at the gateway, because only crm knows what its lists can be filtered and sorted by, own fields included.

CREATE TABLE views (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    object     text        COLLATE "C" NOT NULL CHECK (object IN ('account', 'contact', 'deal')),
    name       text        NOT NULL,
    name_key   text        COLLATE "C" NOT NULL,
    shared     boolean     NOT NULL,
    -- `user:<id>` or `api_key:<id>`.
    created_by text        COLLATE "C" NOT NULL,
    filter     jsonb       NOT NULL,
    where_tree jsonb,
    sort       text,
    columns    text[]      NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT views_by_name UNIQUE (org_id, object, created_by, name_key)
);
CREATE INDEX views_by_created ON views (org_id, created_at, id);
CREATE INDEX views_by_key ON views (org_id, name_key, id);
CALL tenant_table('views');
