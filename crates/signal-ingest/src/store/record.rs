//! The recording transaction: a resolved batch becomes rows, once, corrected by what is known of identities by then.
//!
//! Order of statements matters. The organization's lock comes first and is held to the end: an identity change
//! ([`super::rewrite`]) takes it exclusively, so it either waits for these rows and then rewrites them, or has committed
//! before and is read here.

use contracts::Envelope;
use contracts::events::v1::SignalsRecorded;
use contracts::signals::v1::Resolution;
use ids::{BatchId, EventId, IdGen, OrgId};
use jiff::Timestamp;
use store::{PipelineDb, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::accept::SOURCE;
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

/// Records a batch and enqueues `signals.recorded`. `false` when it was recorded before.
///
/// # Errors
/// Nothing was stored.
pub async fn record(
    db: &PipelineDb,
    ids: &dyn IdGen,
    now: Timestamp,
    org: OrgId,
    batch: BatchId,
    mut signals: Vec<Resolved>,
) -> Result<bool, IngestError> {
    let mut tx = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
        .bind(lock_key(org))
        .execute(&mut *tx)
        .await?;
    if !store::inbox::claim(&mut tx, CONSUMER, batch.uuid()).await? {
        tx.rollback().await;
        return Ok(false);
    }
    let corrections = corrections(&mut tx, org, &signals).await?;
    for signal in &mut signals {
        corrections.apply(signal);
    }
    insert(&mut tx, org, batch, &signals).await?;
    let event = SignalsRecorded {
        batch_id: batch.to_string(),
        organization_id: org.to_string(),
        signals: signals.into_iter().map(Resolved::into_signal).collect(),
    };
    let envelope = Envelope::wrap(&event, EventId::new(ids), org, batch.to_string(), SOURCE, now);
    eventbus::enqueue(&mut tx, &envelope).await?;
    tx.commit().await?;
    Ok(true)
}

/// An actor; whom it was merged into, and how; that person's account, and how.
type Known = (Uuid, Option<Uuid>, Option<String>, Option<Uuid>, Option<String>);

/// What became known of the batch's actors and contacts while it was on its way.
async fn corrections(tx: &mut Tx, org: OrgId, signals: &[Resolved]) -> Result<Corrections, IngestError> {
    let mut actors: Vec<Uuid> = signals.iter().filter_map(|s| s.attribution.actor).collect();
    actors.sort_unstable();
    actors.dedup();
    if actors.is_empty() {
        return Ok(Corrections::default());
    }
    let rows: Vec<Known> = sqlx::query_as(
        "SELECT a.id, m.contact_id, m.resolution::text, c.account_id, c.resolution::text
         FROM unnest($2::uuid[]) AS a (id)
         LEFT JOIN actor_aliases m ON m.org_id = $1 AND m.from_actor_id = a.id
         LEFT JOIN contact_accounts c ON c.org_id = $1 AND c.contact_id = coalesce(m.contact_id, a.id)
         WHERE m.contact_id IS NOT NULL OR c.account_id IS NOT NULL",
    )
    .bind(org.uuid())
    .bind(&actors)
    .fetch_all(&mut **tx)
    .await?;
    let mut corrections = Corrections::default();
    for (actor, contact, merged_by, account, linked_by) in rows {
        let contact = contact.map(|id| (id, resolution(merged_by.as_deref())));
        let account = account.map(|id| (id, resolution(linked_by.as_deref())));
        corrections.add(actor, contact, account);
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
    fn push(&mut self, resolved: &Resolved) {
        let signal = &resolved.signal;
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

async fn insert(tx: &mut Tx, org: OrgId, batch: BatchId, signals: &[Resolved]) -> Result<(), IngestError> {
    let mut columns = Columns::default();
    signals.iter().for_each(|signal| columns.push(signal));
    sqlx::query(
        "INSERT INTO signals (org_id, batch_id, id, occurred_at, received_at, source_id, actor_id, contact_id,
                              account_id, type, idempotency_key, anonymous_id, actor, account, metadata,
                              actor_resolution, account_resolution)
         SELECT $1, $2, s.id, s.occurred_at, s.received_at, s.source_id, s.actor_id, s.contact_id, s.account_id,
                s.type, s.key, s.visitor, s.actor::jsonb, s.account::jsonb, s.metadata::jsonb,
                s.actor_resolution::jsonb, s.account_resolution::jsonb
         FROM unnest($3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::uuid[], $8::uuid[],
                     $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                     $16::text[], $17::text[])
              AS s (id, occurred_at, received_at, source_id, actor_id, contact_id, account_id, type, key, visitor,
                    actor, account, metadata, actor_resolution, account_resolution)",
    )
    .bind(org.uuid())
    .bind(batch.uuid())
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
