-- The accepting transaction as one statement: one round trip, and one transaction by itself.
--
-- Keys are looked up first. If the ledger knows some of them, nothing is written, and the rows say who holds them: the
-- caller leaves those signals out and asks again. Otherwise keys, batches and their events are written, all or nothing.
-- A key that another transaction commits between the look and the write raises DS409, and nothing is stored: asked
-- again, the look finds it.
--
-- Batches come one element per batch; the event of a batch carries its very bytes.
CREATE FUNCTION accept_new(
    key_orgs uuid[], keys text[], key_signals uuid[],
    batch_orgs uuid[], batch_ids uuid[], signal_counts integer[], payloads bytea[],
    event_ids uuid[], subjects text[], traceparents text[],
    source text, encoding text, accepted_at timestamptz
) RETURNS TABLE (claimant uuid, holder uuid) LANGUAGE plpgsql AS $$
DECLARE
    entered bigint;
BEGIN
    RETURN QUERY
        SELECT c.signal_id, k.signal_id
        FROM unnest(key_orgs, keys, key_signals) AS c (org_id, key, signal_id)
        JOIN idempotency_keys k ON k.org_id = c.org_id AND k.key = c.key COLLATE "C";
    IF FOUND THEN
        RETURN;
    END IF;
    -- Waits for transactions that hold one of the keys uncommitted.
    INSERT INTO idempotency_keys (org_id, key, signal_id)
        SELECT * FROM unnest(key_orgs, keys, key_signals)
        ON CONFLICT (org_id, key) DO NOTHING;
    GET DIAGNOSTICS entered = ROW_COUNT;
    IF entered < cardinality(keys) THEN
        RAISE EXCEPTION 'a key was taken meanwhile' USING ERRCODE = 'DS409';
    END IF;
    INSERT INTO batches (org_id, id, signal_count, accepted_at, payload)
        SELECT b.org_id, b.id, b.signal_count, accept_new.accepted_at, b.payload
        FROM unnest(batch_orgs, batch_ids, signal_counts, payloads) AS b (org_id, id, signal_count, payload);
    INSERT INTO outbox (id, org_id, subject, about, source, encoding, traceparent, payload, occurred_at)
        SELECT e.id, e.org_id, e.subject, e.batch_id::text, accept_new.source, accept_new.encoding, e.traceparent,
               e.payload, accept_new.accepted_at
        FROM unnest(event_ids, batch_orgs, subjects, batch_ids, traceparents, payloads)
             AS e (id, org_id, subject, batch_id, traceparent, payload);
END $$;
