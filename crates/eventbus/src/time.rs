//! Between the broker client's times and ours.

use async_nats::datetime::DateTime;
use jiff::Timestamp;

/// From the broker. Times outside of jiff's range (there are none in practice) become the epoch.
pub(crate) fn timestamp(at: DateTime) -> Timestamp {
    Timestamp::from_nanosecond(at.unix_timestamp_nanos()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// To the broker; `None` outside of its range.
pub(crate) fn datetime(at: Timestamp) -> Option<DateTime> {
    DateTime::from_unix_timestamp_nanos(at.as_nanosecond()).ok()
}
