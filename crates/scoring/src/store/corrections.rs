//! What became known of actors after their signals were resolved.
//!
//! A batch may have been resolved before a merge or a link and arrive after it. The move corrects the roll-ups that are
//! there; what arrives later is corrected here. Both take the organization's identity lock, the move alone and the
//! roll-up with others, so that every batch is either moved or corrected, and never both or neither.

use std::collections::HashMap;

use ::store::Tx;
use sqlx::Row as _;
use uuid::Uuid;

use super::rollup::Batch;
use crate::domain::signal::RecordedSignal;
use crate::error::ScoringError;

/// Corrections for the actors of some batches.
#[derive(Debug, Default)]
pub(super) struct Corrections(HashMap<(Uuid, Uuid), Correction>);

#[derive(Debug)]
struct Correction {
    contact: Option<Uuid>,
    account: Option<Uuid>,
}

/// The known actors of some batches; of each, whether it has signals without account: only they need one.
pub(super) struct Actors {
    orgs: Vec<Uuid>,
    ids: Vec<Uuid>,
    homeless: Vec<bool>,
}

/// Collects the actors of batches.
pub(super) fn actors_of(batches: &[&Batch]) -> Actors {
    let mut actors: HashMap<(Uuid, Uuid), bool> = HashMap::new();
    for batch in batches {
        for signal in batch.signals.iter().filter(|signal| !signal.actor.is_nil()) {
            *actors.entry((batch.org, signal.actor)).or_default() |= signal.account.is_nil();
        }
    }
    let mut columns = Actors {
        orgs: Vec::new(),
        ids: Vec::new(),
        homeless: Vec::new(),
    };
    for ((org, actor), is_homeless) in actors {
        columns.orgs.push(org);
        columns.ids.push(actor);
        columns.homeless.push(is_homeless);
    }
    columns
}

/// Takes the identity locks of the organizations, shared with other roll-ups. In passing, see [`super::by_index`].
pub(super) async fn lock_shared(tx: &mut Tx, orgs: &[Uuid]) -> Result<(), ScoringError> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('scoring/identity/' || o, 0)),
                set_config('enable_seqscan', 'off', true)
         FROM unnest($1::uuid[]) o ORDER BY o",
    )
    .bind(orgs)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes the identity lock of an organization alone.
pub(super) async fn lock_alone(tx: &mut Tx, org: Uuid) -> Result<(), ScoringError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('scoring/identity/' || $1::uuid, 0))")
        .bind(org)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Corrections {
    /// Reads what is known by now of these actors. The lock is held.
    pub(super) async fn load(tx: &mut Tx, actors: Actors) -> Result<Self, ScoringError> {
        let Actors { orgs, ids, homeless } = actors;
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let rows = sqlx::query(
            "SELECT k.org_id, k.actor_id, a.contact_id, COALESCE(a.account_id, l.account_id) AS account_id
             FROM unnest($1::uuid[], $2::uuid[], $3::bool[]) AS k(org_id, actor_id, homeless)
             LEFT JOIN actor_aliases a ON a.org_id = k.org_id AND a.actor_id = k.actor_id
             LEFT JOIN actor_accounts l
                 ON k.homeless AND l.org_id = k.org_id AND l.actor_id = COALESCE(a.contact_id, k.actor_id)
             WHERE a.contact_id IS NOT NULL OR l.account_id IS NOT NULL",
        )
        .bind(&orgs)
        .bind(&ids)
        .bind(&homeless)
        .fetch_all(&mut **tx)
        .await?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows {
            let correction = Correction {
                contact: row.try_get(2)?,
                account: row.try_get(3)?,
            };
            known.insert((row.try_get(0)?, row.try_get(1)?), correction);
        }
        Ok(Self(known))
    }

    /// Actor and account that the signal counts for by now.
    pub(super) fn of(&self, org: Uuid, signal: &RecordedSignal) -> (Uuid, Uuid) {
        let Some(correction) = self.0.get(&(org, signal.actor)) else {
            return (signal.actor, signal.account);
        };
        let account = if signal.account.is_nil() {
            correction.account.unwrap_or_default()
        } else {
            signal.account
        };
        (correction.contact.unwrap_or(signal.actor), account)
    }
}
