-- Outbox, inbox and dead letters of one service.

CREATE TABLE outbox (
    id           uuid        NOT NULL,
    org_id       uuid        NOT NULL,
    subject      text        NOT NULL,
    about        text        NOT NULL,
    source       text        NOT NULL,
    encoding     text        NOT NULL,
    traceparent  text,
    payload      bytea       NOT NULL,
    occurred_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    stream       text,
    stream_seq   bigint,
    PRIMARY KEY (id),
    CONSTRAINT outbox_published_whole CHECK (
        (published_at IS NULL AND stream IS NULL AND stream_seq IS NULL)
        OR (published_at IS NOT NULL AND stream IS NOT NULL AND stream_seq IS NOT NULL))
) PARTITION BY RANGE (id);

-- Payloads are compressed already, or small; out of line, an update of published_at does not copy them.
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
CALL partitioned_table('outbox');
-- The relay's queue: what is unpublished, in order.
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
-- What the broker should have, by where it should have it.
CREATE INDEX outbox_published ON outbox (stream, stream_seq) WHERE stream_seq IS NOT NULL;
CALL tenant_table('outbox');
CALL pipeline_table('outbox');

-- Which stream the sequences in the outbox belong to.
CREATE TABLE outbox_streams (
    stream         text        PRIMARY KEY,
    stream_created timestamptz NOT NULL
);

CREATE TABLE inbox (
    consumer     text        NOT NULL,
    message_id   uuid        NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, message_id)
);
-- Rows come in the order of time: a few pages tell what is old.
CREATE INDEX inbox_processed ON inbox USING brin (processed_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE dead_letters (
    id                   uuid        PRIMARY KEY,
    message_id           uuid        NOT NULL,
    -- Null when the message could not be read so far.
    org_id               uuid,
    consumer             text        NOT NULL,
    subject              text        NOT NULL,
    headers              jsonb       NOT NULL,
    payload              bytea       NOT NULL,
    reason               text        NOT NULL,
    attempts             bigint      NOT NULL,
    failed_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    redrive_requested_at timestamptz,
    redriven_at          timestamptz
);
CREATE INDEX dead_letters_waiting ON dead_letters (consumer, failed_at, id) WHERE redriven_at IS NULL;
CALL tenant_table('dead_letters');
CALL pipeline_table('dead_letters');

-- The request path only adds events; the rest is the workers'.
DO $$
DECLARE
    app name := current_schema() || '_app';
BEGIN
    EXECUTE format('REVOKE ALL ON outbox, outbox_streams, inbox, dead_letters FROM %I', app);
    EXECUTE format('GRANT INSERT ON outbox TO %I', app);
END $$;
