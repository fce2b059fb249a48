//! Tests of [`super`].

use proptest::prelude::*;

use super::*;

fn default_pipeline() -> Pipeline {
    let stages = DEFAULT_STAGES.iter().zip(1_u128..).map(|(stage, n)| Stage {
        id: Uuid::from_u128(n),
        key: stage.0.to_owned(),
        name: stage.1.to_owned(),
        kind: stage.2,
        milestone: stage.3,
    });
    Pipeline {
        id: Uuid::nil(),
        name: "PLG".to_owned(),
        is_default: true,
        stages: stages.collect(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        version: 1,
    }
}

fn target(from: &str, reached: &[Milestone]) -> Option<String> {
    let pipeline = default_pipeline();
    let from = pipeline.stage(from).unwrap().id;
    pipeline.moves_to(from, reached).map(|stage| stage.key.clone())
}

#[test]
fn the_furthest_milestone_decides_and_nothing_goes_back() {
    use Milestone::{Activated, ExpansionSignal, Identified};
    assert_eq!(
        target("anonymous_usage", &[Identified]).as_deref(),
        Some("identified")
    );
    assert_eq!(
        target("anonymous_usage", &[Activated, Identified]).as_deref(),
        Some("activated")
    );
    assert_eq!(target("activated", &[Identified, Activated]), None);
    assert_eq!(target("sales_qualified", &[ExpansionSignal]), None);
    assert_eq!(target("closed_lost", &[ExpansionSignal]), None);
}

proptest! {
    #[test]
    fn the_rule_only_moves_forward_and_never_past_expansion(from in 0_usize..9, mask in 0_u8..16) {
        let pipeline = default_pipeline();
        let reached: Vec<_> = Milestone::ALL.into_iter().filter(|m| mask & (1 << (*m as u8)) >> 1 != 0).collect();
        let place = |id| pipeline.stages.iter().position(|s| s.id == id).unwrap();
        if let Some(stage) = pipeline.moves_to(pipeline.stages[from].id, &reached) {
            prop_assert!(place(stage.id) > from);
            prop_assert!(place(stage.id) <= 4);
            prop_assert!(reached.contains(&stage.milestone.unwrap()));
            // Asked again, it stays.
            prop_assert!(pipeline.moves_to(stage.id, &reached).is_none());
        }
    }
}
