-- A table as services have them: listed, filtered, sorted.
CREATE TABLE things (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    tier       text        NOT NULL DEFAULT 'COLD',
    score      bigint,
    weight     float8      NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    CONSTRAINT things_name_unique UNIQUE (org_id, name),
    CONSTRAINT things_score_positive CHECK (score >= 0)
);
CREATE INDEX things_created ON things (org_id, created_at, id);
CREATE INDEX things_score ON things (org_id, score NULLS FIRST, id);
CREATE INDEX things_weight ON things (org_id, weight, id);
CREATE INDEX things_by_name ON things (org_id, name, id);
CALL tenant_table('things');

CREATE TABLE parts (
    org_id   uuid NOT NULL,
    id       uuid NOT NULL,
    thing_id uuid NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT parts_thing FOREIGN KEY (org_id, thing_id) REFERENCES things (org_id, id)
);
CALL tenant_table('parts');

-- A table partitioned by time that workers write for all organizations.
CREATE TABLE readings (
    org_id uuid NOT NULL,
    id     uuid NOT NULL,
    note   text NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CALL partitioned_table('readings');
CALL tenant_table('readings');
CALL pipeline_table('readings');
