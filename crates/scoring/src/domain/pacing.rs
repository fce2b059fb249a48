//! When an account is scored again.
//!
//! Owns the pause after a score and the pace of ageing. Must not know the schedule's table.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::score::Score;
use super::trend::Trend;

/// How often accounts are scored.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// The least time between two scores of an account.
    pub pause: SignedDuration,
    /// Roll-up rows per pause: an account with more rows costs more, and pauses longer in proportion.
    pub rows_per_pause: i64,
    /// The time after which an account is scored again although nothing happened.
    pub ageing: SignedDuration,
}

impl Pacing {
    /// Not to be scored again before this, whatever happens. Without roll-up rows, as when a company was only discovered,
    /// the first signal is not to wait.
    #[must_use]
    pub fn not_before(&self, now: Timestamp, rows: i64) -> Timestamp {
        if rows == 0 {
            return now;
        }
        let pauses = 1 + rows / self.rows_per_pause.max(1);
        let factor = i32::try_from(pauses).unwrap_or(i32::MAX);
        self.pause
            .checked_mul(factor)
            .and_then(|pause| now.checked_add(pause).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// When the account is to be scored again if nothing happens. Never, once nothing can change: no score falls below
    /// zero, and without signals none rises. Accounts are spread over a quarter of the interval, so that those that
    /// were scored together do not age together.
    #[must_use]
    pub fn next_due(&self, now: Timestamp, account: Uuid, score: &Score, trend: Trend) -> Option<Timestamp> {
        if score.score == 0 && trend == Trend::Stable {
            return None;
        }
        let spread = self.ageing.as_secs() / 4;
        let low = i64::try_from(account.as_u128() & 0xFFFF).unwrap_or(0);
        let wait = self.ageing + SignedDuration::from_secs(spread * low / 0xFFFF);
        now.checked_add(wait).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AccountFacts, Model, score};
    use super::*;

    const PACING: Pacing = Pacing {
        pause: SignedDuration::from_millis(200),
        rows_per_pause: 5_000,
        ageing: SignedDuration::from_hours(1),
    };

    #[test]
    fn costly_accounts_pause_longer() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(PACING.not_before(now, 0), now);
        assert_eq!(PACING.not_before(now, 10).as_millisecond(), 200);
        assert_eq!(PACING.not_before(now, 50_000).as_millisecond(), 2_200);
        assert!(PACING.not_before(now, i64::MAX) > now);
    }

    #[test]
    fn what_cannot_change_any_more_is_never_due_and_the_rest_is_spread() {
        let now = Timestamp::UNIX_EPOCH;
        let nothing = score::compute(&Model::built_in().unwrap(), &AccountFacts::default(), now);
        assert_eq!(PACING.next_due(now, Uuid::nil(), &nothing, Trend::Stable), None);
        let first = PACING
            .next_due(now, Uuid::nil(), &nothing, Trend::Falling)
            .unwrap();
        let last = PACING
            .next_due(now, Uuid::max(), &nothing, Trend::Falling)
            .unwrap();
        assert_eq!(first.as_second(), 3_600);
        assert_eq!(last.as_second(), 4_500);
    }
}
