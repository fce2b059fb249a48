-- Accounts: what is recorded about companies.
--
-- A row comes to be with the first event that names the account, in whatever order events arrive: a score or a contact
-- can precede `account.discovered`. Until the discovery `recorded` is false and no reader sees the row; it only holds
-- what is known already. Nothing refers to accounts by foreign key for the same reason.

CREATE TABLE accounts (
    org_id           uuid        NOT NULL,
    id               uuid        NOT NULL,
    recorded         boolean     NOT NULL DEFAULT false,
    name             text        NOT NULL DEFAULT '',
    -- What lists sort by: the name in lower case, cut to 64 characters, so that cursors stay short.
    name_key         text        COLLATE "C" NOT NULL DEFAULT '',
    domain           text,
    github_org       text,
    employees        bigint,
    industry         text,
    country          text,
    funding_stage    text,
    -- Provenance: the fields that a person set. What is learnt later leaves them alone.
    edited_fields    text[]      NOT NULL DEFAULT '{}',
    -- The newest `account.discovered` and `account.score_changed` that were applied; -1 before the first.
    learnt_revision  bigint      NOT NULL DEFAULT -1,
    score_revision   bigint      NOT NULL DEFAULT -1,
    score            smallint    CHECK (score BETWEEN 0 AND 100),
    -- What lists sort by, falling and rising: accounts without a score come last both ways.
    score_down       bigint      NOT NULL GENERATED ALWAYS AS (coalesce(score, -1)) STORED,
    score_up         bigint      NOT NULL GENERATED ALWAYS AS (coalesce(score, 101)) STORED,
    -- Numbers of devsignal.scores.v1.Tier and Trend; 0 until scored.
    tier             smallint    NOT NULL DEFAULT 0 CHECK (tier BETWEEN 0 AND 4),
    trend            smallint    NOT NULL DEFAULT 0 CHECK (trend BETWEEN 0 AND 3),
    scored_at        timestamptz,
    -- Recorded contacts with this account_id, kept in the transactions that change them.
    contact_count    bigint      NOT NULL DEFAULT 0 CHECK (contact_count >= 0),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id),
    CHECK ((score IS NULL) = (scored_at IS NULL) AND (score IS NULL) = (tier = 0) AND (score IS NULL) = (trend = 0))
) WITH (fillfactor = 85);

CALL tenant_table('accounts');
CALL pipeline_table('accounts');

-- Every sort alone, and every filter with every sort: a page costs the same wherever it lies in the list, also when the
-- filter and the sort are correlated (`filter[tier]=INACTIVE&sort=-score`). Only scored accounts have a tier or a trend,
-- so `score_down` serves both directions there.
CREATE INDEX accounts_by_score ON accounts (org_id, score_down, id) WHERE recorded;
CREATE INDEX accounts_by_score_up ON accounts (org_id, score_up, id) WHERE recorded;
CREATE INDEX accounts_by_name ON accounts (org_id, name_key, id) WHERE recorded;
CREATE INDEX accounts_by_created ON accounts (org_id, created_at, id) WHERE recorded;
CREATE INDEX accounts_by_tier_score ON accounts (org_id, tier, score_down, id) WHERE recorded;
CREATE INDEX accounts_by_tier_name ON accounts (org_id, tier, name_key, id) WHERE recorded;
CREATE INDEX accounts_by_tier_created ON accounts (org_id, tier, created_at, id) WHERE recorded;
CREATE INDEX accounts_by_trend_score ON accounts (org_id, trend, score_down, id) WHERE recorded;
CREATE INDEX accounts_by_trend_name ON accounts (org_id, trend, name_key, id) WHERE recorded;
CREATE INDEX accounts_by_trend_created ON accounts (org_id, trend, created_at, id) WHERE recorded;
CREATE INDEX accounts_by_country_score ON accounts (org_id, country, score_down, id) WHERE recorded;
CREATE INDEX accounts_by_country_score_up ON accounts (org_id, country, score_up, id) WHERE recorded;
CREATE INDEX accounts_by_country_name ON accounts (org_id, country, name_key, id) WHERE recorded;
CREATE INDEX accounts_by_country_created ON accounts (org_id, country, created_at, id) WHERE recorded;
CREATE INDEX accounts_by_industry_score ON accounts (org_id, industry, score_down, id) WHERE recorded;
CREATE INDEX accounts_by_industry_score_up ON accounts (org_id, industry, score_up, id) WHERE recorded;
CREATE INDEX accounts_by_industry_name ON accounts (org_id, industry, name_key, id) WHERE recorded;
CREATE INDEX accounts_by_industry_created ON accounts (org_id, industry, created_at, id) WHERE recorded;
-- A domain has one account, rarely two: the few rows are sorted after the look-up.
CREATE INDEX accounts_by_domain ON accounts (org_id, domain) WHERE recorded;
