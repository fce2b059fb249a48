-- As `accept_new` (`104_accept_new.sql`), which no release calls, but for two things. Keys are entered by a plain INSERT:
-- ON CONFLICT costs a second look at the index and a second record in the log for each. And the look for known keys can be
-- left out where repeats are rare: a key that is known then violates `idempotency_keys_pkey`, what was entered is undone,
-- and the look follows.
DROP FUNCTION accept_new(
    uuid[], text[], uuid[], uuid[], uuid[], integer[], bytea[], uuid[], text[], text[], text, text, timestamptz
);

-- Either stores all and returns nothing; or stores nothing, and the rows say who holds the keys that are known: the
-- caller leaves those signals out and asks again. Fails with a violation of `idempotency_keys_pkey` where another
-- transaction commits a key between look and write; asked again, the look finds it.
--
-- Batches come one element per batch; the event of a batch carries its very bytes.
CREATE FUNCTION accept_signals(
    look_first boolean,
    key_orgs uuid[], keys text[], key_signals uuid[],
    batch_orgs uuid[], batch_ids uuid[], signal_counts integer[], payloads bytea[],
    event_ids uuid[], subjects text[], traceparents text[],
    source text, encoding text, accepted_at timestamptz
) RETURNS TABLE (claimant uuid, holder uuid) LANGUAGE plpgsql AS $$
BEGIN
    IF NOT look_first THEN
        BEGIN
            -- Waits for transactions that hold one of the keys uncommitted.
            INSERT INTO idempotency_keys (org_id, key, signal_id) SELECT * FROM unnest(key_orgs, keys, key_signals);
        EXCEPTION WHEN unique_violation THEN
            look_first := true;
        END;
    END IF;
    IF look_first THEN
        RETURN QUERY
            SELECT c.signal_id, k.signal_id
            FROM unnest(key_orgs, keys, key_signals) AS c (org_id, key, signal_id)
            JOIN idempotency_keys k ON k.org_id = c.org_id AND k.key = c.key COLLATE "C";
        IF FOUND THEN
            RETURN;
        END IF;
        INSERT INTO idempotency_keys (org_id, key, signal_id) SELECT * FROM unnest(key_orgs, keys, key_signals);
    END IF;
    INSERT INTO batches (org_id, id, signal_count, accepted_at, payload)
        SELECT b.org_id, b.id, b.signal_count, accept_signals.accepted_at, b.payload
        FROM unnest(batch_orgs, batch_ids, signal_counts, payloads) AS b (org_id, id, signal_count, payload);
    INSERT INTO outbox (id, org_id, subject, about, source, encoding, traceparent, payload, occurred_at)
        SELECT e.id, e.org_id, e.subject, e.batch_id::text, accept_signals.source, accept_signals.encoding,
               e.traceparent, e.payload, accept_signals.accepted_at
        FROM unnest(event_ids, batch_orgs, subjects, batch_ids, traceparents, payloads)
             AS e (id, org_id, subject, batch_id, traceparent, payload);
END $$;
