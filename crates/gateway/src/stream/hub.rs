//! The one tail of a gateway: reads all public events and fills the ring.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contracts::StreamKind;
use eventbus::{Bus, Position, TailFilter, TailStart};
use futures::StreamExt as _;
use ids::Clock;
use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};

use super::ring::Ring;

/// Before the broker is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// The ring, once the hub has found its start.
#[derive(Clone, Default)]
pub struct Hub(Arc<OnceLock<Ring>>);

impl Hub {
    /// Starts the tail as a task of `lifecycle`.
    pub fn start(max_bytes: usize, bus: Bus, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) -> Self {
        let hub = Self::default();
        let filled = hub.clone();
        lifecycle.spawn("event-hub", Phase::Work, OnExit::restart(), move |shutdown| {
            filled
                .clone()
                .fill(max_bytes, bus.clone(), Arc::clone(&clock), shutdown)
        });
        hub
    }

    /// The ring; `None` until the broker was reached for the first time.
    pub fn ring(&self) -> Option<&Ring> {
        self.0.get()
    }

    async fn fill(
        self,
        max_bytes: usize,
        bus: Bus,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> Result<(), TaskError> {
        let start = tokio::select! {
            start = end_of_stream(&bus, &*clock) => start,
            () = shutdown.requested() => return Ok(()),
        };
        let mut is_new = false;
        let ring = self.0.get_or_init(|| {
            is_new = true;
            Ring::new(max_bytes, start)
        });
        if !is_new {
            ring.restart(start);
        }
        let mut tail = bus.tail(TailStart::After(start), TailFilter::default());
        loop {
            let next = tokio::select! {
                next = tail.next() => next,
                () = shutdown.requested() => return Ok(()),
            };
            match next {
                Some(Ok((position, envelope))) => ring.push(position, envelope),
                // The task starts anew, and readers catch up by themselves.
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the tail of the event stream ended".into()),
            }
        }
    }
}

/// Where the stream ends at this moment.
async fn end_of_stream(bus: &Bus, clock: &dyn Clock) -> Position {
    loop {
        match bus.first_and_last(StreamKind::Events).await {
            Ok(edges) => {
                return Position {
                    stream_created: edges.created,
                    seq: edges.last_seq,
                    time: clock.now(),
                };
            }
            Err(error) => {
                tracing::debug!(%error, "the event stream cannot be looked at yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
