//! The task that forgets what is kept for a bounded time only. Idempotent: it can be ended anywhere, and run twice.

use std::time::Duration;

use jiff::SignedDuration;
use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};

use crate::store::Records;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(3_600);
/// Before the first: a start has enough to do.
const FIRST: Duration = Duration::from_secs(60);

/// Starts the task `crm-retention`.
pub(crate) fn spawn(records: Records, days: u32, lifecycle: &Lifecycle) {
    lifecycle.spawn("crm-retention", Phase::Base, OnExit::restart(), move |shutdown| {
        run(records.clone(), days, shutdown)
    });
}

async fn run(records: Records, days: u32, shutdown: Shutdown) -> Result<(), TaskError> {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = EVERY;
        let kept = SignedDuration::from_hours(24 * i64::from(days));
        let Ok(before) = records.now().checked_sub(kept) else {
            continue;
        };
        match records.forget_score_changes(before).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "old moves of scores deleted"),
            Err(error) => tracing::error!(
                error = %format!("{:#}", anyhow::Error::new(error)),
                "old moves of scores could not be deleted; it will be tried again"
            ),
        }
    }
}
