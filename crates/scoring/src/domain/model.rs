//! The scoring model: a document with every weight, window, half-life, cap and threshold.
//!
//! Owns the document's shape and the built-in default. What contradicts itself is refused by `validate`. Must not
//! compute a score.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::validate;

/// The built-in model, used by every organization that has none of its own.
const DEFAULT: &str = include_str!("model.default.json");

/// The document cannot be used as a scoring model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not JSON, or not of the document's shape.
    #[error("the scoring model cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// A value is out of range, or two values contradict each other.
    #[error("{key}: {problem}")]
    Invalid {
        /// Path of the key, for example `tiers.warm_from`.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// The eight factors, in the order in which a score lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FactorName {
    /// Distinct active actors.
    UserCount,
    /// Activity against the weeks before.
    UsageVelocity,
    /// Distinct features used.
    FeatureBreadth,
    /// Time since the last activity.
    EngagementRecency,
    /// Decision makers among the active.
    Seniority,
    /// Closeness to a limit of the plan.
    LimitProximity,
    /// Signals that competitors are being looked at.
    CompetitorSignals,
    /// Match with the ideal customer profile.
    FirmographicFit,
}

impl FactorName {
    /// All factors, in the model's order.
    pub const ALL: [Self; 8] = [
        Self::UserCount,
        Self::UsageVelocity,
        Self::FeatureBreadth,
        Self::EngagementRecency,
        Self::Seniority,
        Self::LimitProximity,
        Self::CompetitorSignals,
        Self::FirmographicFit,
    ];

    /// Whether the factor counts what happened in a window, and so fades with silence. Velocity and recency have
    /// half-lives of their own; the company stays what it is.
    #[must_use]
    pub fn fades(self) -> bool {
        !matches!(
            self,
            Self::UsageVelocity | Self::EngagementRecency | Self::FirmographicFit
        )
    }

    /// The name on the wire and in the model document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserCount => "user_count",
            Self::UsageVelocity => "usage_velocity",
            Self::FeatureBreadth => "feature_breadth",
            Self::EngagementRecency => "engagement_recency",
            Self::Seniority => "seniority",
            Self::LimitProximity => "limit_proximity",
            Self::CompetitorSignals => "competitor_signals",
            Self::FirmographicFit => "firmographic_fit",
        }
    }
}

impl fmt::Display for FactorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A scoring model. Immutable: a change is a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name: 1 to 64 characters of `a-z 0-9 _ -`.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
    /// The most points each factor gives.
    pub weights: Weights,
    /// How the counting factors fade once an account falls silent.
    pub silence: SilenceRule,
    /// Distinct active actors.
    pub user_count: CountRule,
    /// Activity against the weeks before.
    pub usage_velocity: VelocityRule,
    /// Distinct features used.
    pub feature_breadth: CountRule,
    /// Time since the last activity.
    pub engagement_recency: RecencyRule,
    /// Decision makers among the active.
    pub seniority: SeniorityRule,
    /// Closeness to a limit of the plan.
    pub limit_proximity: LimitRule,
    /// Signals that competitors are being looked at.
    pub competitor_signals: CountRule,
    /// Match with the ideal customer profile.
    pub firmographic_fit: FitRule,
    /// Where the tiers begin.
    pub tiers: TierRule,
    /// When a score counts as moving.
    pub trend: TrendRule,
}

/// Whole points per factor; they sum to 100, so that no factor can give more than its weight after rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "one field per factor, documented at FactorName")]
pub struct Weights {
    pub user_count: u32,
    pub usage_velocity: u32,
    pub feature_breadth: u32,
    pub engagement_recency: u32,
    pub seniority: u32,
    pub limit_proximity: u32,
    pub competitor_signals: u32,
    pub firmographic_fit: u32,
}

impl Weights {
    /// The weight of one factor.
    #[must_use]
    pub fn of(&self, factor: FactorName) -> u32 {
        match factor {
            FactorName::UserCount => self.user_count,
            FactorName::UsageVelocity => self.usage_velocity,
            FactorName::FeatureBreadth => self.feature_breadth,
            FactorName::EngagementRecency => self.engagement_recency,
            FactorName::Seniority => self.seniority,
            FactorName::LimitProximity => self.limit_proximity,
            FactorName::CompetitorSignals => self.competitor_signals,
            FactorName::FirmographicFit => self.firmographic_fit,
        }
    }
}

/// How the counting factors fade once an account falls silent: without it all of a window would count in full until its
/// last day, and nothing the day after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceRule {
    /// Days without activity that change nothing.
    pub grace_days: u32,
    /// After how many more days the factors have halved.
    pub half_life_days: f64,
}

/// A factor that counts something within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountRule {
    /// How many days back are looked at.
    pub window_days: u32,
    /// The count that gives the whole weight.
    pub full_at: u32,
}

