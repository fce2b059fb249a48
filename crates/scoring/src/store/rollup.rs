//! Adds recorded batches to the roll-ups, each exactly once.

use std::collections::{BTreeSet, HashSet};

use ::store::{PipelineDb, inbox};
use jiff::Timestamp;
use uuid::Uuid;

use super::corrections::{self, Corrections};
use super::{activity, people, schedule};
use crate::domain::rollup::{Rollup, SortedRollup};
use crate::domain::signal::RecordedSignal;
use crate::error::ScoringError;

/// A recorded batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its id: what makes it count once.
    pub id: Uuid,
    /// Its organization.
    pub org: Uuid,
    /// Its signals.
    pub signals: Vec<RecordedSignal>,
}

/// What became of some batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// Batches added now.
    pub batches: usize,
    /// Their signals.
    pub signals: usize,
    /// Batches that had been added before.
    pub repeated: usize,
}

/// Adds the batches in one transaction, which also claims them and marks their accounts for scoring.
///
/// # Errors
/// [`ScoringError::Store`]; nothing was added then, of none of them.
pub async fn add(
    pipeline: &PipelineDb,
    consumer: &str,
    batches: &[Batch],
    now: Timestamp,
) -> Result<Added, ScoringError> {
    let ids: BTreeSet<Uuid> = batches.iter().map(|batch| batch.id).collect();
    let mut tx = pipeline.begin().await?;
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut new: HashSet<Uuid> = inbox::claim_all(&mut tx, consumer, &ids)
        .await?
        .into_iter()
        .collect();
    // `remove`: one batch delivered twice into one group counts once, too.
    let new: Vec<&Batch> = batches.iter().filter(|batch| new.remove(&batch.id)).collect();
    let repeated = batches.len() - new.len();
    if new.is_empty() {
        tx.rollback().await;
        return Ok(Added {
            repeated,
            ..Added::default()
        });
    }
    let orgs: BTreeSet<Uuid> = new.iter().map(|batch| batch.org).collect();
    corrections::lock_shared(&mut tx, &orgs.into_iter().collect::<Vec<_>>()).await?;
    let corrections = Corrections::load(&mut tx, corrections::actors_of(&new)).await?;
    let rollup = add_up(&new, &corrections);
    activity::add(&mut tx, &rollup.activity).await?;
    activity::add_usage(&mut tx, &rollup.usage).await?;
    people::state_titles(&mut tx, &rollup.titles).await?;
    schedule::mark(&mut tx, &rollup.accounts, now).await?;
    tx.commit().await?;
    Ok(Added {
        batches: new.len(),
        signals: new.iter().map(|batch| batch.signals.len()).sum(),
        repeated,
    })
}

/// The sum of the batches, with actors and accounts as they are known by now.
fn add_up(batches: &[&Batch], corrections: &Corrections) -> SortedRollup {
    let mut rollup = Rollup::default();
    for batch in batches {
        for signal in &batch.signals {
            let (actor, account) = corrections.of(batch.org, signal);
            rollup.add(
                batch.org,
                RecordedSignal {
                    actor,
                    account,
                    ..signal.clone()
                },
            );
        }
    }
    rollup.sorted()
}
