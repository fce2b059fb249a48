-- Webhooks: endpoints, what is delivered to them, and how that went.
--
-- An event that fits a webhook becomes one row of webhook_deliveries, with the next sequence of its lane; the body is stored
-- once per event. A delivery process leases whole lanes, so that order, rate and parallelism of an endpoint are one process's
-- to keep, and no row is locked while HTTP runs. Bodies, deliveries and attempts are dropped by partitions.

CREATE TABLE webhooks (
    org_id          uuid        NOT NULL REFERENCES organizations (org_id),
    id              uuid        NOT NULL,
    url             text        NOT NULL CHECK (char_length(url) BETWEEN 1 AND 2000),
    description     text        CHECK (char_length(description) BETWEEN 1 AND 500),
    -- Types; empty means all but webhook.*.
    events          text[]      NOT NULL,
    filter          jsonb,
    payload         text        NOT NULL CHECK (payload IN ('full', 'thin')),
    schema_version  int         NOT NULL,
    signature       text        NOT NULL CHECK (signature IN ('hmac_sha256', 'ed25519')),
    header_names    text[]      NOT NULL,
    -- Names and values as JSON, sealed: values may be credentials.
    headers_sealed  bytea,
    rate_per_second int         CHECK (rate_per_second > 0),
    max_in_flight   int         NOT NULL CHECK (max_in_flight > 0),
    ordered         boolean     NOT NULL,
    status          text        NOT NULL CHECK (status IN ('enabled', 'disabled')),
    disabled_reason text,
    disabled_at     timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL,
    PRIMARY KEY (org_id, id),
    CHECK ((status = 'disabled') = (disabled_at IS NOT NULL))
);

CREATE INDEX webhooks_by_age ON webhooks (org_id, created_at, id);

CALL tenant_table('webhooks');
CALL pipeline_table('webhooks');

-- The newest signs, and so does each older one until its end.
CREATE TABLE webhook_secrets (
    org_id     uuid        NOT NULL,
    webhook_id uuid        NOT NULL,
    id         uuid        NOT NULL,
    sealed     bytea       NOT NULL,
    -- Of ed25519.
    public_key text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (org_id, webhook_id, id),
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id) ON DELETE CASCADE
);

CALL tenant_table('webhook_secrets');
CALL pipeline_table('webhook_secrets');

-- A webhook's queue: its newest sequence, when something is due next, who works on it. Whoever adds work or gives the lane
-- back locks this row first.
CREATE TABLE webhook_lanes (
    org_id        uuid        NOT NULL,
    webhook_id    uuid        NOT NULL,
    last_sequence bigint      NOT NULL DEFAULT 0,
    due_at        timestamptz,
    leased_by     uuid,
    leased_until  timestamptz,
    -- Since the first failure after the last success.
    failing_since timestamptz,
    failures      bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, webhook_id),
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id) ON DELETE CASCADE
) WITH (fillfactor = 50);

CREATE INDEX webhook_lanes_due ON webhook_lanes (due_at) WHERE due_at IS NOT NULL;

CALL tenant_table('webhook_lanes');
CALL pipeline_table('webhook_lanes');

CREATE TABLE webhook_bodies (
    org_id uuid  NOT NULL,
    id     uuid  NOT NULL,
    body   bytea NOT NULL,
    PRIMARY KEY (org_id, id)
) PARTITION BY RANGE (id);

CALL tenant_table('webhook_bodies');
CALL pipeline_table('webhook_bodies');
CALL partitioned_table('webhook_bodies');

CREATE TABLE webhook_deliveries (
    org_id          uuid        NOT NULL,
    id              uuid        NOT NULL,
    webhook_id      uuid        NOT NULL,
    body_id         uuid        NOT NULL,
    event_id        uuid        NOT NULL,
    type            text        NOT NULL,
    -- What the event is about, and whether its events wait for each other.
    object          text        NOT NULL,
    ordered         boolean     NOT NULL,
    sequence        bigint      NOT NULL,
    status          text        NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'held')),
    -- Attempts of the schedule that were made; a resend begins anew.
    step            int         NOT NULL DEFAULT 0,
    attempts        int         NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    created_at      timestamptz NOT NULL,
    completed_at    timestamptz,
    last_status     int,
    last_error      text,
    PRIMARY KEY (org_id, id),
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) PARTITION BY RANGE (id);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (org_id, webhook_id, next_attempt_at, sequence)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (org_id, webhook_id, object, sequence)
    WHERE status = 'pending' AND ordered;
CREATE INDEX webhook_deliveries_by_sequence ON webhook_deliveries (org_id, webhook_id, sequence, id);

CALL tenant_table('webhook_deliveries');
CALL pipeline_table('webhook_deliveries');
CALL partitioned_table('webhook_deliveries');

CREATE TABLE webhook_attempts (
    org_id      uuid        NOT NULL,
    id          uuid        NOT NULL,
    delivery_id uuid        NOT NULL,
    number      int         NOT NULL,
    started_at  timestamptz NOT NULL,
    took_ms     int         NOT NULL,
    status      int,
    outcome     text        NOT NULL,
    error       text,
    response    bytea       CHECK (octet_length(response) <= 1024),
    PRIMARY KEY (org_id, id)
) PARTITION BY RANGE (id);

CREATE INDEX webhook_attempts_by_delivery ON webhook_attempts (org_id, delivery_id, id);

CALL tenant_table('webhook_attempts');
CALL pipeline_table('webhook_attempts');
CALL partitioned_table('webhook_attempts');

CREATE TABLE webhook_stats (
    org_id      uuid        NOT NULL,
    webhook_id  uuid        NOT NULL,
    hour        timestamptz NOT NULL,
    succeeded   bigint      NOT NULL,
    failed      bigint      NOT NULL,
    exhausted   bigint      NOT NULL,
    took_ms_sum bigint      NOT NULL,
    took_ms_max int         NOT NULL,
    -- Attempts by duration; the bounds are the program's.
    buckets     bigint[]    NOT NULL,
    PRIMARY KEY (org_id, webhook_id, hour)
);

CREATE INDEX webhook_stats_by_hour ON webhook_stats (hour);

CALL tenant_table('webhook_stats');
CALL pipeline_table('webhook_stats');

CREATE TABLE webhook_replays (
    org_id         uuid        NOT NULL,
    id             uuid        NOT NULL,
    webhook_id     uuid        NOT NULL,
    from_at        timestamptz NOT NULL,
    to_at          timestamptz NOT NULL,
    statuses       text[]      NOT NULL,
    types          text[]      NOT NULL,
    -- How far it is.
    after_sequence bigint      NOT NULL DEFAULT 0,
    -- Where it ends: what comes later is not replayed.
    last_sequence  bigint      NOT NULL,
    requeued       bigint      NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    completed_at   timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, webhook_id) REFERENCES webhooks (org_id, id) ON DELETE CASCADE
);

CREATE INDEX webhook_replays_running ON webhook_replays (created_at) WHERE completed_at IS NULL;

CALL tenant_table('webhook_replays');
CALL pipeline_table('webhook_replays');

-- How far the event stream was turned into deliveries. It commits with them, so that an event becomes each delivery once.
CREATE TABLE webhook_fanout (
    name     text PRIMARY KEY,
    position text NOT NULL
);

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON webhook_fanout FROM %I', current_schema() || '_app');
END $$;
