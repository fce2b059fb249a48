//! Running dead letters again when an operator asks for it.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Shutdown, TaskError};
use store::{StoreError, dead_letters};

use super::{Handler, HandlerError, Worker, dead::Letter};
use crate::bus::chain;

/// After the database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// Looks for redrive requests until shutdown.
pub(crate) async fn run<H: Handler>(worker: Arc<Worker<H>>, shutdown: Shutdown) -> Result<(), TaskError> {
    let poll = Duration::from_millis(worker.bus.settings().redrive_poll_ms);
    loop {
        let pause = match worker.redrive_one().await {
            // There may be more.
            Ok(true) => Duration::ZERO,
            Ok(false) => poll,
            Err(error) => {
                tracing::warn!(consumer = %worker.durable, error = %chain(&error), "dead letters cannot be redriven");
                poll.max(PAUSE_AFTER_ERROR)
            }
        };
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl<H: Handler> Worker<H> {
    /// Runs one dead letter again; false when none waits. The row stays locked against other replicas meanwhile. If
    /// this process dies, the request stands and the next run is made harmless by the inbox.
    async fn redrive_one(&self) -> Result<bool, StoreError> {
        let mut tx = self.stores.pipeline.begin().await?;
        let taken = dead_letters::take_redrivable(&mut tx, &self.durable, 1).await?;
        let Some(dead) = taken.into_iter().next() else {
            tx.rollback().await;
            return Ok(false);
        };
        // The transaction idles while the handler runs, which the server would end otherwise.
        let idle = self.spec.handler_timeout + Duration::from_secs(10);
        sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
            .bind(idle.as_millis().to_string())
            .execute(&mut *tx)
            .await?;
        let mut letter = Letter::of_dead(&dead);
        let attempt = letter.attempts + 1;
        // The table adds up attempts.
        letter.attempts = 1;
        let outcome = match letter.envelope() {
            Ok(envelope) => self.attempt(envelope, attempt).await,
            Err(error) => Err(HandlerError::Poison(error.into())),
        };
        match outcome {
            Ok(()) => {
                dead_letters::mark_redriven(&mut tx, &[dead.id]).await?;
                tx.commit().await?;
                self.metrics.consumed.inc();
                tracing::info!(consumer = %self.durable, message_id = %letter.id(), "a dead letter was redriven");
            }
            Err(HandlerError::Retry(error) | HandlerError::Poison(error)) => {
                // First let go of the row: keeping the letter changes it on another connection.
                tx.rollback().await;
                self.keep_dead(&letter, &error).await?;
            }
        }
        Ok(true)
    }
}
