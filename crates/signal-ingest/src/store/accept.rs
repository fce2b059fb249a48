//! The accepting transaction: ledger, raw batches and outbox, for a whole group of requests at once.
//!
//! One round trip whatever the group holds (`accept_new`, `migrations/signal-ingest/104_accept_new.sql`); one more when
//! keys are known already.

use std::collections::HashMap;

use contracts::signals::v1::SignalsAccepted;
use contracts::{Event as _, Subject};
use ids::{BatchId, Clock, EventId, IdGen, SignalId};
use jiff::Timestamp;
use store::{PipelineDb, StoreError, ToSqlx as _};
use uuid::Uuid;

use crate::domain::accept::{Outcome, Plan, Request};
use crate::domain::batch::{Batch, Packer};
use crate::domain::time::to_micros;
use crate::error::IngestError;

/// A key can be taken between being looked up and being entered, and expire before it is looked up again; that it happens
/// so often in a row is absurd.
const LEDGER_ROUNDS: usize = 5;
/// Raised by `accept_new` for a key that was taken meanwhile.
const TAKEN_MEANWHILE: &str = "DS409";

/// Stores a group of requests in one transaction, and only after its commit tells what became of each signal. A deadlock
/// or a serialization failure runs it again.
///
/// # Errors
/// Nothing was stored; or, when the connection broke in the middle, all of it or nothing.
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
    for _ in 0..LEDGER_ROUNDS {
        let accepted_at = to_micros(clock.now());
        let mut packer = Packer::new(ids, accepted_at);
        let mut batches = Vec::new();
        let mut batch_of: HashMap<SignalId, BatchId> = HashMap::new();
        for (org, signals) in &plan.fresh() {
            let mut rest = signals.iter();
            for batch in packer.pack(*org, signals).map_err(IngestError::Pack)? {
                batch_of.extend(rest.by_ref().take(batch.count).map(|(id, _)| (*id, batch.id)));
                batches.push(batch);
            }
        }
        if batches.is_empty() {
            return Ok(plan.outcomes(&batch_of));
        }
        match write(db, ids, accepted_at, &plan, &batches).await {
            Ok(taken) if taken.is_empty() => return Ok(plan.outcomes(&batch_of)),
            Ok(taken) => plan.known(&taken),
            Err(error) if error.has_code(TAKEN_MEANWHILE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(IngestError::LedgerMoved)
}

/// Writes keys, batches and events; or nothing, and returns, for each claimed key that is known, who holds it: claiming
/// signal to holding signal.
async fn write(
    db: &PipelineDb,
    ids: &dyn IdGen,
    accepted_at: Timestamp,
    plan: &Plan<'_>,
    batches: &[Batch],
) -> Result<HashMap<Uuid, Uuid>, StoreError> {
    let claims = plan.claims();
    let traces = plan.traces();
    let statement = sqlx::query_as(
        "SELECT claimant, holder FROM accept_new($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(claims.iter().map(|c| c.org).collect::<Vec<_>>())
    .bind(claims.iter().map(|c| c.key).collect::<Vec<_>>())
    .bind(claims.iter().map(|c| c.signal).collect::<Vec<_>>())
    .bind(batches.iter().map(|b| b.org.uuid()).collect::<Vec<_>>())
    .bind(batches.iter().map(|b| b.id.uuid()).collect::<Vec<_>>())
    .bind(
        batches
            .iter()
            .map(|b| i32::try_from(b.count).unwrap_or(i32::MAX))
            .collect::<Vec<_>>(),
    )
    .bind(batches.iter().map(|b| b.payload.as_ref()).collect::<Vec<_>>())
    .bind(
        batches
            .iter()
            .map(|_| EventId::new(ids).uuid())
            .collect::<Vec<_>>(),
    )
    .bind(
        batches
            .iter()
            .map(|b| Subject::of::<SignalsAccepted>(b.org).text())
            .collect::<Vec<_>>(),
    )
    .bind(
        batches
            .iter()
            .map(|b| traces.get(&b.org).map(AsRef::as_ref))
            .collect::<Vec<Option<&str>>>(),
    )
    .bind(SignalsAccepted::SOURCE)
    .bind("zstd")
    .bind(accepted_at.to_sqlx());
    let taken: Vec<(Uuid, Uuid)> = db
        .tell_at_once(async |connection| statement.fetch_all(connection).await)
        .await?;
    Ok(taken.into_iter().collect())
}
