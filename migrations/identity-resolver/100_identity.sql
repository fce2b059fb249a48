-- Which identities are one person, which traces are one company.
--
-- All tables are the workers' (`pipeline_table`): one unit of work serves one organization, which every statement names.

-- One row per organization, for two things. Its lock: whoever is about to decide something new for the organization holds
-- it, so that decisions of all replicas have one order. Its number: counts up when rows that a replica may hold in memory
-- are changed; the changed rows bear the number (`epoch`), so that a replica that is behind finds them.
CREATE TABLE org_epochs (
    org_id uuid   PRIMARY KEY,
    epoch  bigint NOT NULL DEFAULT 0
);
CALL tenant_table('org_epochs');
CALL pipeline_table('org_epochs');

CREATE TABLE accounts (
    org_id           uuid        NOT NULL,
    id               uuid        NOT NULL,
    -- Number of the last `account.discovered`.
    revision         bigint      NOT NULL,
    -- Each value with the time of the signal that stated it: the latest statement wins.
    name             text,
    name_at          timestamptz,
    employees        bigint,
    employees_at     timestamptz,
    industry         text,
    industry_at      timestamptz,
    country          text,
    country_at       timestamptz,
    funding_stage    text,
    funding_stage_at timestamptz,
    first_seen_at    timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    epoch            bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX accounts_revised ON accounts (org_id, epoch) WHERE epoch > 0;
CALL tenant_table('accounts');
CALL pipeline_table('accounts');

-- What leads to an account.
CREATE TABLE account_keys (
    org_id     uuid        NOT NULL,
    type       text        COLLATE "C" NOT NULL CHECK (type IN ('domain', 'github_org', 'name')),
    value      text        COLLATE "C" NOT NULL,
    account_id uuid        NOT NULL,
    -- Its place among the account's keys: the first domain is the domain.
    position   integer     NOT NULL,
    -- A name that another company bears too leads nowhere any more.
    ambiguous  boolean     NOT NULL DEFAULT false,
    rule       text        NOT NULL,
    evidence   text        NOT NULL,
    confidence real        NOT NULL,
    signal_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, type, value),
    CONSTRAINT account_keys_account FOREIGN KEY (org_id, account_id) REFERENCES accounts (org_id, id)
);
CREATE INDEX account_keys_by_account ON account_keys (org_id, account_id, position);
-- One domain is one company.
CREATE UNIQUE INDEX account_keys_one_domain ON account_keys (org_id, account_id) WHERE type = 'domain';
CALL tenant_table('account_keys');
CALL pipeline_table('account_keys');

-- Persons and anonymous profiles.
CREATE TABLE actors (
    org_id           uuid        NOT NULL,
    id               uuid        NOT NULL,
    kind             text        COLLATE "C" NOT NULL CHECK (kind IN ('person', 'anonymous')),
    -- Number of the last `contact.identified`.
    revision         bigint      NOT NULL,
    -- The person it turned out to be; then the rest of the row is history.
    merged_into      uuid,
    account_id       uuid,
    account_rule     text,
    account_evidence text,
    name             text,
    name_at          timestamptz,
    title            text,
    title_at         timestamptz,
    company          text,
    company_at       timestamptz,
    avatar_url       text,
    avatar_url_at    timestamptz,
    -- The earliest and the latest signal that told something about the actor.
    first_seen_at    timestamptz NOT NULL,
    last_seen_at     timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    epoch            bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id),
    CONSTRAINT actors_account_whole CHECK (num_nulls(account_id, account_rule, account_evidence) IN (0, 3)),
    CONSTRAINT actors_not_into_itself CHECK (merged_into IS NULL OR merged_into <> id),
    CONSTRAINT actors_account FOREIGN KEY (org_id, account_id) REFERENCES accounts (org_id, id),
    CONSTRAINT actors_merged_into FOREIGN KEY (org_id, merged_into) REFERENCES actors (org_id, id)
);
CREATE INDEX actors_revised ON actors (org_id, epoch) WHERE epoch > 0;
CALL tenant_table('actors');
CALL pipeline_table('actors');

-- What leads to an actor; never to one that was merged into another.
CREATE TABLE identities (
    org_id     uuid        NOT NULL,
    type       text        COLLATE "C" NOT NULL CHECK (type IN
                   ('email', 'user_id', 'github', 'npm', 'pypi', 'linkedin', 'twitter', 'phone', 'anonymous')),
    value      text        COLLATE "C" NOT NULL,
    actor_id   uuid        NOT NULL,
    -- Whether a provider vouches for it, rather than a client stating it.
    verified   boolean     NOT NULL DEFAULT false,
    confidence real        NOT NULL,
    rule       text        NOT NULL,
    evidence   text        NOT NULL,
    -- The signal that told.
    signal_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, type, value),
    CONSTRAINT identities_actor FOREIGN KEY (org_id, actor_id) REFERENCES actors (org_id, id)
);
CREATE INDEX identities_by_actor ON identities (org_id, actor_id);
CALL tenant_table('identities');
CALL pipeline_table('identities');

-- The lineage: what was decided about whom, and why. Rows are only added.
CREATE TABLE decisions (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    kind       text        COLLATE "C" NOT NULL,
    -- The actor or account.
    subject_id uuid        NOT NULL,
    -- The second one, where there is one.
    other_id   uuid,
    rule       text        NOT NULL,
    evidence   text        NOT NULL,
    confidence real        NOT NULL,
    signal_id  uuid        NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
-- Who is kept apart from whom, so that it is decided once.
CREATE INDEX decisions_kept_apart ON decisions (org_id, subject_id, other_id) WHERE kind = 'kept_apart';
CALL tenant_table('decisions');
CALL pipeline_table('decisions');
