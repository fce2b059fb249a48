//! The task that makes search documents of what was there before there was a search. Idempotent: it can be ended anywhere, and
//! run in several processes.

use std::time::Duration;

use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};

use crate::domain::search::Kind;
use crate::store::Records;

/// Before another try after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// Starts the task `crm-search-backfill`.
pub(crate) fn spawn(records: Records, lifecycle: &Lifecycle) {
    lifecycle.spawn(
        "crm-search-backfill",
        Phase::Base,
        OnExit::restart(),
        move |shutdown| run(records.clone(), shutdown),
    );
}

async fn run(records: Records, shutdown: Shutdown) -> Result<(), TaskError> {
    for kind in Kind::ALL {
        loop {
            let done = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                done = records.backfill_search(kind) => done,
            };
            match done {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(
                        error = %format!("{:#}", anyhow::Error::new(error)),
                        kind = kind.name(),
                        "records could not be made searchable; it will be tried again"
                    );
                    tokio::select! {
                        () = shutdown.requested() => return Ok(()),
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
    }
    shutdown.requested().await;
    Ok(())
}
