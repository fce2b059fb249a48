//! The callers' side: one call in, its own answer out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{
    Lane,
    lane::LastLane,
    queue::{Queue, Waiting},
};

/// The bounds of one coalescer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many bulk calls may be in flight; at least 1.
    pub lanes: usize,
    /// The most calls in one group; at least 1.
    pub max_items: usize,
    /// The most weight in one group (a single heavier call goes alone).
    pub max_weight: usize,
    /// The most calls waiting; one more is refused.
    pub max_queued_items: usize,
    /// The most weight waiting; one more call is refused, unless it would wait alone.
    pub max_queued_weight: usize,
    /// The least time between the beginnings of a lane's groups: under load, groups become larger and cost less. The
    /// first call after a rest does not wait. Zero for none.
    pub breath: Duration,
    /// So many waiting calls end a rest: their group is large enough.
    pub crowd: usize,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError<Err> {
    /// The queue is full and nothing was done: try again later (503 with `Retry-After`).
    #[error("too many calls are waiting")]
    Overloaded,
    /// The lanes have stopped and nothing was done.
    #[error("the service is shutting down")]
    Closed,
    /// The bulk call panicked or was dropped; whether it took effect is unknown.
    #[error("the bulk call was aborted")]
    Aborted,
    /// The bulk call broke its contract: not one answer per request.
    #[error("the bulk call answered {answers} of {requests} requests")]
    WrongLength {
        /// How many requests were in the group.
        requests: usize,
        /// How many answers came.
        answers: usize,
    },
    /// The bulk call failed, for every member of the group.
    #[error("the bulk call failed")]
    Bulk(#[source] Err),
}

/// Takes single calls. Cheap to clone.
pub struct Coalescer<Req, Res, Err> {
    queue: Arc<Queue<Req, Res, Err>>,
}

impl<Req, Res, Err> Clone for Coalescer<Req, Res, Err> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
        }
    }
}

impl<Req, Res, Err> Coalescer<Req, Res, Err> {
    /// A coalescer and its lanes, each to be run in a task of its own.
    pub fn new(options: Options) -> (Self, Vec<Lane<Req, Res, Err>>) {
        let queue = Arc::new(Queue::new(options));
        let last = Arc::new(LastLane(Arc::clone(&queue)));
        let lanes = (0..options.lanes.max(1))
            .map(|_| Lane::new(Arc::clone(&last)))
            .collect();
        (Self { queue }, lanes)
    }

    /// Makes one call of a weight (bytes, rows, or 0 where only the count matters). Dropping the
    /// future forgets the answer, but neither takes the request back nor disturbs its group.
    ///
    /// # Errors
    /// See [`CallError`]; only `Aborted` leaves open whether the call took effect.
    pub async fn call(&self, request: Req, weight: usize) -> Result<Res, CallError<Err>> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Waiting {
            request,
            weight,
            answer,
        })?;
        answered.await.unwrap_or(Err(CallError::Aborted))
    }

    /// How many calls wait, and their weight: for a gauge.
    pub fn queued(&self) -> (usize, usize) {
        self.queue.queued()
    }
}
