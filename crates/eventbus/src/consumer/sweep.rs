//! Collecting messages that the broker has given up on without our telling it to: every attempt ended with a worker that
//! was killed, or a dead letter could not be stored. Such a message shows in no lag figure; the broker says so once, in
//! an advisory, which the stream ADVISORIES keeps.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, AckKind, stream::RawMessageErrorKind};
use lifecycle::{Shutdown, TaskError};
use serde::Deserialize;

use super::{Handler, Worker, dead::Letter};
use crate::{attach, bus::chain, pull::Puller};

/// Messages of the broker about consumers are rare; one at a time is enough.
const BATCH: usize = 1;
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Until an advisory that could not be followed comes again.
const RETRY: Duration = Duration::from_secs(5);
const ACK_WAIT: Duration = Duration::from_secs(30);

/// What the broker says of a message that it gave up on
/// (`io.nats.jetstream.advisory.v1.max_deliver` and `….terminated`).
#[derive(Debug, Deserialize)]
struct Advisory {
    stream: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: i64,
    #[serde(default)]
    reason: Option<String>,
}

/// Name of the consumer that collects what the broker gave up on for `durable`.
pub(crate) fn sweep_of(durable: &str) -> String {
    format!("sweep_{durable}")
}

/// Follows the advisories about this consumer until shutdown. Replicas share the work.
pub(crate) async fn run<H: Handler>(worker: Arc<Worker<H>>, shutdown: Shutdown) -> Result<(), TaskError> {
    let mut epochs = worker.bus.epochs();
    let mut pause = PAUSE;
    while !shutdown.is_requested() {
        epochs.mark_unchanged();
        let end = async {
            let mut puller = worker.attach_sweep().await.map_err(|error| chain(&error))?;
            pause = PAUSE;
            loop {
                if let Some(advisory) = puller.next(BATCH).await.map_err(|error| chain(&error))? {
                    worker.follow(&advisory).await;
                }
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Ok::<(), String>(())
        };
        tokio::select! {
            () = shutdown.requested() => {}
            _ = epochs.changed() => {}
            ended = end => {
                if let Err(error) = ended {
                    tracing::debug!(consumer = %worker.durable, %error, "the sweep is set up again");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    Ok(())
}

impl<H: Handler> Worker<H> {
    async fn attach_sweep(&self) -> Result<Puller, crate::BusError> {
        let names = self.bus.names();
        let durable = sweep_of(&self.durable);
        let mut config = attach::durable_config(&durable, names.advisories_of(self.stream, &self.durable));
        config.ack_wait = ACK_WAIT;
        config.max_ack_pending = 16;
        config.max_deliver = -1;
        attach::attach(&self.bus, &names.advisories(), config).await
    }

    async fn follow(&self, message: &jetstream::Message) {
        let answer = match self.collect(message).await {
            Ok(()) => AckKind::Ack,
            Err(error) => {
                tracing::warn!(consumer = %self.durable, error = %format!("{error:#}"), "an advisory cannot be followed yet");
                AckKind::Nak(Some(RETRY))
            }
        };
        if let Err(error) = message.ack_with(answer).await {
            tracing::debug!(%error, "an advisory comes again");
        }
    }

    /// Fetches the message that the advisory is about and keeps it as a dead letter, unless that was done before.
    async fn collect(&self, message: &jetstream::Message) -> anyhow::Result<()> {
        let advisory: Advisory = match serde_json::from_slice(&message.payload) {
            Ok(advisory) => advisory,
            Err(error) => {
                tracing::error!(%error, "an advisory of the broker cannot be read");
                return Ok(());
            }
        };
        let stream = self.bus.js().get_stream_no_info(&advisory.stream).await?;
        let stored = match stream.get_raw_message(advisory.stream_seq).await {
            Ok(stored) => stored,
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                tracing::error!(consumer = %self.durable, ?advisory, "the broker gave up on a message that is no longer kept");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let letter = Letter::of_stored(&advisory.stream, stored, self.bus.names(), advisory.deliveries);
        let reason = advisory.reason.unwrap_or_else(|| {
            format!(
                "the broker gave up after {} deliveries without an answer",
                advisory.deliveries
            )
        });
        self.keep_dead(&letter, &anyhow::anyhow!(reason)).await?;
        Ok(())
    }
}
