//! Who relays: the holder of an advisory lock. The others try for it until its holder is gone.

use std::time::Duration;

use lifecycle::{Shutdown, TaskError};

use super::Desk;
use crate::bus::chain;

/// How often a process that stands by tries to lead. Bounds how long an outbox rests when the leader dies.
const STAND_BY: Duration = Duration::from_secs(1);
/// The lock's name; the schema is part of its key.
const LOCK: &str = "relay";

pub(super) async fn run(desk: Desk, shutdown: Shutdown) -> Result<(), TaskError> {
    while !shutdown.is_requested() {
        match desk.stores.lead(LOCK).await {
            Ok(Some(mut leadership)) => {
                tracing::info!(service = desk.service, "this process relays the outbox");
                desk.metrics.leading.set(1);
                let done = desk.relay(&mut leadership, &shutdown).await;
                desk.metrics.leading.set(0);
                leadership.resign().await;
                if let Err(error) = done {
                    tracing::warn!(service = desk.service, error = %chain(&error), "the relay stops leading");
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(service = desk.service, error = %chain(&error), "the relay cannot try to lead");
            }
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = tokio::time::sleep(STAND_BY) => {}
        }
    }
    Ok(())
}
