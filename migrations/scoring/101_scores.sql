-- Scores, their history, the models they are computed by, and when each account is to be scored next.

-- One row per known account. `dirty`: something happened since the last score. `lease`: a worker is computing;
-- `due_at` is then when others may take over. `again`: something happened while it did. Null `due_at`: nothing to do.
CREATE TABLE schedule (
    org_id     uuid        NOT NULL,
    account_id uuid        NOT NULL,
    dirty      boolean     NOT NULL,
    again      boolean     NOT NULL DEFAULT false,
    due_at     timestamptz,
    -- Not to be scored again before, however much happens.
    not_before timestamptz,
    lease      uuid,
    PRIMARY KEY (org_id, account_id),
    CHECK (due_at IS NOT NULL OR NOT dirty),
    CHECK (lease IS NOT NULL OR NOT again)
) WITH (fillfactor = 60);
-- What happened goes before what only grew old, so that a long downtime's ageing does not keep the living waiting.
CREATE INDEX schedule_dirty ON schedule (due_at) WHERE dirty;
CREATE INDEX schedule_ageing ON schedule (due_at) WHERE NOT dirty AND due_at IS NOT NULL;
CALL tenant_table('schedule');
CALL pipeline_table('schedule');

CREATE TABLE scores (
    org_id      uuid        NOT NULL,
    account_id  uuid        NOT NULL,
    score       smallint    NOT NULL CHECK (score BETWEEN 0 AND 100),
    -- Numbers of devsignal.scores.v1.Tier and Trend.
    tier        smallint    NOT NULL CHECK (tier BETWEEN 1 AND 4),
    trend       smallint    NOT NULL CHECK (trend BETWEEN 1 AND 3),
    -- The highest used share of a limit; its upward crossing of a threshold is told.
    limit_ratio double precision,
    -- Counts the events about this account.
    revision    bigint      NOT NULL,
    -- Counts the writes: of two workers that read the same version, one writes.
    version     bigint      NOT NULL,
    computed_at timestamptz NOT NULL,
    model       text        NOT NULL,
    -- devsignal.scores.v1.AccountScore as it was told, with factors and evidence.
    detail      bytea       NOT NULL,
    PRIMARY KEY (org_id, account_id)
) WITH (fillfactor = 70);
ALTER TABLE scores ALTER COLUMN detail SET STORAGE EXTERNAL;
CALL tenant_table('scores');
CALL pipeline_table('scores');

-- One row per change of score, tier or trend. Old rows are deleted by a background task.
CREATE TABLE score_history (
    org_id      uuid        NOT NULL,
    account_id  uuid        NOT NULL,
    computed_at timestamptz NOT NULL,
    revision    bigint      NOT NULL,
    score       smallint    NOT NULL,
    tier        smallint    NOT NULL,
    trend       smallint    NOT NULL,
    -- Points of the factors, in the model's order.
    points      smallint[]  NOT NULL,
    model       text        NOT NULL,
    PRIMARY KEY (org_id, account_id, computed_at, revision)
);
CREATE INDEX score_history_age ON score_history USING brin (computed_at) WITH (pages_per_range = 32, autosummarize = on);
CALL tenant_table('score_history');
CALL pipeline_table('score_history');

-- Scoring models of organizations that do not use the built-in one. A version never changes.
CREATE TABLE models (
    org_id     uuid        NOT NULL,
    name       text        NOT NULL,
    version    bigint      NOT NULL,
    document   text        NOT NULL,
    active     boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, name, version)
);
CREATE UNIQUE INDEX models_active ON models (org_id) WHERE active;
CALL tenant_table('models');
CALL pipeline_table('models');
