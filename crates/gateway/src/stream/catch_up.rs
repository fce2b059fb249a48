//! Reading from the broker, for a connection whose place is older than the ring.

use contracts::StreamKind;
use errors::{ApiError, ErrorCode};
use eventbus::{Position, Tail, TailFilter, TailStart};
use ids::OrgId;
use telemetry::IntGauge;
use tokio::sync::OwnedSemaphorePermit;

use super::cursor::Place;
use super::open::Shared;

/// A tail of one organization, and the right to have it.
pub struct CatchUp {
    /// The messages after the place.
    pub tail: Tail,
    open: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl CatchUp {
    /// Reads on after `place`.
    pub(super) fn start(shared: &Shared, org: OrgId, place: &Place, permit: OwnedSemaphorePermit) -> Self {
        // All types: the reader's place must move on also over messages that it does not show.
        let filter = TailFilter {
            org: Some(org),
            types: Vec::new(),
        };
        let open = shared.metrics.catching_up.clone();
        open.inc();
        Self {
            tail: shared.bus.tail(TailStart::After(place.read_after()), filter),
            open,
            _permit: permit,
        }
    }
}

impl Drop for CatchUp {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// Refuses a place whose messages are no longer kept.
///
/// # Errors
/// `cursor_expired` with the earliest cursor that can be read; `unavailable` when the broker cannot be asked.
pub(super) async fn check_kept(shared: &Shared, org: OrgId, place: &Place) -> Result<(), ApiError> {
    let edges = shared
        .bus
        .first_and_last(StreamKind::Events)
        .await
        .map_err(|_| ApiError::unavailable("earlier events cannot be read just now"))?;
    let after = place.read_after();
    let same_stream = after.stream_created == edges.created && after.seq <= edges.last_seq;
    if !same_stream || after.seq + 1 >= edges.first_seq {
        return Ok(());
    }
    let earliest = Place::after(Position {
        stream_created: edges.created,
        seq: edges.first_seq.saturating_sub(1),
        time: edges.first_time.unwrap_or(after.time),
    });
    Err(expired(
        edges.first_time,
        Some(shared.cursors.write(org, &earliest)),
    ))
}

/// The place is too old.
pub fn expired(earliest: Option<jiff::Timestamp>, cursor: Option<String>) -> ApiError {
    let detail = match earliest {
        Some(at) => {
            format!("events after this cursor are no longer kept; the earliest kept event is of {at}")
        }
        None => "events after this cursor are no longer kept, and there are none at present".to_owned(),
    };
    let error = ApiError::new(ErrorCode::CursorExpired, detail);
    match cursor {
        Some(cursor) => error.with("earliestCursor", cursor),
        None => error,
    }
}
