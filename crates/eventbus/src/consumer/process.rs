//! From one delivered message to its answer to the broker.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use lifecycle::Shutdown;

use super::{Handler, HandlerError, Worker, dead::Letter, run::Room};

/// Pauses of a message whose handler waits for the database.
const OUTAGE_PAUSE: Duration = Duration::from_millis(100);
const OUTAGE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the broker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Done, or kept as a dead letter.
    Ack,
    /// Again after a pause.
    Again(Duration),
    /// Nothing: the ack wait ends it. After the last attempt that makes an advisory, which `sweep` collects.
    Leave,
}

/// Handles one message and answers. Answers are sent without waiting: a lost one means a redelivery, which the inbox
/// makes harmless (and a confirmed one would not rule that out, see the crate's README).
pub(crate) async fn process<H: Handler>(
    worker: &Worker<H>,
    message: &jetstream::Message,
    room: &Room,
    shutdown: &Shutdown,
) {
    let (delivered, pending) = message
        .info()
        .map_or((1, 0), |info| (info.delivered, info.pending));
    worker
        .metrics
        .pending
        .set(i64::try_from(pending).unwrap_or(i64::MAX));
    if delivered > 1 {
        worker.metrics.redelivered.inc();
    }
    let answer = tokio::select! {
        answer = decide(worker, message, delivered, room, shutdown) => answer,
        never = keep_alive(message, worker.spec.ack_wait()) => match never {},
    };
    let sent = match answer {
        Answer::Ack => message.ack().await,
        Answer::Again(pause) => message.ack_with(AckKind::Nak(Some(pause))).await,
        Answer::Leave => Ok(()),
    };
    if let Err(error) = sent {
        tracing::debug!(consumer = %worker.durable, %error, "an answer could not be sent; the message comes again");
    }
}

/// Tells the broker that the message is still in hand, while it waits for a handler, a handler runs long, or the
/// database is away.
async fn keep_alive(message: &jetstream::Message, ack_wait: Duration) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(ack_wait / 3).await;
        if let Err(error) = message.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "progress could not be reported");
        }
    }
}

async fn decide<H: Handler>(
    worker: &Worker<H>,
    message: &jetstream::Message,
    delivered: i64,
    room: &Room,
    shutdown: &Shutdown,
) -> Answer {
    let names = worker.bus.names();
    let letter = Letter::of_delivery(message, names, delivered);
    let envelope = match letter.envelope() {
        Ok(envelope) => envelope,
        Err(error) => return worker.bury(letter, error.into(), shutdown).await,
    };
    let Ok(_running) = room.running.acquire().await else {
        return Answer::Again(Duration::ZERO);
    };
    let mut outage = OUTAGE_PAUSE;
    loop {
        let error = match worker.attempt(envelope.clone(), delivered).await {
            Ok(()) => {
                worker.metrics.consumed.inc();
                return Answer::Ack;
            }
            Err(HandlerError::Poison(error)) => return worker.bury(letter, error, shutdown).await,
            Err(HandlerError::Retry(error)) => error,
        };
        if worker.is_outage(&error).await {
            tracing::warn!(consumer = %worker.durable, event_id = %envelope.id, error = %one_line(&error), "the database is away; the message waits for it");
            if !wait(outage, shutdown).await {
                return Answer::Again(Duration::ZERO);
            }
            outage = (outage * 2).min(OUTAGE_PAUSE_MAX);
            continue;
        }
        if delivered >= worker.spec.max_deliver {
            return worker.bury(letter, error, shutdown).await;
        }
        let pause = worker.spec.pause(delivered);
        worker.metrics.retries.inc();
        tracing::warn!(consumer = %worker.durable, event_id = %envelope.id, attempt = delivered, ?pause, error = %one_line(&error), "the message was not handled and comes again");
        return Answer::Again(pause);
    }
}

impl<H: Handler> Worker<H> {
    /// Keeps the message as a dead letter. Until that is stored, the message stays with the broker.
    async fn bury(&self, letter: Letter, error: anyhow::Error, shutdown: &Shutdown) -> Answer {
        let mut outage = OUTAGE_PAUSE;
        loop {
            match self.keep_dead(&letter, &error).await {
                Ok(()) => return Answer::Ack,
                Err(failure) if failure.class() == store::Class::Unavailable => {
                    if !wait(outage, shutdown).await {
                        break;
                    }
                    outage = (outage * 2).min(OUTAGE_PAUSE_MAX);
                }
                Err(failure) => {
                    tracing::error!(consumer = %self.durable, error = %crate::bus::chain(&failure), "a dead letter cannot be stored");
                    break;
                }
            }
        }
        if letter.attempts >= self.spec.max_deliver {
            Answer::Leave
        } else {
            Answer::Again(self.spec.pause(letter.attempts))
        }
    }
}

/// False when shutdown came first.
async fn wait(pause: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.requested() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

/// The error with its causes on one line.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
