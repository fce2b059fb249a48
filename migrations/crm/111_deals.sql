-- Pipelines, their stages, and the deals that go through them.

CREATE TABLE pipelines (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    name_key   text        COLLATE "C" NOT NULL,
    is_default boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX pipelines_by_name ON pipelines (org_id, name_key);
CREATE UNIQUE INDEX pipelines_one_default ON pipelines (org_id) WHERE is_default;
CREATE INDEX pipelines_by_created ON pipelines (org_id, created_at, id);
CALL tenant_table('pipelines');
CALL pipeline_table('pipelines');

CREATE TABLE stages (
    org_id      uuid     NOT NULL,
    id          uuid     NOT NULL,
    pipeline_id uuid     NOT NULL,
    key         text     COLLATE "C" NOT NULL,
    name        text     NOT NULL,
    position    int      NOT NULL,
    -- 1 open, 2 won, 3 lost
    kind        smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),
    -- The milestone of an account that moves its deals here: 1 identified, 2 activated, 3 team_adoption,
    -- 4 expansion_signal; 0 none.
    milestone   smallint NOT NULL CHECK (milestone BETWEEN 0 AND 4),
    PRIMARY KEY (org_id, id),
    CONSTRAINT stages_key UNIQUE (org_id, pipeline_id, key),
    CONSTRAINT stages_pipeline FOREIGN KEY (org_id, pipeline_id) REFERENCES pipelines (org_id, id) ON DELETE CASCADE
);
CALL tenant_table('stages');
CALL pipeline_table('stages');

CREATE TABLE deals (
    org_id            uuid        NOT NULL,
    id                uuid        NOT NULL,
    name              text        NOT NULL,
    name_key          text        COLLATE "C" NOT NULL,
    -- No foreign key: accounts have none, see there. It is checked when it is set.
    account_id        uuid,
    pipeline_id       uuid        NOT NULL,
    stage_id          uuid        NOT NULL,
    -- Those of the stage, for lists: its kind.
    status            smallint    NOT NULL CHECK (status BETWEEN 1 AND 3),
    amount_currency   char(3),
    amount_units      bigint,
    amount_nanos      int,
    owner_id          uuid,
    expected_close_on text        COLLATE "C",
    close_reason      text,
    closed_at         timestamptz,
    stage_since       timestamptz NOT NULL,
    tags              text[]      NOT NULL DEFAULT '{}',
    custom            jsonb       NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    version           bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT deals_pipeline FOREIGN KEY (org_id, pipeline_id) REFERENCES pipelines (org_id, id),
    CONSTRAINT deals_stage FOREIGN KEY (org_id, stage_id) REFERENCES stages (org_id, id),
    CONSTRAINT deals_amount_whole CHECK (num_nulls(amount_currency, amount_units, amount_nanos) IN (0, 3)),
    CONSTRAINT deals_closed CHECK ((status = 1) = (closed_at IS NULL))
);
CREATE INDEX deals_by_created ON deals (org_id, created_at, id);
CREATE INDEX deals_by_updated ON deals (org_id, updated_at, id);
CREATE INDEX deals_by_name ON deals (org_id, name_key, id);
CREATE INDEX deals_by_amount ON deals (org_id, amount_units NULLS FIRST, id);
CREATE INDEX deals_by_expected ON deals (org_id, expected_close_on NULLS FIRST, id);
CREATE INDEX deals_by_account ON deals (org_id, account_id, created_at, id);
CREATE INDEX deals_by_owner ON deals (org_id, owner_id, created_at, id);
CREATE INDEX deals_by_status ON deals (org_id, status, created_at, id);
CREATE INDEX deals_by_pipeline ON deals (org_id, pipeline_id, created_at, id);
CREATE INDEX deals_by_stage ON deals (org_id, stage_id, created_at, id);
CALL tenant_table('deals');
CALL pipeline_table('deals');

CREATE TABLE deal_contacts (
    org_id     uuid NOT NULL,
    deal_id    uuid NOT NULL,
    contact_id uuid NOT NULL,
    position   int  NOT NULL,
    PRIMARY KEY (org_id, deal_id, contact_id),
    CONSTRAINT deal_contacts_deal FOREIGN KEY (org_id, deal_id) REFERENCES deals (org_id, id) ON DELETE CASCADE
);
CREATE INDEX deal_contacts_by_contact ON deal_contacts (org_id, contact_id, deal_id);
CALL tenant_table('deal_contacts');
CALL pipeline_table('deal_contacts');

-- The stage history. Stages by their keys too: a pipeline can be changed afterwards.
CREATE TABLE deal_moves (
    org_id       uuid        NOT NULL,
    deal_id      uuid        NOT NULL,
    moved_at     timestamptz NOT NULL,
    id           uuid        NOT NULL,
    from_stage   text        NOT NULL,
    to_stage     text        NOT NULL,
    moved_by     text        NOT NULL,
    reason       text        NOT NULL,
    -- The account whose signals of the 90 days before influenced the move.
    account_id   uuid,
    PRIMARY KEY (org_id, deal_id, moved_at, id),
    CONSTRAINT deal_moves_deal FOREIGN KEY (org_id, deal_id) REFERENCES deals (org_id, id) ON DELETE CASCADE
);
CALL tenant_table('deal_moves');
CALL pipeline_table('deal_moves');

-- What accounts have reached, and what showed it. Each once: it moves the account's deals when it is reached.
CREATE TABLE account_milestones (
    org_id     uuid        NOT NULL,
    account_id uuid        NOT NULL,
    milestone  smallint    NOT NULL CHECK (milestone BETWEEN 1 AND 4),
    reached_at timestamptz NOT NULL,
    reason     text        NOT NULL,
    PRIMARY KEY (org_id, account_id, milestone)
);
CALL tenant_table('account_milestones');
CALL pipeline_table('account_milestones');
