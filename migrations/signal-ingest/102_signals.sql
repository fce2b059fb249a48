-- Recorded signals: what was accepted, with what the identity-resolver decided.

CREATE TABLE signals (
    org_id             uuid        NOT NULL,
    id                 uuid        NOT NULL,
    occurred_at        timestamptz NOT NULL,
    received_at        timestamptz NOT NULL,
    batch_id           uuid        NOT NULL,
    source_id          uuid,
    actor_id           uuid,
    contact_id         uuid,
    account_id         uuid,
    type               text        COLLATE "C" NOT NULL,
    idempotency_key    text,
    anonymous_id       text        COLLATE "C",
    actor              jsonb,
    account            jsonb,
    metadata           jsonb,
    actor_resolution   jsonb,
    account_resolution jsonb,
    -- A known person's actor id is the contact id; whoever is not known has no contact id.
    CONSTRAINT signals_contact_is_actor CHECK (contact_id IS NULL OR contact_id = actor_id),
    PRIMARY KEY (org_id, id)
) PARTITION BY RANGE (id);
CALL partitioned_table('signals');
CALL tenant_table('signals');
CALL pipeline_table('signals');

-- Every list is sorted by time. Each index serves both directions; the partial ones cost only the rows that they hold.
CREATE INDEX signals_by_time ON signals (org_id, occurred_at DESC, id DESC);
CREATE INDEX signals_by_account ON signals (org_id, account_id, occurred_at DESC, id DESC) WHERE account_id IS NOT NULL;
-- Also finds what an identity change corrects, and a contact's signals (actor_id = contact_id).
CREATE INDEX signals_by_actor ON signals (org_id, actor_id, occurred_at DESC, id DESC) WHERE actor_id IS NOT NULL;
-- A rare type among millions (a sign-up, a pricing visit) must be as quick to list as a common one.
CREATE INDEX signals_by_type ON signals (org_id, type, occurred_at DESC, id DESC);
CREATE INDEX signals_by_source ON signals (org_id, source_id, occurred_at DESC, id DESC) WHERE source_id IS NOT NULL;
CREATE INDEX signals_by_visitor ON signals (org_id, anonymous_id, occurred_at DESC, id DESC)
    WHERE anonymous_id IS NOT NULL;

-- Actors that turned out to be somebody else. `contact_id` is always the last of a chain of merges: an alias never
-- points to another alias. Batches that were resolved before the merge are corrected by it when they are recorded.
-- `told_by` is the event (UUIDv7): a newer one about the same actor wins.
CREATE TABLE actor_aliases (
    org_id        uuid NOT NULL,
    from_actor_id uuid NOT NULL,
    contact_id    uuid NOT NULL,
    told_by       uuid NOT NULL,
    resolution    jsonb NOT NULL,
    PRIMARY KEY (org_id, from_actor_id),
    CONSTRAINT actor_aliases_not_itself CHECK (from_actor_id <> contact_id)
);
CREATE INDEX actor_aliases_by_contact ON actor_aliases (org_id, contact_id);
CALL tenant_table('actor_aliases');
CALL pipeline_table('actor_aliases');

-- The account of a person whose signals may have come without one. The newest event wins.
CREATE TABLE contact_accounts (
    org_id     uuid NOT NULL,
    contact_id uuid NOT NULL,
    account_id uuid NOT NULL,
    told_by    uuid NOT NULL,
    resolution jsonb NOT NULL,
    PRIMARY KEY (org_id, contact_id)
);
CALL tenant_table('contact_accounts');
CALL pipeline_table('contact_accounts');

-- The request path only reads, and only signals.
DO $$
DECLARE
    app name := current_schema() || '_app';
    pipeline name := current_schema() || '_pipeline';
BEGIN
    EXECUTE format('REVOKE ALL ON signals, actor_aliases, contact_accounts FROM %I', app);
    EXECUTE format('GRANT SELECT ON signals TO %I', app);
    EXECUTE format('REVOKE DELETE ON signals FROM %I', pipeline);
END $$;
