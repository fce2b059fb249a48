//! The bounds of what is accepted. Each is a setting; the reasons stand in `default.toml`.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// How much one request and one signal may hold, and how far from now a signal may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most signals in one request.
    pub max_items: usize,
    /// Most bytes in the body of one request.
    pub max_body_bytes: usize,
    /// Most bytes of one signal as sent.
    pub max_signal_bytes: usize,
    /// How many days back a signal may have happened.
    pub max_age_days: u32,
    /// How many seconds ahead of our clock a signal may claim to have happened.
    pub max_ahead_secs: u32,
}

impl Limits {
    /// The earliest time a signal accepted at `now` may have.
    #[must_use]
    pub fn earliest(&self, now: Timestamp) -> Timestamp {
        let age = SignedDuration::from_hours(i64::from(self.max_age_days) * 24);
        now.checked_sub(age).unwrap_or(Timestamp::MIN)
    }

    /// The latest time a signal accepted at `now` may have.
    #[must_use]
    pub fn latest(&self, now: Timestamp) -> Timestamp {
        now.checked_add(SignedDuration::from_secs(i64::from(self.max_ahead_secs)))
            .unwrap_or(Timestamp::MAX)
    }
}

impl Default for Limits {
    /// The shipped settings.
    fn default() -> Self {
        Self {
            max_items: 1_000,
            max_body_bytes: 4 * 1024 * 1024,
            max_signal_bytes: 64 * 1024,
            max_age_days: 3_653,
            max_ahead_secs: 300,
        }
    }
}
