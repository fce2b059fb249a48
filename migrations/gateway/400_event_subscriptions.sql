-- Durable subscriptions to events: a name under which a position is kept.
--
-- A position is a place in the stream: when the stream was made (nanoseconds since 1970: timestamptz has only micro-
-- seconds), the message, how many of its events were passed, and when the broker took the message.

CREATE TABLE event_subscriptions (
    org_id          uuid        NOT NULL REFERENCES organizations (org_id),
    id              uuid        NOT NULL,
    name            text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    -- The filter as it was asked for; empty means all.
    types           text[]      NOT NULL,
    objects         text[]      NOT NULL,
    stream_created  bigint      NOT NULL,
    seq             bigint      NOT NULL CHECK (seq >= 0),
    passed          bigint      NOT NULL CHECK (passed BETWEEN 0 AND 4294967295),
    position_time   bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    acknowledged_at timestamptz,
    PRIMARY KEY (org_id, id)
);

CREATE UNIQUE INDEX event_subscriptions_by_name ON event_subscriptions (org_id, name);
CREATE INDEX event_subscriptions_by_age ON event_subscriptions (org_id, created_at, id);

CALL tenant_table('event_subscriptions');
