//! Between our scores and the messages of the contract. Must not: decide anything.

use contracts::convert::timestamp;
use contracts::events::v1 as events;
use contracts::scores::v1 as wire;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::score::{Evidence, Factor, Score, Tier};
use crate::domain::trend::Trend;

/// The number of a tier on the wire and in the database.
#[must_use]
pub fn tier(tier: Tier) -> wire::Tier {
    match tier {
        Tier::Inactive => wire::Tier::Inactive,
        Tier::Cold => wire::Tier::Cold,
        Tier::Warm => wire::Tier::Warm,
        Tier::Hot => wire::Tier::Hot,
    }
}

/// The number of a trend on the wire and in the database.
#[must_use]
pub fn trend(trend: Trend) -> wire::Trend {
    match trend {
        Trend::Falling => wire::Trend::Falling,
        Trend::Stable => wire::Trend::Stable,
        Trend::Rising => wire::Trend::Rising,
    }
}

/// A score as it is told and stored.
#[must_use]
pub fn account_score(
    account: Uuid,
    score: &Score,
    moving: Trend,
    at: Timestamp,
    model: &str,
) -> wire::AccountScore {
    wire::AccountScore {
        account_id: account.to_string(),
        score: score.score,
        tier: tier(score.tier).into(),
        trend: trend(moving).into(),
        computed_at: Some(timestamp(at)),
        model_version: model.to_owned(),
        factors: score.factors.iter().map(factor).collect(),
    }
}

fn factor(factor: &Factor) -> wire::ScoreFactor {
    wire::ScoreFactor {
        name: factor.name.as_str().to_owned(),
        weight: f64::from(factor.weight),
        value: factor.value,
        points: factor.points,
        evidence: Some(evidence(&factor.evidence)),
    }
}

fn evidence(evidence: &Evidence) -> wire::FactorEvidence {
    wire::FactorEvidence {
        has_data: evidence.has_data,
        summary: evidence.summary.clone(),
        count: evidence.count,
        signal_ids: evidence.signals.iter().map(Uuid::to_string).collect(),
        window_from: evidence.window.map(|(from, _)| timestamp(from)),
        window_to: evidence.window.map(|(_, to)| timestamp(to)),
    }
}

/// `account.expansion_signal`.
#[must_use]
pub fn expansion(account: Uuid, ratio: f64, signals: &[Uuid]) -> events::AccountExpansionSignal {
    events::AccountExpansionSignal {
        account_id: account.to_string(),
        limit_ratio: ratio,
        signal_ids: signals.iter().map(Uuid::to_string).collect(),
    }
}
