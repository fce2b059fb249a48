//! The task that pulls messages and gives each to a handler.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use lifecycle::{Shutdown, TaskError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Handler, Worker, process};
use crate::{attach, bus::chain, pull::Puller};

/// Between two attempts to set the pull up.
const REATTACH_PAUSE: Duration = Duration::from_millis(200);
/// When the consumer cannot be made for long.
const REATTACH_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a pull ended.
enum End {
    Shutdown,
    /// Streams may have changed: look at stream and consumer again.
    Epoch,
    /// Silence or an error.
    Lost,
}

/// Handlers of this process: who may run, and who may wait.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) running: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

/// Consumes until shutdown, then waits for what is in hand.
pub(crate) async fn run<H: Handler>(worker: Arc<Worker<H>>, shutdown: Shutdown) -> Result<(), TaskError> {
    let room = Room {
        running: Arc::new(Semaphore::new(worker.spec.concurrency)),
        slots: Arc::new(Semaphore::new(worker.spec.slots())),
    };
    let mut epochs = worker.bus.epochs();
    let mut pause = REATTACH_PAUSE;
    while !shutdown.is_requested() {
        epochs.mark_unchanged();
        match worker.attach().await {
            Ok(mut puller) => {
                pause = REATTACH_PAUSE;
                let end = pump(&worker, &mut puller, &room, &mut epochs, &shutdown).await;
                put_back(&worker, puller, &room, &end, &shutdown).await;
                if matches!(end, End::Lost) {
                    worker.metrics.rebuilt.inc();
                    worker.bus.complain();
                    rest(REATTACH_PAUSE, &shutdown).await;
                }
            }
            Err(error) => {
                tracing::warn!(consumer = %worker.durable, error = %chain(&error), "consumer cannot be set up");
                worker.bus.complain();
                rest(pause, &shutdown).await;
                pause = (pause * 2).min(REATTACH_PAUSE_MAX);
            }
        }
    }
    let all = u32::try_from(worker.spec.slots()).unwrap_or(u32::MAX);
    // Every message in hand holds a slot.
    let _all_done = room.slots.acquire_many(all).await;
    Ok(())
}

async fn rest(pause: Duration, shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

async fn pump<H: Handler>(
    worker: &Arc<Worker<H>>,
    puller: &mut Puller,
    room: &Room,
    epochs: &mut watch::Receiver<u64>,
    shutdown: &Shutdown,
) -> End {
    loop {
        let slot = tokio::select! {
            () = shutdown.requested() => return End::Shutdown,
            slot = Arc::clone(&room.slots).acquire_owned() => match slot {
                Ok(slot) => slot,
                Err(_closed) => return End::Shutdown,
            },
        };
        let free = 1 + room.slots.available_permits();
        let pulled = tokio::select! {
            biased;
            () = shutdown.requested() => return End::Shutdown,
            changed = epochs.changed() => return if changed.is_ok() { End::Epoch } else { End::Shutdown },
            pulled = puller.next(free) => pulled,
        };
        match pulled {
            Ok(Some(message)) => start(worker, message, slot, room, shutdown),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(consumer = %worker.durable, error = %chain(&error), "the pull is set up again");
                return End::Lost;
            }
        }
    }
}

/// What was delivered to the old pull and not read: it is handled, or at shutdown handed back.
async fn put_back<H: Handler>(
    worker: &Arc<Worker<H>>,
    mut puller: Puller,
    room: &Room,
    end: &End,
    shutdown: &Shutdown,
) {
    for message in puller.drain() {
        let slot = match end {
            End::Shutdown => None,
            End::Epoch | End::Lost => Arc::clone(&room.slots).try_acquire_owned().ok(),
        };
        match slot {
            Some(slot) => start(worker, message, slot, room, shutdown),
            // Lost when the connection is down; the ack wait brings the message back then.
            None => drop(message.ack_with(AckKind::Nak(None)).await),
        }
    }
}

fn start<H: Handler>(
    worker: &Arc<Worker<H>>,
    message: jetstream::Message,
    slot: OwnedSemaphorePermit,
    room: &Room,
    shutdown: &Shutdown,
) {
    let (worker, room, shutdown) = (Arc::clone(worker), room.clone(), shutdown.clone());
    worker.metrics.in_hand.inc();
    // Bounded by the slots; ends within the handler's timeout, or soon after shutdown when the database is away.
    drop(lifecycle::detach("eventbus.message", async move {
        process::process(&worker, &message, &room, &shutdown).await;
        worker.metrics.in_hand.dec();
        drop(slot);
    }));
}

impl<H: Handler> Worker<H> {
    async fn attach(&self) -> Result<Puller, crate::BusError> {
        let names = self.bus.names();
        let mut config =
            attach::durable_config(&self.durable, vec![names.filter(self.spec.event, self.stream)]);
        config.ack_wait = self.spec.ack_wait();
        config.max_deliver = self.spec.max_deliver;
        config.max_ack_pending = self.spec.max_ack_pending();
        attach::attach(&self.bus, &names.stream(self.stream), config).await
    }
}
