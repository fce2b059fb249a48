//! Who relays: the holder of an advisory lock.

use lifecycle::{Shutdown, TaskError};

use super::Desk;

pub(super) async fn run(_desk: Desk, shutdown: Shutdown) -> Result<(), TaskError> {
    shutdown.requested().await;
    Ok(())
}
