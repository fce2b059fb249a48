//! The accepting transaction: ledger, raw batches and outbox, for a whole group of requests at once.
//!
//! One round trip whatever the group holds (`accept_signals`, `migrations/signal-ingest/105_accept_signals.sql`); one more
//! when keys are known already.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
/// Violated by a key that was taken meanwhile.
const KEYS: &str = "idempotency_keys_pkey";
/// For so many groups after one that repeated something, keys are looked up before they are entered.
const LOOKS: u32 = 64;

/// Whether signals were sent again lately. Mostly they are not, and looking up their keys first would be for nothing; but a
/// sender who repeats some goes on so for a while, and entering known keys in vain costs more than the look. Clones are the
/// same.
#[derive(Debug, Clone, Default)]
pub struct Repeats(Arc<AtomicU32>);

impl Repeats {
    fn are_likely(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn seen(&self) {
        self.0.store(LOOKS, Ordering::Relaxed);
    }

    fn none_seen(&self) {
        let down = |left: u32| left.checked_sub(1);
        // An error means that none was left.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, down);
    }
}

/// Stores a group of requests in one transaction, and only after its commit tells what became of each signal. A deadlock
/// or a serialization failure runs it again.
///
/// # Errors
/// Nothing was stored; or, when the connection broke in the middle, all of it or nothing.
pub async fn accept(
    db: &PipelineDb,
    clock: &dyn Clock,
    ids: &dyn IdGen,
    repeats: &Repeats,
    requests: &[Request],
) -> Result<Vec<Outcome>, IngestError> {
    store::retry(|| accept_once(db, clock, ids, repeats, requests)).await
}

async fn accept_once(
    db: &PipelineDb,
    clock: &dyn Clock,
    ids: &dyn IdGen,
    repeats: &Repeats,
    requests: &[Request],
) -> Result<Vec<Outcome>, IngestError> {
    let mut plan = Plan::new(requests, ids);
    let mut look_first = repeats.are_likely();
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
        match write(db, ids, accepted_at, look_first, &plan, &batches).await {
            Ok(taken) if taken.is_empty() => {
                repeats.none_seen();
                return Ok(plan.outcomes(&batch_of));
            }
            Ok(taken) => {
                repeats.seen();
                plan.known(&taken);
                look_first = false;
            }
            Err(error) if error.is_unique(KEYS) => {}
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
    look_first: bool,
    plan: &Plan<'_>,
    batches: &[Batch],
) -> Result<HashMap<Uuid, Uuid>, StoreError> {
    let claims = plan.claims();
    let traces = plan.traces();
    let statement = sqlx::query_as(
        "SELECT claimant, holder FROM accept_signals($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(look_first)
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
