//! Laws of scores over any history: points sum to the score, and time alone raises nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use scoring::domain::facts::Firmographics;
use scoring::domain::model::Model;
use scoring::domain::score::{Score, compute};
use scoring::domain::signal::{RecordedSignal, UsageReading};
use uuid::Uuid;

use crate::reference;

fn noon() -> Timestamp {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

/// One signal: minutes before noon, actor, kind, feature, competitor, usage.
fn any_signal() -> impl Strategy<Value = RecordedSignal> {
    let minutes = prop_oneof![0_i64..2_000, 0_i64..60_000, 0_i64..250_000];
    let usage = proptest::option::weighted(0.2, (0_u32..130, 0_u8..2));
    (
        minutes,
        0_u128..9,
        0_u8..5,
        0_u8..4,
        0_u8..9,
        usage,
        any::<u128>(),
    )
        .prop_map(
            |(minutes, actor, kind, feature, rival, usage, id)| RecordedSignal {
                id: Uuid::from_u128(id),
                actor: Uuid::from_u128(actor),
                account: Uuid::from_u128(1),
                at: noon() - SignedDuration::from_mins(minutes),
                kind: format!("kind{kind}"),
                feature: if feature == 0 {
                    String::new()
                } else {
                    format!("feature{feature}")
                },
                competitor: if rival == 0 { "rival".into() } else { String::new() },
                usage: usage.map(|(used, metric)| UsageReading {
                    metric: format!("metric{metric}"),
                    used: used.into(),
                    limit: 100.0,
                }),
                title: None,
            },
        )
}

fn any_titles() -> impl Strategy<Value = BTreeMap<Uuid, String>> {
    let title = prop_oneof![
        Just("CTO"),
        Just("VP Sales"),
        Just("Engineer"),
        Just("Head of Data")
    ];
    proptest::collection::btree_map(
        (1_u128..9).prop_map(Uuid::from_u128),
        title.prop_map(str::to_owned),
        0..5,
    )
}

fn score(signals: &[RecordedSignal], titles: &BTreeMap<Uuid, String>, now: Timestamp) -> Score {
    let model = Model::built_in().unwrap();
    let mut facts = reference::facts(&model, signals, titles, now);
    facts.firmographics = Firmographics {
        employees: Some(100),
        ..Firmographics::default()
    };
    compute(&model, &facts, now)
}

proptest! {
    #[test]
    fn points_sum_to_the_score_and_lie_within_their_weights(
        signals in proptest::collection::vec(any_signal(), 0..120),
        titles in any_titles(),
    ) {
        let score = score(&signals, &titles, noon());
        prop_assert!((0..=100).contains(&score.score));
        prop_assert_eq!(score.factors.iter().map(|factor| factor.points).sum::<i32>(), score.score);
        for factor in &score.factors {
            prop_assert!((0..=i32::try_from(factor.weight).unwrap()).contains(&factor.points));
            prop_assert!((0.0..=1.0).contains(&factor.value));
            prop_assert!(factor.evidence.has_data || factor.points == 0);
            prop_assert!(factor.evidence.signals.len() <= 10);
        }
    }

    #[test]
    fn without_new_signals_no_factor_and_no_score_ever_rises(
        signals in proptest::collection::vec(any_signal(), 0..120),
        titles in any_titles(),
        steps in proptest::collection::vec(1_i64..20_000, 1..12),
    ) {
        let mut now = noon();
        let mut before = score(&signals, &titles, now);
        for minutes in steps {
            now += SignedDuration::from_mins(minutes);
            let after = score(&signals, &titles, now);
            for (old, new) in before.factors.iter().zip(&after.factors) {
                prop_assert!(new.value <= old.value, "{} rose from {} to {} at {now}", new.name, old.value, new.value);
            }
            prop_assert!(after.score <= before.score);
            before = after;
        }
        let end = score(&signals, &titles, noon() + SignedDuration::from_hours(24 * 100));
        prop_assert_eq!(end.tier, scoring::domain::Tier::Inactive);
    }
}
