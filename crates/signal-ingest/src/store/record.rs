//! The recording transaction: resolved batches become rows, once, corrected by what is known of identities by then.
//!
//! Order of statements matters. The organizations' locks come first and are held to the end: an identity change
//! ([`super::rewrite`]) takes its organization's exclusively, so it either waits for these rows and then rewrites them, or
//! has committed before and is read here.

use std::collections::{BTreeSet, HashMap};

use contracts::Envelope;
use contracts::events::v1::SignalsRecorded;
use contracts::signals::v1::Resolution;
use ids::{BatchId, EventId, IdGen, OrgId};
use jiff::Timestamp;
use store::{PipelineDb, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::row;
use crate::domain::record::{Corrections, Resolved};
use crate::error::IngestError;

/// Key space of the locks, so that they are unlikely to meet another module's.
const LOCK_SPACE: u64 = 0x7369_676e_616c_7300;

/// Name of the consumer in the inbox.
pub const CONSUMER: &str = "signal-ingest_signals_resolved";

/// The organization's lock: its id's random half, which spreads organizations over the keys.
pub(super) fn lock_key(org: OrgId) -> i64 {
    let (_, low) = org.uuid().as_u64_pair();
    i64::from_ne_bytes((low ^ LOCK_SPACE).to_ne_bytes())
}

/// A resolved batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its id, also in the inbox.
    pub id: BatchId,
    /// Its organization.
    pub org: OrgId,
    /// Its signals.
    pub signals: Vec<Resolved>,
}

