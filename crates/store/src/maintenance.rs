//! The store's own background tasks: readiness, partitions, old rows.

use std::time::Duration;

use ids::{Clock as _, SystemClock};
use jiff::{SignedDuration, Timestamp};
use lifecycle::{CheckHandle, Lifecycle, OnExit, Phase, Shutdown, TaskError};

use crate::{Stores, dead_letters, inbox, partitions};

/// Between two looks at Postgres for readiness.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// Before the first round: partitions were made when the store connected, and start-up has enough to do.
const MAINTAIN_FIRST: Duration = Duration::from_secs(30);
/// Between two rounds of maintenance. Partitions exist a week ahead: many rounds may fail before one is missed.
const MAINTAIN_EVERY: Duration = Duration::from_secs(3_600);

pub(crate) fn spawn(stores: &Stores, lifecycle: &Lifecycle) {
    let check = lifecycle.register_check("postgres");
    check.set_ready();
    let watched = stores.clone();
    lifecycle.spawn("store-health", Phase::Base, OnExit::restart(), move |shutdown| {
        watch(watched.clone(), check.clone(), shutdown)
    });
    let maintained = stores.clone();
    lifecycle.spawn(
        "store-maintenance",
        Phase::Base,
        OnExit::restart(),
        move |shutdown| maintain(maintained.clone(), shutdown),
    );
}

/// Uses the owner's pool: requests that fill the others are no reason to take the service out of traffic.
async fn watch(stores: Stores, check: CheckHandle, shutdown: Shutdown) -> Result<(), TaskError> {
    loop {
        match stores.owner.begin().await {
            Ok(tx) => {
                tx.rollback().await;
                check.set_ready();
            }
            Err(error) => check.set_not_ready(error.to_string()),
        }
        if ended(&shutdown, HEALTH_EVERY).await {
            return Ok(());
        }
    }
}

async fn maintain(stores: Stores, shutdown: Shutdown) -> Result<(), TaskError> {
    let mut pause = MAINTAIN_FIRST;
    loop {
        if ended(&shutdown, pause).await {
            return Ok(());
        }
        pause = MAINTAIN_EVERY;
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = round(&stores, SystemClock.now()) => {}
        }
    }
}

/// One round; each part by itself, so that one that fails does not hold up the others.
async fn round(stores: &Stores, now: Timestamp) {
    for spec in stores.kept() {
        match partitions::ensure(&stores.owner, &spec, now).await {
            Ok(changes) if changes == partitions::Changes::default() => {}
            Ok(changes) => tracing::info!(table = spec.table, ?changes, "partitions changed"),
            Err(error) => report("partitions", &error),
        }
    }
    let days = i64::from(stores.owner.settings().inbox_retention_days);
    let before = now
        .saturating_sub(SignedDuration::from_hours(24 * days))
        .unwrap_or(Timestamp::MIN);
    match inbox::delete_before(&stores.pipeline, before).await {
        Ok(deleted) => tracing::debug!(deleted, "old inbox rows deleted"),
        Err(error) => report("inbox", &error),
    }
    if let Err(error) = dead_letters::delete_redriven_before(&stores.pipeline, before).await {
        report("dead letters", &error);
    }
}

fn report(part: &str, error: &crate::StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(part, %error, cause, "maintenance failed; it will be tried again");
}

async fn ended(shutdown: &Shutdown, after: Duration) -> bool {
    tokio::select! {
        () = shutdown.requested() => true,
        () = tokio::time::sleep(after) => false,
    }
}
