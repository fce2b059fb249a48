-- Custom objects: kinds of records whose fields are data, their records, and what these are filtered, sorted and unique by.

CREATE TABLE objects (
    org_id         uuid        NOT NULL,
    id             uuid        NOT NULL,
    key            text        COLLATE "C" NOT NULL,
    label          text        NOT NULL,
    description    text,
    -- As in object_schemas, at the newest version.
    fields         jsonb       NOT NULL,
    schema_version bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    version        bigint      NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX objects_by_key ON objects (org_id, key);
CREATE INDEX objects_by_plain_key ON objects (org_id, key, id);
CREATE INDEX objects_by_created ON objects (org_id, created_at, id);
CALL tenant_table('objects');
CALL pipeline_table('objects');

-- Every version of the fields.
CREATE TABLE object_schemas (
    org_id         uuid        NOT NULL,
    object_id      uuid        NOT NULL,
    schema_version bigint      NOT NULL,
    fields         jsonb       NOT NULL,
    verdict        text        NOT NULL,
    changed_by     text        NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, object_id, schema_version),
    CONSTRAINT object_schemas_object FOREIGN KEY (org_id, object_id) REFERENCES objects (org_id, id) ON DELETE CASCADE
);
CALL tenant_table('object_schemas');
CALL pipeline_table('object_schemas');

CREATE TABLE object_records (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    object_id  uuid        NOT NULL,
    data       jsonb       NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    -- No cascade: an object goes only when it has no records.
    CONSTRAINT object_records_object FOREIGN KEY (org_id, object_id) REFERENCES objects (org_id, id)
);
CREATE INDEX object_records_by_created ON object_records (org_id, object_id, created_at, id);
CREATE INDEX object_records_by_updated ON object_records (org_id, object_id, updated_at, id);
CREATE INDEX object_records_by_id ON object_records (org_id, object_id, id);
CALL tenant_table('object_records');
CALL pipeline_table('object_records');

-- The values once more, one row each (of a list one for each element): `key` orders as the values do. A field's id is in the
-- fields of the object and never used again.
CREATE TABLE object_values (
    org_id    uuid    NOT NULL,
    field_id  uuid    NOT NULL,
    record_id uuid    NOT NULL,
    key       text    COLLATE "C" NOT NULL,
    is_unique boolean NOT NULL,
    PRIMARY KEY (org_id, field_id, record_id, key),
    CONSTRAINT object_values_record FOREIGN KEY (org_id, record_id) REFERENCES object_records (org_id, id) ON DELETE CASCADE
);
CREATE INDEX object_values_by_key ON object_values (org_id, field_id, key, record_id);
CREATE UNIQUE INDEX object_values_unique ON object_values (org_id, field_id, key) WHERE is_unique;
CREATE INDEX object_values_by_record ON object_values (org_id, record_id);
CALL tenant_table('object_values');
CALL pipeline_table('object_values');
