//! What is done: how fast it grows, how broad it is, how long ago it was.

use jiff::Timestamp;

use super::{Evidence, Reading, age_days, counted, days_before, float, left, window};
use crate::domain::facts::AccountFacts;
use crate::domain::model::{CountRule, RecencyRule, VelocityRule};

const NO_ACTIVITY: &str = "No activity has been recorded yet.";

/// Rate of the recent window over the rate of the window before it, on a logarithmic scale, scaled down for little
/// volume, and halved with every half-life since.
///
/// Both windows end at the account's last activity and not at `now`: an old burst can therefore not leave the baseline
/// by mere passing of time and make the present look like growth. Without new signals only the last term moves, and
/// that falls.
pub(super) fn velocity(rule: &VelocityRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    let Some(last_at) = facts.last_at else {
        return Reading::no_data(NO_ACTIVITY);
    };
    let evidence = Evidence {
        has_data: true,
        count: facts.recent_signals,
        signals: facts.newest.clone(),
        window: Some((
            days_before(last_at, rule.recent_days + rule.baseline_days),
            last_at,
        )),
        ..Evidence::default()
    };
    let silence = age_days(last_at, now);
    if silence > f64::from(rule.longest_silence_days()) {
        let summary = format!("No activity for {silence:.0} days.");
        return Reading {
            value: 0.0,
            evidence: Evidence {
                summary,
                count: 0,
                signals: vec![],
                ..evidence
            },
        };
    }
    let recent = float(facts.recent_signals) / recent_length_days(rule, last_at);
    let baseline = float(facts.baseline_signals) / f64::from(rule.baseline_days);
    let ratio = recent / baseline.max(rule.baseline_floor_per_day);
    let growth = if ratio > 0.0 {
        let (zero, full) = (rule.zero_at_ratio.ln(), rule.full_at_ratio.ln());
        ((ratio.ln() - zero) / (full - zero)).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let volume = (float(facts.recent_signals) / f64::from(rule.full_volume)).min(1.0);
    let value = (growth * volume * left(silence, rule.half_life_days)).clamp(0.0, 1.0);
    Reading {
        value,
        evidence: Evidence {
            summary: velocity_summary(rule, facts, ratio),
            ..evidence
        },
    }
}

/// The recent window is made of whole days (UTC) and ends within the day of the last activity.
fn recent_length_days(rule: &VelocityRule, last_at: Timestamp) -> f64 {
    const SHORTEST_DAY: f64 = 1.0 / 24.0;
    let into_day = float(last_at.as_second().rem_euclid(86_400)) / 86_400.0;
    f64::from(rule.recent_days - 1) + into_day.max(SHORTEST_DAY)
}

fn velocity_summary(rule: &VelocityRule, facts: &AccountFacts, ratio: f64) -> String {
    let signals = counted(facts.recent_signals, "signal", "signals");
    let (recent, baseline) = (rule.recent_days, rule.baseline_days);
    let compared = if facts.baseline_signals == 0 {
        format!("none in the {baseline} days before")
    } else {
        let before = facts.baseline_signals;
        format!("{ratio:.1} times the daily rate of the {baseline} days before ({before})")
    };
    format!("{signals} in the {recent} days up to the last activity, {compared}.")
}

/// Distinct features, linear up to the cap.
pub(super) fn feature_breadth(rule: &CountRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    if facts.last_at.is_none() {
        return Reading::no_data(NO_ACTIVITY);
    }
    let features = counted(facts.features.count, "feature was", "features were");
    Reading {
        value: (float(facts.features.count) / f64::from(rule.full_at)).clamp(0.0, 1.0),
        evidence: Evidence {
            has_data: true,
            summary: format!(
                "{features} used in the last {} days; {} count in full.",
                rule.window_days, rule.full_at
            ),
            count: facts.features.count,
            signals: facts.features.signals.clone(),
            window: window(now, rule.window_days),
        },
    }
}

/// Halved with every half-life since the last activity.
pub(super) fn recency(rule: RecencyRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    let Some(last_at) = facts.last_at else {
        return Reading::no_data(NO_ACTIVITY);
    };
    let age = age_days(last_at, now);
    let since = if age < 1.0 {
        counted(whole(age * 24.0), "hour", "hours")
    } else {
        counted(whole(age), "day", "days")
    };
    Reading {
        value: left(age, rule.half_life_days).clamp(0.0, 1.0),
        evidence: Evidence {
            has_data: true,
            summary: format!(
                "The last activity was {since} ago; it halves every {} days.",
                rule.half_life_days
            ),
            count: i64::from(!facts.newest.is_empty()),
            signals: facts.newest.clone(),
            window: Some((last_at, now.max(last_at))),
        },
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an age in hours or days; the cast saturates"
)]
fn whole(value: f64) -> i64 {
    value.floor() as i64
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Model;

    fn noon() -> Timestamp {
        "2026-03-10T12:00:00Z".parse().unwrap()
    }

    fn value(recent: i64, baseline: i64, silent_days: i64) -> f64 {
        let facts = AccountFacts {
            last_at: Some(noon()),
            recent_signals: recent,
            baseline_signals: baseline,
            ..AccountFacts::default()
        };
        let now = noon() + SignedDuration::from_hours(24 * silent_days);
        velocity(&Model::built_in().unwrap().usage_velocity, &facts, now).value
    }

    #[test]
    fn growth_counts_from_half_the_usual_to_four_times_it() {
        assert!(
            value(65, 210, 0) > 0.32 && value(65, 210, 0) < 0.35,
            "steady: a third"
        );
        assert!(
            value(130, 210, 0) > 0.65 && value(130, 210, 0) < 0.68,
            "doubled: two thirds"
        );
        assert!((value(400, 210, 0) - 1.0).abs() < 1e-9, "more than four times");
        assert!(value(30, 210, 0).abs() < 1e-9, "less than half");
    }

    #[test]
    fn little_volume_is_little_growth_and_silence_fades() {
        assert!(value(2, 0, 0) < 0.05);
        assert!((value(40, 0, 0) - 1.0).abs() < 1e-9);
        assert!((value(40, 0, 7) - 0.5).abs() < 1e-9);
        assert!(value(40, 0, 57).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn without_signals_velocity_and_recency_never_rise(recent in 0_i64..500, base in 0_i64..5_000, day in 0_i64..80) {
            prop_assert!(value(recent, base, day + 1) <= value(recent, base, day));
            let facts = AccountFacts { last_at: Some(noon()), ..AccountFacts::default() };
            let rule = Model::built_in().unwrap().engagement_recency;
            let at = |days: i64| recency(rule, &facts, noon() + SignedDuration::from_hours(24 * days)).value;
            prop_assert!(at(day + 1) < at(day));
        }
    }
}