/// Records a group of batches in one transaction and enqueues `signals.recorded` for each. Returns, in the order of the
/// batches, whether each is new; one that was recorded before has no effect.
///
/// # Errors
/// Nothing was stored.
pub async fn record(
    db: &PipelineDb,
    ids: &dyn IdGen,
    now: Timestamp,
    batches: &[Batch],
) -> Result<Vec<bool>, IngestError> {
    let mut tx = db.begin().await?;
    let orgs: BTreeSet<i64> = batches.iter().map(|batch| lock_key(batch.org)).collect();
    sqlx::query("SELECT pg_advisory_xact_lock_shared(key) FROM unnest($1::bigint[]) AS key")
        .bind(orgs.into_iter().collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    let claimed: Vec<Uuid> = batches.iter().map(|batch| batch.id.uuid()).collect();
    let mut fresh = store::inbox::claim_all(&mut tx, CONSUMER, &claimed)
        .await?
        .into_iter()
        .peekable();
    // Claims keep the order, each id once.
    let is_new: Vec<bool> = claimed.iter().map(|id| fresh.next_if_eq(id).is_some()).collect();
    let mut batches: Vec<Batch> = batches
        .iter()
        .zip(&is_new)
        .filter(|(_, new)| **new)
        .map(|(batch, _)| batch.clone())
        .collect();
    if batches.is_empty() {
        tx.rollback().await;
        return Ok(is_new);
    }
    let corrections = corrections(&mut tx, &batches).await?;
    for batch in &mut batches {
        if let Some(known) = corrections.get(&batch.org) {
            batch.signals.iter_mut().for_each(|signal| known.apply(signal));
        }
    }
    insert(&mut tx, &batches).await?;
    let events: Vec<Envelope> = batches
        .into_iter()
        .map(|batch| recorded(batch, ids, now))
        .collect();
    eventbus::enqueue_all(&mut tx, &events).await?;
    tx.commit().await?;
    Ok(is_new)
}

fn recorded(batch: Batch, ids: &dyn IdGen, now: Timestamp) -> Envelope {
    let about = batch.id.to_string();
    let event = SignalsRecorded {
        batch_id: about.clone(),
        organization_id: batch.org.to_string(),
        signals: batch.signals.into_iter().map(Resolved::into_signal).collect(),
    };
    Envelope::wrap(&event, EventId::new(ids), batch.org, about, now)
}

/// An organization's actor; whom it was merged into, and how; that person's account, and how.
type Known = (
    Uuid,
    Uuid,
    Option<Uuid>,
    Option<String>,
    Option<Uuid>,
    Option<String>,
);

/// What became known of the batches' actors and contacts while they were on their way.
async fn corrections(tx: &mut Tx, batches: &[Batch]) -> Result<HashMap<OrgId, Corrections>, IngestError> {
    let actors: BTreeSet<(Uuid, Uuid)> = batches
        .iter()
        .flat_map(|batch| {
            let actors = batch.signals.iter().filter_map(|signal| signal.attribution.actor);
            actors.map(|actor| (batch.org.uuid(), actor))
        })
        .collect();
    let mut corrections: HashMap<OrgId, Corrections> = HashMap::new();
    if actors.is_empty() {
        return Ok(corrections);
    }
    let (orgs, actors): (Vec<Uuid>, Vec<Uuid>) = actors.into_iter().unzip();
    let rows: Vec<Known> = sqlx::query_as(
        "SELECT a.org_id, a.id, m.contact_id, m.resolution::text, c.account_id, c.resolution::text
         FROM unnest($1::uuid[], $2::uuid[]) AS a (org_id, id)
         LEFT JOIN actor_aliases m ON m.org_id = a.org_id AND m.from_actor_id = a.id
         LEFT JOIN contact_accounts c ON c.org_id = a.org_id AND c.contact_id = coalesce(m.contact_id, a.id)
         WHERE m.contact_id IS NOT NULL OR c.account_id IS NOT NULL",
    )
    .bind(&orgs)
    .bind(&actors)
    .fetch_all(&mut **tx)
    .await?;
    for (org, actor, contact, merged_by, account, linked_by) in rows {
        let contact = contact.map(|id| (id, resolution(merged_by.as_deref())));
        let account = account.map(|id| (id, resolution(linked_by.as_deref())));
        let known = corrections.entry(OrgId(org)).or_default();
        known.add(actor, contact, account);
    }
    Ok(corrections)
}

fn resolution(text: Option<&str>) -> Resolution {
    text.and_then(|text| serde_json::from_str(text).ok())
        .map(|mut object| row::read_resolution(&mut object))
        .unwrap_or_default()
}

/// One array per column.
#[derive(Default)]
struct Columns {
    orgs: Vec<Uuid>,
    batches: Vec<Uuid>,
    ids: Vec<Uuid>,
    occurred_at: Vec<Ts>,
    received_at: Vec<Ts>,
    sources: Vec<Option<Uuid>>,
    actors: Vec<Option<Uuid>>,
    contacts: Vec<Option<Uuid>>,
    accounts: Vec<Option<Uuid>>,
    types: Vec<String>,
    keys: Vec<Option<String>>,
    visitors: Vec<Option<String>>,
    actor_hints: Vec<Option<String>>,
    account_hints: Vec<Option<String>>,
    metadata: Vec<Option<String>>,
    actor_resolutions: Vec<Option<String>>,
    account_resolutions: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, batch: &Batch, resolved: &Resolved) {
        let signal = &resolved.signal;
        self.orgs.push(batch.org.uuid());
        self.batches.push(batch.id.uuid());
        self.ids.push(resolved.id);
        self.occurred_at.push(resolved.occurred_at.to_sqlx());
        self.received_at.push(resolved.received_at.to_sqlx());
        self.sources.push(resolved.source);
        self.actors.push(resolved.attribution.actor);
        self.contacts.push(resolved.attribution.contact);
        self.accounts.push(resolved.attribution.account);
        self.types.push(signal.r#type.clone());
        self.keys.push(signal.idempotency_key.clone());
        self.visitors.push(signal.anonymous_id.clone());
        self.actor_hints.push(signal.actor.as_ref().map(row::actor_text));
        self.account_hints
            .push(signal.account.as_ref().map(row::account_text));
        self.metadata
            .push(signal.metadata.as_ref().and_then(row::metadata_text));
        self.actor_resolutions
            .push(signal.actor_resolution.as_ref().map(row::resolution_text));
        self.account_resolutions
            .push(signal.account_resolution.as_ref().map(row::resolution_text));
    }
}

async fn insert(tx: &mut Tx, batches: &[Batch]) -> Result<(), IngestError> {
    let mut columns = Columns::default();
    for batch in batches {
        batch
            .signals
            .iter()
            .for_each(|signal| columns.push(batch, signal));
    }
    sqlx::query(
        "INSERT INTO signals (org_id, batch_id, id, occurred_at, received_at, source_id, actor_id, contact_id,
                              account_id, type, idempotency_key, anonymous_id, actor, account, metadata,
                              actor_resolution, account_resolution)
         SELECT s.org_id, s.batch_id, s.id, s.occurred_at, s.received_at, s.source_id, s.actor_id, s.contact_id,
                s.account_id, s.type, s.key, s.visitor, s.actor::jsonb, s.account::jsonb, s.metadata::jsonb,
                s.actor_resolution::jsonb, s.account_resolution::jsonb
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::uuid[],
                     $8::uuid[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
                     $15::text[], $16::text[], $17::text[])
              AS s (org_id, batch_id, id, occurred_at, received_at, source_id, actor_id, contact_id, account_id, type,
                    key, visitor, actor, account, metadata, actor_resolution, account_resolution)",
    )
    .bind(columns.orgs)
    .bind(columns.batches)
    .bind(columns.ids)
    .bind(columns.occurred_at)
    .bind(columns.received_at)
    .bind(columns.sources)
    .bind(columns.actors)
    .bind(columns.contacts)
    .bind(columns.accounts)
    .bind(columns.types)
    .bind(columns.keys)
    .bind(columns.visitors)
    .bind(columns.actor_hints)
    .bind(columns.account_hints)
    .bind(columns.metadata)
    .bind(columns.actor_resolutions)
    .bind(columns.account_resolutions)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
