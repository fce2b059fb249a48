//! The loops around the rounds.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifecycle::{Shutdown, TaskError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Scorer;
use crate::error::ScoringError;
use crate::store::{prune as pruning, schedule};

/// How often old history is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// The longest pause after a busy round.
const LONGEST_BREATH: Duration = Duration::from_millis(20);

/// Scores whatever becomes due until shutdown. Woken by `poke` after every roll-up of this process, and looking by
/// itself for what other processes rolled up and for what grew old.
///
/// # Errors
/// The database failed; to be started again.
pub async fn run(scorer: Scorer, poke: Arc<Notify>, shutdown: Shutdown) -> Result<(), TaskError> {
    let poll = Duration::from_millis(scorer.settings().poll_ms);
    let breath = Duration::from_millis(scorer.settings().breath_ms);
    while !shutdown.is_requested() {
        let started = Instant::now();
        let scored = scorer.round().await?;
        // As much pause as work, within bounds: what happens meanwhile is scored together, and the roll-ups, which all
        // else waits for, get their share of the database. With more waiting than fits into a round, a quarter of it.
        let is_full = scored >= usize::try_from(scorer.settings().round_accounts).unwrap_or(usize::MAX);
        let share = started.elapsed() / if is_full { 4 } else { 1 };
        let pause = share.clamp(breath, LONGEST_BREATH.max(breath));
        if scored > 0 {
            shutdown_or(&shutdown, sleep(pause)).await;
            continue;
        }
        let wait = wait(&scorer, poll).await?;
        // A round of nothing costs a query: pokes within the breath are answered together.
        let next = async {
            let _ = timeout(wait, poke.notified()).await;
            sleep(breath).await;
        };
        shutdown_or(&shutdown, next).await;
    }
    Ok(())
}

/// Until the next account is due, but not longer than `poll`.
async fn wait(scorer: &Scorer, poll: Duration) -> Result<Duration, ScoringError> {
    let next = schedule::next_due(scorer.pipeline()).await?;
    let until = |at: Timestamp| Duration::try_from(at.duration_since(scorer.now())).unwrap_or(Duration::ZERO);
    Ok(next.map_or(poll, until).min(poll))
}

async fn shutdown_or(shutdown: &Shutdown, other: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = other => {}
    }
}

/// Deletes history beyond its retention, at once and then hourly.
///
/// # Errors
/// The database failed; to be started again.
pub async fn prune(scorer: Scorer, shutdown: Shutdown) -> Result<(), TaskError> {
    while !shutdown.is_requested() {
        let before = scorer.now() - scorer.settings().history_retention();
        let deleted = pruning::history(scorer.pipeline(), before).await?;
        if deleted > 0 {
            tracing::info!(rows = deleted, "old score history deleted");
        }
        shutdown_or(&shutdown, sleep(PRUNE_EVERY)).await;
    }
    Ok(())
}
