//! What pushes: a limit of the plan that comes near, competitors looked at.

use jiff::Timestamp;

use super::{Evidence, Reading, counted, float, window};
use crate::domain::facts::{AccountFacts, MAX_EVIDENCE};
use crate::domain::model::{CountRule, LimitRule};

/// The highest used share of any limit within the window, linear between the two ratios. The highest and not the
/// newest: a counter that starts again with the month does not make the pressure unseen.
pub(super) fn limit_proximity(rule: &LimitRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    let highest = facts.limits.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let Some(highest) = highest else {
        return Reading::no_data(format!(
            "No signal of the last {} days told usage together with a limit.",
            rule.window_days
        ));
    };
    let ratio = highest.ratio();
    let mut readings: Vec<_> = facts.limits.iter().collect();
    readings.sort_by_key(|reading| std::cmp::Reverse((reading.at, reading.signal)));
    Reading {
        value: ((ratio - rule.zero_at_ratio) / (rule.full_at_ratio - rule.zero_at_ratio)).clamp(0.0, 1.0),
        evidence: Evidence {
            has_data: true,
            summary: format!(
                "Up to {:.0} % of the limit of {} used in the last {} days ({} of {}).",
                ratio * 100.0,
                highest.metric,
                rule.window_days,
                highest.used,
                highest.limit
            ),
            count: i64::try_from(readings.len()).unwrap_or(i64::MAX),
            signals: readings
                .iter()
                .take(MAX_EVIDENCE)
                .map(|reading| reading.signal)
                .collect(),
            window: window(now, rule.window_days),
        },
    }
}

/// Signals about competitors, linear up to the cap.
pub(super) fn competitors(rule: &CountRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    let count = facts.competitor_signals.count;
    if count == 0 {
        return Reading::no_data(format!(
            "No signal about a competitor in the last {} days.",
            rule.window_days
        ));
    }
    let signals = counted(count, "signal", "signals");
    Reading {
        value: (float(count) / f64::from(rule.full_at)).clamp(0.0, 1.0),
        evidence: Evidence {
            has_data: true,
            summary: format!(
                "{signals} about {} in the last {} days; {} count in full.",
                facts.competitors.join(", "),
                rule.window_days,
                rule.full_at
            ),
            count,
            signals: facts.competitor_signals.signals.clone(),
            window: window(now, rule.window_days),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::Model;
    use crate::domain::facts::LimitReading;

    fn value(used: &[f64]) -> f64 {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let reading = |(n, used): (usize, &f64)| LimitReading {
            metric: "api_calls".into(),
            used: *used,
            limit: 1_000.0,
            at: now,
            signal: Uuid::from_u128(n as u128),
        };
        let limits = used.iter().enumerate().map(reading).collect();
        let facts = AccountFacts {
            limits,
            ..AccountFacts::default()
        };
        limit_proximity(&Model::built_in().unwrap().limit_proximity, &facts, now).value
    }

    #[test]
    fn nothing_counts_below_half_of_the_limit_and_everything_at_it() {
        assert!(value(&[]).abs() < 1e-12);
        assert!(value(&[500.0]).abs() < 1e-12);
        assert!((value(&[750.0, 10.0]) - 0.5).abs() < 1e-12);
        assert!((value(&[2_000.0]) - 1.0).abs() < 1e-12);
    }
}
