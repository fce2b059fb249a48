//! From facts to a score.
//!
//! Owns: score, tier, the factors with points. Invariant: the points of the factors sum to the score. Must not look
//! anything up.

use jiff::Timestamp;

pub use super::factors::Evidence;
use super::factors::read;
use super::facts::AccountFacts;
use super::model::{FactorName, Model, TierRule};
use super::points::{distribute, millionths};

/// How ready an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Churned or dormant.
    Inactive,
    /// Early usage.
    Cold,
    /// Nurture.
    Warm,
    /// Reach out now.
    Hot,
}

impl Tier {
    /// The band that a score lies in.
    #[must_use]
    pub fn of(score: i32, rule: &TierRule) -> Self {
        match score {
            s if s >= rule.hot_from => Self::Hot,
            s if s >= rule.warm_from => Self::Warm,
            s if s >= rule.cold_from => Self::Cold,
            _ => Self::Inactive,
        }
    }
}

/// One factor of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Which.
    pub name: FactorName,
    /// The most points it can give.
    pub weight: u32,
    /// How much was reached, 0 to 1, in steps of a millionth.
    pub value: f64,
    /// Points given.
    pub points: i32,
    /// Why.
    pub evidence: Evidence,
}

/// A score with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// 0 to 100.
    pub score: i32,
    /// The band it lies in.
    pub tier: Tier,
    /// All eight, in the model's order.
    pub factors: Vec<Factor>,
    /// The highest used share of a limit within the model's window.
    pub limit_ratio: Option<f64>,
}

/// Computes the score as of `now`.
#[must_use]
pub fn compute(model: &Model, facts: &AccountFacts, now: Timestamp) -> Score {
    let readings: Vec<_> = FactorName::ALL
        .into_iter()
        .map(|name| (name, read(name, model, facts, now)))
        .collect();
    let parts: Vec<_> = readings
        .iter()
        .map(|(name, reading)| (model.weights.of(*name), millionths(reading.value)))
        .collect();
    let (sum, points) = distribute(&parts);
    let factors = readings.into_iter().zip(parts).zip(points);
    let factors = factors.map(|(((name, reading), (weight, value)), points)| Factor {
        name,
        weight,
        value: f64::from(u32::try_from(value).unwrap_or(u32::MAX)) / 1_000_000.0,
        points: i32::try_from(points).unwrap_or(i32::MAX),
        evidence: reading.evidence,
    });
    let score = i32::try_from(sum).unwrap_or(100);
    Score {
        score,
        tier: Tier::of(score, &model.tiers),
        factors: factors.collect(),
        limit_ratio: facts
            .limits
            .iter()
            .map(super::facts::LimitReading::ratio)
            .max_by(f64::total_cmp),
    }
}

/// Whether an account came close to a limit: the threshold was crossed upward since the score before.
#[must_use]
pub fn crossed_expansion(before: Option<f64>, now: Option<f64>, threshold: f64) -> bool {
    now.is_some_and(|now| now >= threshold) && before.is_none_or(|before| before < threshold)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn tiers_begin_at_their_thresholds() {
        let rule = Model::built_in().unwrap().tiers;
        let tiers = [0, 19, 20, 49, 50, 79, 80, 100].map(|score| Tier::of(score, &rule));
        use Tier::{Cold, Hot, Inactive, Warm};
        assert_eq!(tiers, [Inactive, Inactive, Cold, Cold, Warm, Warm, Hot, Hot]);
    }

    #[test]
    fn without_any_data_every_factor_says_so_and_gives_nothing() {
        let score = compute(
            &Model::built_in().unwrap(),
            &AccountFacts::default(),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(
            (score.score, score.tier, score.factors.len()),
            (0, Tier::Inactive, 8)
        );
        for factor in score.factors {
            assert!(!factor.evidence.has_data && factor.points == 0 && !factor.evidence.summary.is_empty());
        }
    }

    #[test]
    fn counting_factors_fade_with_silence_and_say_so() {
        let (model, at) = (Model::built_in().unwrap(), Timestamp::UNIX_EPOCH);
        let users = super::super::facts::Counted {
            count: 10,
            signals: vec![],
        };
        let facts = AccountFacts {
            last_at: Some(at),
            users,
            ..AccountFacts::default()
        };
        let after = |days: i64| {
            compute(&model, &facts, at + SignedDuration::from_hours(24 * days)).factors[0].clone()
        };
        assert!((after(7).value - 1.0).abs() < 1e-6);
        assert!((after(17).value - 0.5).abs() < 1e-6);
        assert!(
            after(17)
                .evidence
                .summary
                .ends_with("Silent for 17 days: 50 % of it count.")
        );
    }

    #[test]
    fn expansion_is_told_once_per_crossing() {
        assert!(crossed_expansion(None, Some(0.8), 0.8));
        assert!(crossed_expansion(Some(0.79), Some(1.2), 0.8));
        assert!(!crossed_expansion(Some(0.8), Some(0.9), 0.8));
        assert!(!crossed_expansion(Some(0.9), Some(0.1), 0.8));
        assert!(!crossed_expansion(None, None, 0.8));
    }
}
