//! What is known of an account at the moment of scoring.
//!
//! Owns the shape that the store fills and the factors read: counts and a few signal ids, never every row.

use jiff::Timestamp;
use uuid::Uuid;

/// Signals named as evidence of one factor, at most.
pub const MAX_EVIDENCE: usize = 10;

/// A number of things, with the newest signals behind them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// How many.
    pub count: i64,
    /// Newest first, at most [`MAX_EVIDENCE`].
    pub signals: Vec<Uuid>,
}

/// Active actors that share a job title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitledActors {
    /// The title.
    pub title: String,
    /// How many actors.
    pub actors: i64,
    /// The newest activity among them.
    pub last_at: Timestamp,
    /// The signal of that activity.
    pub last_signal: Uuid,
}

/// A usage reading within the window.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitReading {
    /// What is measured.
    pub metric: String,
    /// Amount used.
    pub used: f64,
    /// The limit.
    pub limit: f64,
    /// When it was taken.
    pub at: Timestamp,
    /// The signal that brought it.
    pub signal: Uuid,
}

/// What is known of the company.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firmographics {
    /// Number of employees.
    pub employees: Option<i64>,
    /// Industry.
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2 country code.
    pub country: Option<String>,
    /// Funding stage.
    pub funding_stage: Option<String>,
}

impl Firmographics {
    /// Whether anything is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Field by field what is recorded here, else what `learnt` says.
    #[must_use]
    pub fn or(self, learnt: Self) -> Self {
        Self {
            employees: self.employees.or(learnt.employees),
            industry: self.industry.or(learnt.industry),
            country: self.country.or(learnt.country),
            funding_stage: self.funding_stage.or(learnt.funding_stage),
        }
    }
}

/// Everything the factors are computed from. The windows are the model's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountFacts {
    /// Roll-up rows looked at: the cost of this score.
    pub rows: i64,
    /// When the first activity within the scanned days happened.
    pub first_at: Option<Timestamp>,
    /// When the last activity happened, however long ago.
    pub last_at: Option<Timestamp>,
    /// Whether there was activity before the scanned days.
    pub has_older: bool,
    /// The newest signals.
    pub newest: Vec<Uuid>,
    /// Distinct actors within the window of `user_count`.
    pub users: Counted,
    /// Signals in the recent window of the velocity, which ends at the last activity.
    pub recent_signals: i64,
    /// Signals in the window before that.
    pub baseline_signals: i64,
    /// Distinct features within the window of `feature_breadth`.
    pub features: Counted,
    /// Titles of actors active within the window of `seniority`.
    pub titles: Vec<TitledActors>,
    /// Readings within the window of `limit_proximity`: highest share first, at most [`MAX_EVIDENCE`].
    pub limits: Vec<LimitReading>,
    /// Signals about competitors within the window of `competitor_signals`.
    pub competitor_signals: Counted,
    /// The competitors named in them, sorted, a few.
    pub competitors: Vec<String>,
    /// The company.
    pub firmographics: Firmographics,
}

impl LimitReading {
    /// Used share of the limit; above 1 when exceeded.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.used / self.limit
    }
}
