-- The order of the outbox by Postgres's count, not by anybody's clock: whoever changes an object waits for those who
-- change it already, so of two events of one object the later has the higher number, even when two machines disagree on
-- the time or a clock is set back.

CREATE SEQUENCE outbox_written;
ALTER TABLE outbox ADD COLUMN written bigint NOT NULL DEFAULT nextval('outbox_written');
DROP INDEX outbox_unpublished;
-- The relay's queue: what is unpublished, in order.
CREATE INDEX outbox_unpublished ON outbox (written) WHERE published_at IS NULL;
