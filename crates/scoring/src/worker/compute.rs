//! From accounts to scores ready to be stored: loads in bulk, lets the domain compute.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::store::Tx;
use contracts::events::v1::{AccountExpansionSignal, AccountScoreChanged};
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::model::FactorName;
use crate::domain::pacing::Pacing;
use crate::domain::score::{compute, crossed_expansion};
use crate::domain::trend::trend;
use crate::domain::{AccountFacts, Model};
use crate::error::ScoringError;
use crate::store::models::Models;
use crate::store::past::Past;
use crate::store::schedule::Finish;
use crate::store::scores::NewScore;
use crate::store::{facts, past};
use crate::wire;

/// A score ready to be stored, with what is to be told and when the account is next.
pub(super) struct Computed {
    pub(super) row: NewScore,
    pub(super) changed: Option<AccountScoreChanged>,
    pub(super) expansion: Option<AccountExpansionSignal>,
    pub(super) finish: Finish,
}

/// Accounts that are scored by one model.
type Group = (Arc<Model>, Vec<(Uuid, Uuid)>);

/// Computes the scores of accounts, of several organizations if need be, as of `now`.
pub(super) async fn compute_all(
    tx: &mut Tx,
    models: &Models,
    accounts: &[(Uuid, Uuid)],
    pacing: &Pacing,
    now: Timestamp,
) -> Result<Vec<Computed>, ScoringError> {
    let by_org = models.of(tx, accounts.iter().map(|(org, _)| *org)).await?;
    // Accounts under one model are loaded together; nearly always that is all of them.
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for &(org, account) in accounts {
        let Some(model) = by_org.get(&org) else { continue };
        let group = groups
            .entry(Arc::as_ptr(model).addr())
            .or_insert_with(|| (Arc::clone(model), Vec::new()));
        group.1.push((org, account));
    }
    let mut computed = Vec::with_capacity(accounts.len());
    for (model, accounts) in groups.into_values() {
        let facts = facts::load(tx, &model, &accounts, now).await?;
        let pasts = past::load(tx, &model, &accounts, now).await?;
        for ((key, facts), past) in accounts.into_iter().zip(facts).zip(pasts) {
            computed.push(compute_one(&model, key, facts, &past, pacing, now));
        }
    }
    Ok(computed)
}

fn compute_one(
    model: &Model,
    (org, account): (Uuid, Uuid),
    mut facts: AccountFacts,
    past: &Past,
    pacing: &Pacing,
    now: Timestamp,
) -> Computed {
    facts.firmographics = past.firmographics.clone();
    let score = compute(model, &facts, now);
    let moving = trend(&model.trend, score.score, &facts, &past.reference, now);
    let (tier, trend) = (wire::tier(score.tier), wire::trend(moving));
    let before = past.stored;
    let moved = before.is_none_or(|before| {
        (before.score, i32::from(before.tier), i32::from(before.trend))
            != (score.score, tier.into(), trend.into())
    });
    let label = model.label();
    let detail = wire::account_score(account, &score, moving, now, &label);
    let revision = before.map_or(0, |before| before.revision) + i64::from(moved);
    let changed = moved.then(|| AccountScoreChanged {
        score: Some(detail.clone()),
        previous_score: before.map(|before| before.score),
        previous_tier: before.map_or(0, |before| before.tier.into()),
        revision,
    });
    let ratio_before = before.and_then(|before| before.limit_ratio);
    let crossed = crossed_expansion(
        ratio_before,
        score.limit_ratio,
        model.limit_proximity.expansion_at_ratio,
    );
    let limit = score
        .factors
        .iter()
        .find(|factor| factor.name == FactorName::LimitProximity);
    let expansion = score.limit_ratio.zip(limit).filter(|_| crossed);
    Computed {
        changed,
        expansion: expansion.map(|(ratio, limit)| wire::expansion(account, ratio, &limit.evidence.signals)),
        finish: Finish {
            org,
            account,
            next_due: pacing.next_due(now, account, &score, moving),
            not_before: pacing.not_before(now, facts.rows),
            again: false,
        },
        row: NewScore {
            org,
            account,
            score: small(score.score),
            tier: small(tier.into()),
            trend: small(trend.into()),
            limit_ratio: score.limit_ratio,
            revision,
            version: before.map_or(0, |before| before.version) + 1,
            computed_at: now,
            model: label,
            points: score.factors.iter().map(|factor| small(factor.points)).collect(),
            detail,
            moved,
        },
    }
}

/// Scores, tiers and points are below 101.
fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}
