//! Following the stream of public events live, from a place that survives reconnects and broker restarts.

mod follow;

use std::pin::Pin;
use std::task::{Context, Poll};

use contracts::Envelope;
use futures::Stream;
use futures::stream::BoxStream;
use ids::OrgId;
use jiff::Timestamp;

use crate::{Bus, Position};

/// Where a tail begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailStart {
    /// With what is published from now on.
    New,
    /// After a message that was read before.
    After(Position),
    /// With the first message published at this time or later.
    Since(Timestamp),
}

/// Which events a tail yields. Always of one organization or of all (for workers only).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailFilter {
    /// Only of this organization.
    pub org: Option<OrgId>,
    /// Only of these types; empty means all.
    pub types: Vec<String>,
}

/// Why a tail ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// Messages after the position are no longer kept. Nothing was yielded; the caller may begin at `earliest`.
    #[error("the position is older than what is kept")]
    Expired {
        /// The oldest place that can be read, to be used with [`TailStart::Since`]; `None` when nothing is kept.
        earliest: Option<Timestamp>,
    },
    /// A type in the filter is not a public event.
    #[error("there is no public event of type {0:?}")]
    UnknownType(String),
}

/// Events in the order of the stream, each with its position. Never ends by itself: it waits while the broker is away
/// and goes on where it was. Each event is yielded at least once and in order; after the broker lost its streams and the
/// outboxes repaired them, events may come a second time, with the same ids. After an error it yields nothing more.
pub struct Tail {
    inner: BoxStream<'static, Result<(Position, Envelope), TailError>>,
}

impl Stream for Tail {
    type Item = Result<(Position, Envelope), TailError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}

pub(crate) fn open(bus: Bus, start: TailStart, filter: TailFilter) -> Tail {
    Tail {
        inner: Box::pin(follow::follow(bus, start, filter)),
    }
}
