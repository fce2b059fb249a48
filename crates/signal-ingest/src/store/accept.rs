//! The accepting transaction: ledger, raw batches and outbox, for a whole group of requests at once.
//!
//! Five round trips (begin, keys, batches, outbox, commit) whatever the group holds; one more when keys are known already.

use std::collections::HashMap;

use contracts::signals::v1::SignalsAccepted;
use contracts::{Encoding, Envelope, Subject};
use ids::{BatchId, Clock, EventId, IdGen, SignalId};
use jiff::Timestamp;
use store::{PipelineDb, ToSqlx as _, Tx};
use uuid::Uuid;

use crate::domain::accept::{Claim, Outcome, Plan, Request};
use crate::domain::batch::{Batch, Packer};
use crate::domain::time::to_micros;
use crate::error::IngestError;

/// Name of this service in events.
pub const SOURCE: &str = "signal-ingest";
/// A key can expire between being refused and being read; that it happens twice in a row is absurd.
const LEDGER_ROUNDS: usize = 3;

/// Stores a group of requests in one transaction, and only after its commit tells what became of each signal. A deadlock
/// or a serialization failure runs it again.
///
/// # Errors
/// Nothing was stored.
pub async fn accept(
    db: &PipelineDb,
    clock: &dyn Clock,
    ids: &dyn IdGen,
    requests: &[Request],
) -> Result<Vec<Outcome>, IngestError> {
    store::retry(|| accept_once(db, clock, ids, requests)).await
}

async fn accept_once(
    db: &PipelineDb,
    clock: &dyn Clock,
    ids: &dyn IdGen,
    requests: &[Request],
) -> Result<Vec<Outcome>, IngestError> {
    let mut plan = Plan::new(requests, ids);
    let mut tx = db.begin().await?;
    let taken = claim(&mut tx, &plan.claims()).await?;
    plan.known(&taken);
    let fresh = plan.fresh();
    if fresh.is_empty() {
        tx.rollback().await;
        return Ok(plan.outcomes(&HashMap::new()));
    }
    let accepted_at = to_micros(clock.now());
    let mut packer = Packer::new(ids, accepted_at).map_err(IngestError::Pack)?;
    let mut batches = Vec::with_capacity(fresh.len());
    let mut batch_of: HashMap<SignalId, BatchId> = HashMap::new();
    for (org, signals) in &fresh {
        let mut rest = signals.iter();
        for batch in packer.pack(*org, signals).map_err(IngestError::Pack)? {
            batch_of.extend(rest.by_ref().take(batch.count).map(|(id, _)| (*id, batch.id)));
            batches.push(batch);
        }
    }
    let traces = plan.traces();
    let events: Vec<Envelope> = batches
        .iter()
        .map(|batch| {
            envelope(
                batch,
                ids,
                accepted_at,
                traces.get(&batch.org).map(|trace| trace.to_string()),
            )
        })
        .collect();
    write(&mut tx, accepted_at, &batches).await?;
    eventbus::enqueue_all(&mut tx, &events).await?;
    tx.commit().await?;
    Ok(plan.outcomes(&batch_of))
}

/// Enters keys into the ledger. Returns, for each claim that was refused, the signal that holds its key.
async fn claim(tx: &mut Tx, claims: &[Claim<'_>]) -> Result<HashMap<Uuid, Uuid>, IngestError> {
    let mut taken = HashMap::new();
    let mut open: Vec<Claim<'_>> = claims.to_vec();
    for _ in 0..LEDGER_ROUNDS {
        if open.is_empty() {
            return Ok(taken);
        }
        // Waits for transactions that hold one of the keys uncommitted, and then sees what became of them.
        let entered = sqlx::query(
            "INSERT INTO idempotency_keys (org_id, key, signal_id)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[])
             ON CONFLICT (org_id, key) DO NOTHING",
        )
        .bind(open.iter().map(|c| c.org).collect::<Vec<_>>())
        .bind(open.iter().map(|c| c.key).collect::<Vec<_>>())
        .bind(open.iter().map(|c| c.signal).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
        if usize::try_from(entered.rows_affected()) == Ok(open.len()) {
            return Ok(taken);
        }
        let held = holders(tx, &open).await?;
        open.retain(|claim| match held.get(&claim.signal) {
            Some(holder) => {
                if *holder != claim.signal {
                    taken.insert(claim.signal, *holder);
                }
                false
            }
            None => true,
        });
    }
    Err(IngestError::LedgerMoved)
}

/// Who holds the claimed keys: claiming signal to holding signal.
async fn holders(tx: &mut Tx, claims: &[Claim<'_>]) -> Result<HashMap<Uuid, Uuid>, IngestError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT c.signal_id, k.signal_id
         FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS c (org_id, key, signal_id)
         JOIN idempotency_keys k ON k.org_id = c.org_id AND k.key = c.key COLLATE \"C\"",
    )
    .bind(claims.iter().map(|c| c.org).collect::<Vec<_>>())
    .bind(claims.iter().map(|c| c.key).collect::<Vec<_>>())
    .bind(claims.iter().map(|c| c.signal).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().collect())
}

async fn write(tx: &mut Tx, accepted_at: Timestamp, batches: &[Batch]) -> Result<(), IngestError> {
    sqlx::query(
        "INSERT INTO batches (org_id, id, signal_count, accepted_at, payload)
         SELECT org_id, id, signal_count, $4, payload
         FROM unnest($1::uuid[], $2::uuid[], $3::int[], $5::bytea[]) AS b (org_id, id, signal_count, payload)",
    )
    .bind(batches.iter().map(|b| b.org.uuid()).collect::<Vec<_>>())
    .bind(batches.iter().map(|b| b.id.uuid()).collect::<Vec<_>>())
    .bind(batches.iter().map(|b| i32::try_from(b.count).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .bind(accepted_at.to_sqlx())
    .bind(batches.iter().map(|b| b.payload.as_ref()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The event carries the stored bytes themselves.
fn envelope(batch: &Batch, ids: &dyn IdGen, accepted_at: Timestamp, traceparent: Option<String>) -> Envelope {
    Envelope {
        id: EventId::new(ids),
        subject: Subject::of::<SignalsAccepted>(batch.org),
        about: batch.id.to_string(),
        source: SOURCE.to_owned(),
        time: accepted_at,
        traceparent,
        encoding: Encoding::Zstd,
        payload: batch.payload.clone(),
    }
}
