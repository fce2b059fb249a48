//! What makes a model document unusable.
//!
//! Owns the ranges and the contradictions, each named by its key. Must not repair anything.

use super::model::{
    CountRule, FactorName, Icp, LimitRule, Model, ModelError, SeniorityRule, TierRule, TrendRule,
    VelocityRule,
};

/// Longest window and half-life: scores look at one year at most.
const MAX_DAYS: u32 = 365;

type Checked = Result<(), ModelError>;

fn require(key: &'static str, ok: bool, problem: impl FnOnce() -> String) -> Checked {
    if ok {
        Ok(())
    } else {
        Err(ModelError::Invalid {
            key,
            problem: problem(),
        })
    }
}

pub(super) fn validate(model: &Model) -> Checked {
    name(&model.name)?;
    require("version", model.version >= 1, || {
        "versions count from 1".to_owned()
    })?;
    weights(model)?;
    let grace = model.silence.grace_days;
    require("silence.grace_days", grace <= MAX_DAYS, || {
        format!("{grace} is above {MAX_DAYS} days")
    })?;
    half_life("silence.half_life_days", model.silence.half_life_days)?;
    count("user_count", &model.user_count)?;
    velocity(&model.usage_velocity)?;
    count("feature_breadth", &model.feature_breadth)?;
    half_life(
        "engagement_recency.half_life_days",
        model.engagement_recency.half_life_days,
    )?;
    seniority(&model.seniority)?;
    limit(&model.limit_proximity)?;
    count("competitor_signals", &model.competitor_signals)?;
    model.firmographic_fit.icp.as_ref().map_or(Ok(()), icp)?;
    tiers(&model.tiers)?;
    trend(&model.trend)
}

fn name(name: &str) -> Checked {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    require(
        "name",
        (1..=64).contains(&name.len()) && name.chars().all(allowed),
        || format!("{name:?} is not 1 to 64 characters of a-z, 0-9, _ and -"),
    )
}

fn weights(model: &Model) -> Checked {
    let sum: u64 = FactorName::ALL
        .into_iter()
        .map(|factor| u64::from(model.weights.of(factor)))
        .sum();
    require("weights", sum == 100, || format!("they sum to {sum}, not to 100"))
}

fn days(key: &'static str, days: u32) -> Checked {
    require(key, (1..=MAX_DAYS).contains(&days), || {
        format!("{days} is not 1 to {MAX_DAYS} days")
    })
}

fn half_life(key: &'static str, days: f64) -> Checked {
    let longest = f64::from(MAX_DAYS) / 8.0;
    require(key, days > 0.0 && days <= longest, || {
        format!("{days} is not above 0 and up to {longest} days")
    })
}

fn count(key: &'static str, rule: &CountRule) -> Checked {
    days(key, rule.window_days)?;
    require(key, rule.full_at >= 1, || {
        "full_at is 0: everything would be full".to_owned()
    })
}

fn rising(key: &'static str, zero: f64, full: f64) -> Checked {
    let fine = zero.is_finite() && full.is_finite() && zero >= 0.0 && zero < full;
    require(key, fine, || {
        format!("zero_at_ratio {zero} is not below full_at_ratio {full}")
    })
}

fn velocity(rule: &VelocityRule) -> Checked {
    days("usage_velocity.recent_days", rule.recent_days)?;
    days("usage_velocity.baseline_days", rule.baseline_days)?;
    rising(
        "usage_velocity.zero_at_ratio",
        rule.zero_at_ratio,
        rule.full_at_ratio,
    )?;
    require("usage_velocity.zero_at_ratio", rule.zero_at_ratio > 0.0, || {
        "0 has no logarithm; it must be above 0".to_owned()
    })?;
    require("usage_velocity.full_volume", rule.full_volume >= 1, || {
        "it must be at least 1".to_owned()
    })?;
    let floor = rule.baseline_floor_per_day;
    require(
        "usage_velocity.baseline_floor_per_day",
        floor.is_finite() && floor > 0.0,
        || format!("{floor} is not above 0"),
    )?;
    half_life("usage_velocity.half_life_days", rule.half_life_days)
}

fn seniority(rule: &SeniorityRule) -> Checked {
    days("seniority.window_days", rule.window_days)?;
    require("seniority.levels", !rule.levels.is_empty(), || {
        "there is no level".to_owned()
    })?;
    for level in &rule.levels {
        let share = level.share;
        require("seniority.levels.share", share > 0.0 && share <= 1.0, || {
            format!("{share} of level {:?} is not above 0 and up to 1", level.label)
        })?;
        require("seniority.levels.patterns", !level.patterns.is_empty(), || {
            format!("level {:?} has no pattern", level.label)
        })?;
        level
            .patterns
            .iter()
            .try_for_each(|pattern| words("seniority.levels.patterns", pattern))?;
    }
    rule.except
        .iter()
        .try_for_each(|word| words("seniority.except", word))
}

