-- Imports: files that become records, and all that is needed to report and to undo that.
--
-- A file is kept once, in chunks of rows, as CSV in UTF-8 and compressed: so any page of rows is one look, and a commit goes on
-- at any chunk. What became of the rows stands in `import_results`, many rows each: a row of a table per row of a file would
-- cost as much as the contacts themselves.

CREATE TABLE imports (
    org_id      uuid        NOT NULL,
    id          uuid        NOT NULL,
    object      text        COLLATE "C" NOT NULL CHECK (object IN ('account', 'contact', 'deal')),
    state       text        COLLATE "C" NOT NULL CHECK (state IN
        ('uploading', 'uploaded', 'committing', 'committed', 'cancelled', 'undoing', 'undone', 'failed')),
    layout      text        COLLATE "C" NOT NULL DEFAULT 'unknown',
    encoding    text        NOT NULL DEFAULT '',
    separator   text        NOT NULL DEFAULT '',
    file_name   text,
    bytes       bigint      NOT NULL DEFAULT 0,
    rows        bigint      NOT NULL DEFAULT 0,
    chunks      int         NOT NULL DEFAULT 0,
    columns     jsonb       NOT NULL DEFAULT '[]',
    options     jsonb       NOT NULL DEFAULT '{}',
    -- Chunks that are done, when committing; chunks that are left, when undoing.
    chunks_done int         NOT NULL DEFAULT 0,
    rows_done   bigint      NOT NULL DEFAULT 0,
    failure     text,
    -- Who works on it: of two who think so, the one with the newer epoch is right.
    epoch       bigint      NOT NULL DEFAULT 0,
    leased_until timestamptz,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    version     bigint      NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX imports_by_created ON imports (org_id, created_at, id);
-- What there is to do, for the workers of all organizations.
CREATE INDEX imports_to_do ON imports (leased_until, id) WHERE state IN ('committing', 'undoing');
-- Uploads that were given up.
CREATE INDEX imports_uploading ON imports (created_at, id) WHERE state = 'uploading';
CALL tenant_table('imports');
CALL pipeline_table('imports');

-- The file as it came, while it is being taken in.
CREATE TABLE import_parts (
    org_id    uuid  NOT NULL,
    import_id uuid  NOT NULL,
    part      int   NOT NULL,
    content   bytea NOT NULL,
    PRIMARY KEY (org_id, import_id, part),
    CONSTRAINT import_parts_import FOREIGN KEY (org_id, import_id) REFERENCES imports (org_id, id) ON DELETE CASCADE
);
ALTER TABLE import_parts ALTER COLUMN content SET STORAGE EXTERNAL;
CALL tenant_table('import_parts');
CALL pipeline_table('import_parts');

CREATE TABLE import_chunks (
    org_id    uuid  NOT NULL,
    import_id uuid  NOT NULL,
    chunk     int   NOT NULL,
    -- Number of its first row, from 1.
    first_row bigint NOT NULL,
    rows      int   NOT NULL,
    content   bytea NOT NULL,
    PRIMARY KEY (org_id, import_id, chunk),
    CONSTRAINT import_chunks_import FOREIGN KEY (org_id, import_id) REFERENCES imports (org_id, id) ON DELETE CASCADE
);
ALTER TABLE import_chunks ALTER COLUMN content SET STORAGE EXTERNAL;
CALL tenant_table('import_chunks');
CALL pipeline_table('import_chunks');

-- What became of the rows of one transaction: a lane of a chunk. Written in that transaction, so that it also tells that the lane
-- is done.
CREATE TABLE import_results (
    org_id    uuid     NOT NULL,
    import_id uuid     NOT NULL,
    chunk     int      NOT NULL,
    lane      smallint NOT NULL,
    -- Rows by outcome: created, updated, noop, ambiguous, error.
    counts    int[]    NOT NULL CHECK (cardinality(counts) = 5),
    content   bytea    NOT NULL,
    -- Tags that were made, to be taken back when nobody else uses them.
    made_tags uuid[]   NOT NULL DEFAULT '{}',
    -- Rows that were undone, and that were not.
    undo_counts  int[] CHECK (cardinality(undo_counts) = 2),
    undo_content bytea,
    PRIMARY KEY (org_id, import_id, chunk, lane),
    CONSTRAINT import_results_import FOREIGN KEY (org_id, import_id) REFERENCES imports (org_id, id) ON DELETE CASCADE
);
ALTER TABLE import_results ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE import_results ALTER COLUMN undo_content SET STORAGE EXTERNAL;
CALL tenant_table('import_results');
CALL pipeline_table('import_results');