/// Activity against the weeks before, both windows ending at the account's last activity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VelocityRule {
    /// Length of the recent window.
    pub recent_days: u32,
    /// Length of the window before it.
    pub baseline_days: u32,
    /// Recent rate over baseline rate that gives nothing.
    pub zero_at_ratio: f64,
    /// Recent rate over baseline rate that gives everything; between the two, by the logarithm.
    pub full_at_ratio: f64,
    /// Recent signals below which the factor is scaled down.
    pub full_volume: u32,
    /// The least baseline rate assumed, signals per day, so that a first signal is not infinite growth.
    pub baseline_floor_per_day: f64,
    /// After how many days without activity the factor has halved.
    pub half_life_days: f64,
}

/// Time since the last activity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecencyRule {
    /// After how many days without activity the factor has halved.
    pub half_life_days: f64,
}

/// Decision makers among the active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeniorityRule {
    /// How many days back an actor counts as active.
    pub window_days: u32,
    /// Levels from the most senior down; the first that matches a title counts.
    pub levels: Vec<SeniorityLevel>,
    /// Words that make a title not senior, whatever else it says (`assistant to the CEO`).
    pub except: Vec<String>,
}

/// One level of seniority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeniorityLevel {
    /// What it is called in summaries.
    pub label: String,
    /// How much of the factor one such person gives, 0 to 1.
    pub share: f64,
    /// Words, or sequences of words, of titles of this level; lower case.
    pub patterns: Vec<String>,
}

/// Closeness to a limit of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// How many days back usage readings count.
    pub window_days: u32,
    /// Used share up to which nothing is given.
    pub zero_at_ratio: f64,
    /// Used share from which everything is given.
    pub full_at_ratio: f64,
    /// Used share whose upward crossing is told as `account.expansion_signal`.
    pub expansion_at_ratio: f64,
}

/// Match with the ideal customer profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitRule {
    /// The profile; without one the factor has no data.
    pub icp: Option<Icp>,
}

/// The ideal customer profile. An empty list, like an absent range, is no criterion.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Icp {
    /// Number of employees.
    pub employees: Option<EmployeeRange>,
    /// Industries; compared without regard to case.
    pub industries: Vec<String>,
    /// ISO 3166-1 alpha-2 country codes.
    pub countries: Vec<String>,
    /// Funding stages, for example `seed`, `series_b`.
    pub funding_stages: Vec<String>,
}

/// A range of company sizes, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmployeeRange {
    /// Fewest.
    pub min: i64,
    /// Most.
    pub max: i64,
}

/// Where the tiers begin; below `cold_from` is `INACTIVE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRule {
    /// From here on `HOT`.
    pub hot_from: i32,
    /// From here on `WARM`.
    pub warm_from: i32,
    /// From here on `COLD`.
    pub cold_from: i32,
}

/// When a score counts as moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrendRule {
    /// How far back the score to compare with lies.
    pub window_days: u32,
    /// Points of difference from which the score is rising or falling.
    pub threshold: i32,
    /// While no score is as old as the window: the age from which the oldest score serves instead.
    pub oldest_from_days: u32,
}

impl Model {
    /// Reads and validates a document.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn parse(document: &str) -> Result<Self, ModelError> {
        let model: Self = serde_json::from_str(document).map_err(ModelError::Unreadable)?;
        validate::validate(&model)?;
        Ok(model)
    }

    /// The built-in model.
    ///
    /// # Errors
    /// Never in a released build: the test below parses the embedded document.
    pub fn built_in() -> Result<Arc<Self>, ModelError> {
        static BUILT_IN: OnceLock<Arc<Model>> = OnceLock::new();
        if let Some(model) = BUILT_IN.get() {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(Self::parse(DEFAULT)?);
        Ok(Arc::clone(BUILT_IN.get_or_init(|| model)))
    }

    /// Name and version as scores carry it: `default@1`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// How many days of roll-ups a score needs: the longest window, and for the velocity its two windows before the
    /// last activity, as far back as that still counts.
    #[must_use]
    pub fn scan_days(&self) -> u32 {
        let velocity = self.usage_velocity.recent_days
            + self.usage_velocity.baseline_days
            + self.usage_velocity.longest_silence_days()
            + 1;
        [
            self.user_count.window_days,
            self.feature_breadth.window_days,
            self.seniority.window_days,
            self.limit_proximity.window_days,
            self.competitor_signals.window_days,
            velocity,
        ]
        .into_iter()
        .fold(1, u32::max)
    }
}

impl VelocityRule {
    /// Days without activity after which the velocity is nothing: eight half-lives, when 0.4 % would be left.
    #[must_use]
    pub fn longest_silence_days(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validated: 0 to 365 days"
        )]
        let days = (self.half_life_days * 8.0).ceil() as u32;
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_is_valid_and_names_its_version() {
        let model = Model::built_in().unwrap();
        assert_eq!(model.label(), "default@1");
        assert_eq!(model.scan_days(), 90);
        let sum: u32 = FactorName::ALL
            .into_iter()
            .map(|factor| model.weights.of(factor))
            .sum();
        assert_eq!(sum, 100);
    }

    #[test]
    fn a_key_that_no_rule_has_is_refused() {
        let text = DEFAULT.replacen("\"version\": 1,", "\"version\": 1, \"bonus\": 3,", 1);
        assert!(matches!(Model::parse(&text), Err(ModelError::Unreadable(_))));
    }
}
