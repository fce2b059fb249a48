-- Roll-ups: recorded signals added up, and what else is known of accounts and actors. All of it can be built again from
-- the events; the order in which they arrive makes no difference.
--
-- The nil UUID stands for an account or an actor that is not known (yet): rows can follow later.

-- One row per account, day (UTC), actor and what was done. The sum of `signals` of an organization is the number of its
-- recorded signals. The day comes before the actor, because scores read the last days of an account.
-- Only columns outside of all indexes change, and pages have room, so that adding is a heap-only update.
CREATE TABLE activity (
    org_id         uuid        NOT NULL,
    account_id     uuid        NOT NULL,
    day            date        NOT NULL,
    actor_id       uuid        NOT NULL,
    type           text        COLLATE "C" NOT NULL,
    -- The feature used, when it is another than the type; else empty.
    feature        text        COLLATE "C" NOT NULL,
    -- The competitor it is about; else empty.
    competitor     text        COLLATE "C" NOT NULL,
    signals        bigint      NOT NULL CHECK (signals > 0),
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    last_signal_id uuid        NOT NULL,
    PRIMARY KEY (org_id, account_id, day, actor_id, type, feature, competitor)
) WITH (fillfactor = 75);
CREATE INDEX activity_by_actor ON activity (org_id, actor_id, account_id);
CALL tenant_table('activity');
CALL pipeline_table('activity');

-- Usage against a limit: the highest reading of a metric per account, day and actor.
CREATE TABLE usage_readings (
    org_id      uuid             NOT NULL,
    account_id  uuid             NOT NULL,
    day         date             NOT NULL,
    actor_id    uuid             NOT NULL,
    metric      text             COLLATE "C" NOT NULL,
    used        double precision NOT NULL CHECK (used >= 0),
    limit_value double precision NOT NULL CHECK (limit_value > 0),
    read_at     timestamptz      NOT NULL,
    signal_id   uuid             NOT NULL,
    PRIMARY KEY (org_id, account_id, day, actor_id, metric)
) WITH (fillfactor = 75);
CREATE INDEX usage_readings_by_actor ON usage_readings (org_id, actor_id, account_id);
CALL tenant_table('usage_readings');
CALL pipeline_table('usage_readings');

-- Job titles: what `contact.identified` told (its highest revision counts) goes before what signals stated (the newest
-- counts).
CREATE TABLE titles (
    org_id           uuid   NOT NULL,
    actor_id         uuid   NOT NULL,
    told_title       text,
    told_revision    bigint NOT NULL DEFAULT -1,
    stated_title     text,
    stated_at        timestamptz,
    stated_signal_id uuid,
    PRIMARY KEY (org_id, actor_id),
    CHECK ((stated_title IS NULL) = (stated_at IS NULL) AND (stated_title IS NULL) = (stated_signal_id IS NULL))
) WITH (fillfactor = 75);
CALL tenant_table('titles');
CALL pipeline_table('titles');

-- What is known of companies, per source: learnt (`account.discovered`) or recorded (crm, edits included). The highest
-- revision of each source counts; field by field, what is recorded goes before what is learnt.
CREATE TABLE firmographics (
    org_id        uuid   NOT NULL,
    account_id    uuid   NOT NULL,
    source        text   NOT NULL CHECK (source IN ('discovered', 'recorded')),
    revision      bigint NOT NULL,
    employees     bigint,
    industry      text,
    country       text,
    funding_stage text,
    PRIMARY KEY (org_id, account_id, source)
);
CALL tenant_table('firmographics');
CALL pipeline_table('firmographics');

-- Actors that turned out to be a known person. Batches that were resolved before and arrive after are corrected by it.
CREATE TABLE actor_aliases (
    org_id     uuid        NOT NULL,
    actor_id   uuid        NOT NULL,
    contact_id uuid        NOT NULL CHECK (contact_id <> actor_id),
    -- Where the actor's signals without account belong, if it is known.
    account_id uuid,
    merged_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, actor_id)
);
CREATE INDEX actor_aliases_by_contact ON actor_aliases (org_id, contact_id);
CALL tenant_table('actor_aliases');
CALL pipeline_table('actor_aliases');

-- Companies of known persons: where their signals without account belong.
CREATE TABLE actor_accounts (
    org_id     uuid        NOT NULL,
    actor_id   uuid        NOT NULL,
    account_id uuid        NOT NULL,
    linked_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, actor_id)
);
CALL tenant_table('actor_accounts');
CALL pipeline_table('actor_accounts');
