//! The score of an account as crm keeps it: a copy of what scoring told, for lists and for the timeline.

use ids::{AccountId, EventId};
use jiff::Timestamp;

/// The band a score lies in. The numbers are those of the contract and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Tier {
    /// Churned or dormant.
    Inactive = 1,
    /// Early usage.
    Cold = 2,
    /// Nurture.
    Warm = 3,
    /// Reach out now.
    Hot = 4,
}

impl Tier {
    /// All, in rising order.
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Cold, Self::Warm, Self::Hot];

    /// The name in filters and titles.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Cold => "COLD",
            Self::Warm => "WARM",
            Self::Hot => "HOT",
        }
    }

    /// The tier of this number; `None` for 0 ("not scored") and for what this release does not know.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.number() == number)
    }

    /// The number in contract and database.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self as i16)
    }
}

/// Where a score is going. The numbers are those of the contract and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Trend {
    /// Lower than a week ago.
    Falling = 1,
    /// About the same as a week ago.
    Stable = 2,
    /// Higher than a week ago.
    Rising = 3,
}

impl Trend {
    /// All, in rising order.
    pub const ALL: [Self; 3] = [Self::Falling, Self::Stable, Self::Rising];

    /// The name in filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Falling => "FALLING",
            Self::Stable => "STABLE",
            Self::Rising => "RISING",
        }
    }

    /// The trend of this number; `None` for 0 ("not scored") and for what this release does not know.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|trend| trend.number() == number)
    }

    /// The number in contract and database.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self as i16)
    }
}

/// The score of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// 0 to 100.
    pub points: i16,
    /// Its band.
    pub tier: Tier,
    /// Where it is going.
    pub trend: Trend,
    /// When it was computed.
    pub at: Timestamp,
}

/// One move of a score: what one `account.score_changed` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreChange {
    /// The event.
    pub id: EventId,
    /// Whose score.
    pub account: AccountId,
    /// Counts up with each event about the account.
    pub revision: i64,
    /// The score after.
    pub score: Score,
    /// The points before; absent the first time.
    pub previous_points: Option<i16>,
    /// The tier before; absent the first time.
    pub previous_tier: Option<Tier>,
    /// The model and its version.
    pub model_version: String,
    /// The score with its factors as it was told, encoded, for history.
    pub detail: Vec<u8>,
}

impl ScoreChange {
    /// One line for a person: `Score 42 → 57 (WARM, rising)`.
    #[must_use]
    pub fn title(&self) -> String {
        let Score {
            points, tier, trend, ..
        } = self.score;
        let (tier, trend) = (tier.name(), trend.name().to_lowercase());
        match self.previous_points {
            Some(before) => format!("Score {before} → {points} ({tier}, {trend})"),
            None => format!("Score {points} ({tier}, {trend})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for tier in Tier::ALL {
            assert_eq!(Tier::from_number(tier.number()), Some(tier));
        }
        for trend in Trend::ALL {
            assert_eq!(Trend::from_number(trend.number()), Some(trend));
        }
        assert_eq!((Tier::from_number(0), Trend::from_number(0)), (None, None));
        assert_eq!((Tier::from_number(5), Trend::from_number(4)), (None, None));
    }
}
