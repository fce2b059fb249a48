//! The eight factors: each from facts to a value between 0 and 1, and why.
//!
//! Law: with the same facts in the roll-ups and no new signals, no factor's value rises as `now` goes on
//! (`tests/it/laws.rs`). Must not: know weights or points.

mod fit;
mod intent;
mod people;
mod usage;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::facts::AccountFacts;
use super::model::{FactorName, Model, SilenceRule};

/// Why a factor has its value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// False when there was nothing to compute it from; the value is then 0.
    pub has_data: bool,
    /// One sentence for a person.
    pub summary: String,
    /// Number of things counted; what exactly, the summary says.
    pub count: i64,
    /// Signals behind it, newest first, at most ten.
    pub signals: Vec<Uuid>,
    /// The time looked at.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// A factor's value with its reason.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// How much was reached, 0 to 1.
    pub value: f64,
    /// Why.
    pub evidence: Evidence,
}

impl Reading {
    /// Nothing to compute from.
    fn no_data(summary: impl Into<String>) -> Self {
        Self {
            value: 0.0,
            evidence: Evidence {
                summary: summary.into(),
                ..Evidence::default()
            },
        }
    }
}

/// Reads one factor.
pub(super) fn read(name: FactorName, model: &Model, facts: &AccountFacts, now: Timestamp) -> Reading {
    let reading = match name {
        FactorName::UserCount => people::user_count(&model.user_count, facts, now),
        FactorName::UsageVelocity => usage::velocity(&model.usage_velocity, facts, now),
        FactorName::FeatureBreadth => usage::feature_breadth(&model.feature_breadth, facts, now),
        FactorName::EngagementRecency => usage::recency(model.engagement_recency, facts, now),
        FactorName::Seniority => people::seniority(&model.seniority, facts, now),
        FactorName::LimitProximity => intent::limit_proximity(&model.limit_proximity, facts, now),
        FactorName::CompetitorSignals => intent::competitors(&model.competitor_signals, facts, now),
        FactorName::FirmographicFit => fit::firmographic_fit(&model.firmographic_fit, facts),
    };
    match facts.last_at {
        Some(last_at) if name.fades() => fade(reading, model.silence, age_days(last_at, now)),
        _ => reading,
    }
}

/// What is left of a counting factor after so many days of silence.
fn fade(mut reading: Reading, rule: SilenceRule, silent_days: f64) -> Reading {
    let beyond = silent_days - f64::from(rule.grace_days);
    if beyond > 0.0 && reading.value > 0.0 {
        let share = left(beyond, rule.half_life_days);
        reading.value *= share;
        let note = format!(
            " Silent for {silent_days:.0} days: {:.0} % of it count.",
            share * 100.0
        );
        reading.evidence.summary.push_str(&note);
    }
    reading
}

/// `now` minus some days; the beginning of time if that is out of range.
pub(super) fn days_before(now: Timestamp, days: u32) -> Timestamp {
    now.checked_sub(SignedDuration::from_hours(i64::from(days) * 24))
        .unwrap_or(Timestamp::MIN)
}

fn window(now: Timestamp, days: u32) -> Option<(Timestamp, Timestamp)> {
    Some((days_before(now, days), now))
}

/// Days from `at` to `now`; 0 when `at` lies ahead (sender clocks may).
fn age_days(at: Timestamp, now: Timestamp) -> f64 {
    (now.duration_since(at).as_secs_f64() / 86_400.0).max(0.0)
}

/// What is left after `age` days: a half per half-life.
fn left(age: f64, half_life_days: f64) -> f64 {
    (-age / half_life_days).exp2()
}

/// A count as a float; exact below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of signals and people, far below 2^53"
)]
fn float(count: i64) -> f64 {
    count as f64
}

/// `1 person`, `3 people`.
fn counted(count: i64, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {many}")
    }
}
