//! Where a score is going.
//!
//! Owns what the score is compared with, and from which difference it counts. Must not look anything up.

use jiff::Timestamp;

use super::factors::days_before;
use super::facts::AccountFacts;
use super::model::TrendRule;

/// Direction of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// Lower than before.
    Falling,
    /// About the same.
    Stable,
    /// Higher than before.
    Rising,
}

/// A score that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastScore {
    /// When it was computed.
    pub at: Timestamp,
    /// The score.
    pub score: i32,
}

/// What history says of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reference {
    /// The score that held at the begin of the trend's window.
    pub window_ago: Option<PastScore>,
    /// The oldest score known.
    pub oldest: Option<PastScore>,
}

/// The trend of `score` as of `now`. It is compared with
/// 1. the score that held when the window (a week) began; else
/// 2. zero, when the account's first activity lies within the window: a week ago there was nothing; else
/// 3. the oldest score, when it is old enough (a day); else
/// 4. nothing: stable. History that was imported is no rise.
#[must_use]
pub fn trend(
    rule: &TrendRule,
    score: i32,
    facts: &AccountFacts,
    reference: &Reference,
    now: Timestamp,
) -> Trend {
    let window_from = days_before(now, rule.window_days);
    let is_new = !facts.has_older && facts.first_at.is_some_and(|first| first > window_from);
    let old_enough = days_before(now, rule.oldest_from_days);
    let before = reference
        .window_ago
        .map(|past| past.score)
        .or_else(|| is_new.then_some(0))
        .or_else(|| {
            reference
                .oldest
                .filter(|oldest| oldest.at <= old_enough)
                .map(|oldest| oldest.score)
        });
    match before.map(|before| score - before) {
        Some(moved) if moved >= rule.threshold => Trend::Rising,
        Some(moved) if moved <= -rule.threshold => Trend::Falling,
        _ => Trend::Stable,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::Model;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn hours_ago(hours: i64) -> Timestamp {
        now() - SignedDuration::from_hours(hours)
    }

    fn of(score: i32, first_hours_ago: i64, week_ago: Option<i32>, oldest: Option<(i64, i32)>) -> Trend {
        let facts = AccountFacts {
            first_at: Some(hours_ago(first_hours_ago)),
            ..AccountFacts::default()
        };
        let reference = Reference {
            window_ago: week_ago.map(|score| PastScore {
                at: hours_ago(200),
                score,
            }),
            oldest: oldest.map(|(hours, score)| PastScore {
                at: hours_ago(hours),
                score,
            }),
        };
        trend(
            &Model::built_in().unwrap().trend,
            score,
            &facts,
            &reference,
            now(),
        )
    }

    #[test]
    fn a_score_is_compared_with_the_one_of_a_week_ago() {
        assert_eq!(of(50, 2_000, Some(47), Some((900, 90))), Trend::Rising);
        assert_eq!(of(50, 2_000, Some(48), None), Trend::Stable);
        assert_eq!(of(50, 2_000, Some(53), None), Trend::Falling);
    }

    #[test]
    fn an_account_younger_than_the_window_rises_from_nothing() {
        assert_eq!(of(30, 5, None, Some((5, 30))), Trend::Rising);
        assert_eq!(of(2, 5, None, None), Trend::Stable);
    }

    #[test]
    fn imported_history_is_stable_until_there_is_a_score_of_a_day_ago() {
        assert_eq!(of(60, 2_000, None, None), Trend::Stable);
        assert_eq!(of(60, 2_000, None, Some((23, 10))), Trend::Stable);
        assert_eq!(of(60, 2_000, None, Some((25, 10))), Trend::Rising);
    }
}
