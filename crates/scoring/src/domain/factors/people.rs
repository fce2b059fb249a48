//! Who is active: how many, and how senior.

use jiff::Timestamp;

use super::{Evidence, Reading, counted, float, window};
use crate::domain::facts::{AccountFacts, MAX_EVIDENCE};
use crate::domain::model::{CountRule, SeniorityRule};

/// `ln(1 + n) / ln(1 + full_at)`: the second person says more than the tenth.
pub(super) fn user_count(rule: &CountRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    if facts.last_at.is_none() {
        return Reading::no_data("No activity has been recorded yet.");
    }
    let users = facts.users.count;
    let value = (float(users).ln_1p() / f64::from(rule.full_at).ln_1p()).clamp(0.0, 1.0);
    let people = counted(users, "person was", "people were");
    Reading {
        value,
        evidence: Evidence {
            has_data: true,
            summary: format!(
                "{people} active in the last {} days; {} count in full.",
                rule.window_days, rule.full_at
            ),
            count: users,
            signals: facts.users.signals.clone(),
            window: window(now, rule.window_days),
        },
    }
}

/// `1 - Π (1 - share)` over the active decision makers: one CTO is everything, two directors are more than one.
pub(super) fn seniority(rule: &SeniorityRule, facts: &AccountFacts, now: Timestamp) -> Reading {
    if facts.titles.is_empty() {
        return Reading::no_data(format!(
            "No job title is known of anybody active in the last {} days.",
            rule.window_days
        ));
    }
    let mut senior: Vec<_> = facts
        .titles
        .iter()
        .filter_map(|titled| rule.level_of(&titled.title).map(|level| (titled, level)))
        .collect();
    let missing: f64 = senior
        .iter()
        .map(|(titled, level)| (1.0 - level.share).powf(float(titled.actors)))
        .product();
    let count: i64 = senior.iter().map(|(titled, _)| titled.actors).sum();
    senior.sort_by(|(a, x), (b, y)| y.share.total_cmp(&x.share).then(b.last_at.cmp(&a.last_at)));
    let most = senior.first().map(|(titled, _)| titled.title.clone());
    senior.sort_by_key(|(titled, _)| std::cmp::Reverse((titled.last_at, titled.last_signal)));
    let makers = counted(count, "decision maker was", "decision makers were");
    let summary = match most {
        Some(title) => format!(
            "{makers} active in the last {} days, most senior: {title}.",
            rule.window_days
        ),
        None => format!(
            "None of the known titles active in the last {} days decides.",
            rule.window_days
        ),
    };
    Reading {
        value: (1.0 - missing).clamp(0.0, 1.0),
        evidence: Evidence {
            has_data: true,
            summary,
            count,
            signals: senior
                .iter()
                .take(MAX_EVIDENCE)
                .map(|(titled, _)| titled.last_signal)
                .collect(),
            window: window(now, rule.window_days),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::Model;
    use crate::domain::facts::{Counted, TitledActors};

    fn at(n: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + n).unwrap()
    }

    fn titled(title: &str, actors: i64, n: i64) -> TitledActors {
        TitledActors {
            title: title.into(),
            actors,
            last_at: at(n),
            last_signal: Uuid::from_u128(u128::try_from(n).unwrap()),
        }
    }

    #[test]
    fn more_people_count_more_but_ever_less_each() {
        let model = Model::built_in().unwrap();
        let value = |count| {
            let users = Counted {
                count,
                signals: vec![],
            };
            let facts = AccountFacts {
                last_at: Some(at(0)),
                users,
                ..AccountFacts::default()
            };
            user_count(&model.user_count, &facts, at(0)).value
        };
        assert!(value(0).abs() < 1e-12);
        assert!(value(2) - value(1) > value(9) - value(8));
        assert!((value(10) - 1.0).abs() < 1e-12 && (value(500) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn decision_makers_add_up_and_the_newest_signal_comes_first() {
        let model = Model::built_in().unwrap();
        let read = |titles| {
            seniority(
                &model.seniority,
                &AccountFacts {
                    titles,
                    ..AccountFacts::default()
                },
                at(9),
            )
        };
        let one = read(vec![titled("Director", 1, 1)]);
        let two = read(vec![
            titled("Director", 1, 1),
            titled("VP Sales", 1, 2),
            titled("Engineer", 4, 3),
        ]);
        assert!((one.value - 0.7).abs() < 1e-9);
        assert!((two.value - (1.0 - 0.3 * 0.15)).abs() < 1e-9);
        assert_eq!(two.evidence.count, 2);
        assert_eq!(two.evidence.signals, vec![Uuid::from_u128(2), Uuid::from_u128(1)]);
        assert!(
            two.evidence.summary.contains("VP Sales"),
            "{}",
            two.evidence.summary
        );
        let none = read(vec![titled("Engineer", 3, 1)]);
        assert!(none.evidence.has_data && none.value == 0.0);
        assert!(!read(vec![]).evidence.has_data);
    }
}