/// A pattern is compared with the lower-case words of a title; anything else in it could never match.
fn words(key: &'static str, pattern: &str) -> Checked {
    let fine = !pattern.is_empty()
        && pattern.split(' ').all(|word| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_alphanumeric() && c.to_lowercase().eq(std::iter::once(c)))
        });
    require(key, fine, || {
        format!("{pattern:?} is not lower-case words separated by one space")
    })
}

fn limit(rule: &LimitRule) -> Checked {
    days("limit_proximity.window_days", rule.window_days)?;
    rising(
        "limit_proximity.zero_at_ratio",
        rule.zero_at_ratio,
        rule.full_at_ratio,
    )?;
    let at = rule.expansion_at_ratio;
    require(
        "limit_proximity.expansion_at_ratio",
        at.is_finite() && at > 0.0,
        || format!("{at} is not above 0"),
    )
}

fn icp(icp: &Icp) -> Checked {
    if let Some(range) = icp.employees {
        require(
            "firmographic_fit.icp.employees",
            0 <= range.min && range.min <= range.max,
            || {
                format!(
                    "min {} and max {} are not a range from 0 up",
                    range.min, range.max
                )
            },
        )?;
    }
    icp.countries.iter().try_for_each(|country| {
        let fine = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        require("firmographic_fit.icp.countries", fine, || {
            format!("{country:?} is not an upper-case ISO 3166-1 alpha-2 code")
        })
    })?;
    let criteria = icp.employees.is_some()
        || !icp.industries.is_empty()
        || !icp.countries.is_empty()
        || !icp.funding_stages.is_empty();
    require("firmographic_fit.icp", criteria, || {
        "there is no criterion; leave icp out instead".to_owned()
    })
}

fn tiers(rule: &TierRule) -> Checked {
    let TierRule {
        hot_from,
        warm_from,
        cold_from,
    } = *rule;
    require(
        "tiers",
        0 < cold_from && cold_from < warm_from && warm_from < hot_from && hot_from <= 100,
        || {
            format!(
                "cold_from {cold_from}, warm_from {warm_from}, hot_from {hot_from} do not rise within 1 to 100"
            )
        },
    )
}

fn trend(rule: &TrendRule) -> Checked {
    days("trend.window_days", rule.window_days)?;
    require("trend.threshold", (1..=100).contains(&rule.threshold), || {
        format!("{} is not 1 to 100 points", rule.threshold)
    })?;
    require(
        "trend.oldest_from_days",
        rule.oldest_from_days <= rule.window_days,
        || {
            format!(
                "{} is beyond trend.window_days {}",
                rule.oldest_from_days, rule.window_days
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn broken(change: impl FnOnce(&mut Model)) -> String {
        let mut model = Arc::unwrap_or_clone(Model::built_in().unwrap());
        change(&mut model);
        validate(&model)
            .expect_err("the change must be refused")
            .to_string()
    }

    #[test]
    fn contradictions_are_refused_and_named() {
        let cases = [
            (broken(|m| m.weights.seniority = 11), "weights"),
            (broken(|m| m.tiers.warm_from = 80), "tiers"),
            (
                broken(|m| m.usage_velocity.zero_at_ratio = 4.0),
                "usage_velocity.zero_at_ratio",
            ),
            (
                broken(|m| m.usage_velocity.zero_at_ratio = 0.0),
                "usage_velocity.zero_at_ratio",
            ),
            (
                broken(|m| m.engagement_recency.half_life_days = f64::NAN),
                "engagement_recency.half_life_days",
            ),
            (broken(|m| m.user_count.full_at = 0), "user_count"),
            (
                broken(|m| m.silence.half_life_days = 0.0),
                "silence.half_life_days",
            ),
            (
                broken(|m| m.seniority.levels[0].patterns.push("C-Level".into())),
                "seniority.levels.patterns",
            ),
            (
                broken(|m| m.limit_proximity.full_at_ratio = 0.1),
                "limit_proximity.zero_at_ratio",
            ),
            (broken(|m| m.trend.oldest_from_days = 8), "trend.oldest_from_days"),
            (
                broken(|m| m.firmographic_fit.icp = Some(Icp::default())),
                "firmographic_fit.icp",
            ),
            (broken(|m| m.name = "Default".into()), "name"),
        ];
        for (message, key) in cases {
            assert!(message.starts_with(key), "{message} does not name {key}");
        }
    }
}
