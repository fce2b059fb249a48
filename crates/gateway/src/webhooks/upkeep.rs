//! What is done now and then: replays, holding what waits for disabled webhooks, old figures, gauges, partitions.
//!
//! An idempotent reconciler: takes no input, can be killed anywhere, may run in many processes.

use std::sync::Arc;
use std::time::Duration;

use ::store::StoreError;
use ::store::partitions::PartitionSpec;
use jiff::SignedDuration;
use lifecycle::{Lifecycle, OnExit, Phase};
use tokio::time::Instant;

use super::metrics::HookMetrics;
use super::store::{replays, upkeep as table};
use super::{Deps, WebhookSettings};

/// Between looks for replays and leftovers.
const EVERY: Duration = Duration::from_millis(500);
/// Between looks at the queue's depth.
const GAUGES: Duration = Duration::from_secs(10);
/// Between deletions of old figures.
const OLD: Duration = Duration::from_secs(3_600);
/// Days of hours' figures that are kept: those that can be asked for.
const STATS_DAYS: i64 = 32;

/// Starts the tasks.
pub fn spawn(settings: &WebhookSettings, deps: &Arc<Deps>, metrics: &HookMetrics, lifecycle: &Lifecycle) {
    let days = settings.retention_days;
    let this = Arc::clone(deps);
    lifecycle.spawn(
        "webhook-partitions",
        Phase::Work,
        OnExit::restart(),
        move |shutdown| {
            let deps = Arc::clone(&this);
            async move {
                for table in ["webhook_bodies", "webhook_deliveries", "webhook_attempts"] {
                    deps.stores.keep_partitions(partitions(table, days)).await?;
                }
                shutdown.requested().await;
                Ok(())
            }
        },
    );
    let (deps, metrics) = (Arc::clone(deps), metrics.clone());
    lifecycle.spawn(
        "webhook-upkeep",
        Phase::Work,
        OnExit::restart(),
        move |shutdown| {
            let mut upkeep = Upkeep {
                deps: Arc::clone(&deps),
                metrics: metrics.clone(),
                gauges: None,
                old: None,
            };
            async move {
                loop {
                    tokio::select! {
                        () = shutdown.requested() => return Ok(()),
                        done = upkeep.run() => {
                            if let Err(error) = done {
                                tracing::warn!(%error, "the upkeep of webhooks waits for the database");
                            }
                        }
                    }
                    tokio::select! {
                        () = shutdown.requested() => return Ok(()),
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
            }
        },
    );
}

fn partitions(table: &'static str, days: u32) -> PartitionSpec {
    PartitionSpec {
        table,
        id_column: "id",
        every_days: 1,
        ahead_days: 3,
        retention_days: Some(days),
        keep_while: None,
    }
}

struct Upkeep {
    deps: Arc<Deps>,
    metrics: HookMetrics,
    gauges: Option<Instant>,
    old: Option<Instant>,
}

impl Upkeep {
    async fn run(&mut self) -> Result<(), StoreError> {
        let db = &self.deps.stores.pipeline;
        while replays::work(db, self.deps.clock.now()).await? {
            self.deps.poke.notify_one();
        }
        while table::hold_leftovers(db).await? {}
        if self.gauges.is_none_or(|at| at.elapsed() >= GAUGES) {
            let (pending, oldest) = table::depth(db, self.deps.clock.now()).await?;
            self.metrics.pending.set(pending);
            self.metrics.oldest_due_seconds.set(oldest);
            self.gauges = Some(Instant::now());
        }
        if self.old.is_none_or(|at| at.elapsed() >= OLD) {
            let age = SignedDuration::from_hours(24 * STATS_DAYS);
            if let Ok(before) = self.deps.clock.now().checked_sub(age) {
                table::delete_old(db, before).await?;
            }
            self.old = Some(Instant::now());
        }
        Ok(())
    }
}
