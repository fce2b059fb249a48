-- Tasks, activities, notes, and the timeline that they, and the moves of deals, stand in.
--
-- `account_id` and `contact_id` are no foreign keys: accounts and contacts have none, see there.

CREATE TABLE tasks (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    title      text        NOT NULL,
    body       text,
    due_at     timestamptz,
    assignee_id uuid,
    completed_at timestamptz,
    -- Follows from completed_at, for lists.
    is_done    boolean     NOT NULL GENERATED ALWAYS AS (completed_at IS NOT NULL) STORED,
    account_id uuid,
    contact_id uuid,
    deal_id    uuid,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT tasks_deal FOREIGN KEY (org_id, deal_id) REFERENCES deals (org_id, id) ON DELETE CASCADE
);
CREATE INDEX tasks_by_created ON tasks (org_id, created_at, id);
CREATE INDEX tasks_by_due ON tasks (org_id, due_at NULLS FIRST, id);
CREATE INDEX tasks_by_state_due ON tasks (org_id, is_done, due_at NULLS FIRST, id);
CREATE INDEX tasks_by_state_created ON tasks (org_id, is_done, created_at, id);
CREATE INDEX tasks_by_assignee_due ON tasks (org_id, assignee_id, due_at NULLS FIRST, id);
CREATE INDEX tasks_by_assignee_created ON tasks (org_id, assignee_id, created_at, id);
CREATE INDEX tasks_by_account ON tasks (org_id, account_id, created_at, id) WHERE account_id IS NOT NULL;
CREATE INDEX tasks_by_contact ON tasks (org_id, contact_id, created_at, id) WHERE contact_id IS NOT NULL;
CREATE INDEX tasks_by_deal ON tasks (org_id, deal_id, created_at, id) WHERE deal_id IS NOT NULL;
CALL tenant_table('tasks');
CALL pipeline_table('tasks');

CREATE TABLE activities (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    type       text        COLLATE "C" NOT NULL,
    subject    text        NOT NULL,
    body       text,
    occurred_at timestamptz NOT NULL,
    duration_minutes int,
    direction  text,
    owner_id   uuid,
    account_id uuid,
    contact_id uuid,
    deal_id    uuid,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT activities_deal FOREIGN KEY (org_id, deal_id) REFERENCES deals (org_id, id) ON DELETE CASCADE
);
CREATE INDEX activities_by_occurred ON activities (org_id, occurred_at, id);
CREATE INDEX activities_by_created ON activities (org_id, created_at, id);
CREATE INDEX activities_by_type ON activities (org_id, type, occurred_at, id);
CREATE INDEX activities_by_owner ON activities (org_id, owner_id, occurred_at, id);
CREATE INDEX activities_by_account ON activities (org_id, account_id, occurred_at, id) WHERE account_id IS NOT NULL;
CREATE INDEX activities_by_contact ON activities (org_id, contact_id, occurred_at, id) WHERE contact_id IS NOT NULL;
CREATE INDEX activities_by_deal ON activities (org_id, deal_id, occurred_at, id) WHERE deal_id IS NOT NULL;
CALL tenant_table('activities');
CALL pipeline_table('activities');

CREATE TABLE notes (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    body       text        NOT NULL,
    account_id uuid,
    contact_id uuid,
    deal_id    uuid,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT notes_deal FOREIGN KEY (org_id, deal_id) REFERENCES deals (org_id, id) ON DELETE CASCADE
);
CREATE INDEX notes_by_created ON notes (org_id, created_at, id);
CREATE INDEX notes_by_account ON notes (org_id, account_id, created_at, id) WHERE account_id IS NOT NULL;
CREATE INDEX notes_by_contact ON notes (org_id, contact_id, created_at, id) WHERE contact_id IS NOT NULL;
CREATE INDEX notes_by_deal ON notes (org_id, deal_id, created_at, id) WHERE deal_id IS NOT NULL;
CALL tenant_table('notes');
CALL pipeline_table('notes');

-- One row for each record that an entry is about. `record_id` is what the entry shows: it is written anew when that changes.
CREATE TABLE timeline_entries (
    org_id     uuid        NOT NULL,
    -- An account, a contact or a deal.
    about      uuid        NOT NULL,
    at         timestamptz NOT NULL,
    id         uuid        NOT NULL,
    kind       text        COLLATE "C" NOT NULL,
    title      text        NOT NULL,
    contact_id uuid,
    data       jsonb       NOT NULL,
    record_id  uuid        NOT NULL,
    PRIMARY KEY (org_id, about, at, id)
);
CREATE INDEX timeline_entries_by_record ON timeline_entries (org_id, record_id);
CALL tenant_table('timeline_entries');
CALL pipeline_table('timeline_entries');

-- What is kept of moves of scores is bounded in time; this finds what is too old.
CREATE INDEX score_changes_by_time ON score_changes USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
