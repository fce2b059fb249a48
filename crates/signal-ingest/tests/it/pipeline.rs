//! The whole service on a real broker: accepted is told, resolved is recorded, identities correct, poison is set aside.

use contracts::events::v1::{IdentityAccountLinked, IdentityMerged};
use contracts::ops::v1::ListStagesRequest;
use contracts::signals::v1::{Signal, SignalsAccepted, SignalsResolved};
use serde_json::json;
use test_kit::wait_for;

use crate::harness::{SOON, World, new_id, new_org, resolved};

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_goes_through_the_stages_and_identities_reach_it() {
    let (world, org) = (World::new().await, new_org());
    let (visitor, person, company) = (new_id(), new_id(), new_id());
    world
        .send(
            org,
            json!([{"type": "a", "anonymousId": "v"}, {"type": "b", "anonymousId": "v"}]),
        )
        .await;
    let accepted: SignalsAccepted = world.told(org).await.remove(0);
    let signals = accepted.signals.into_iter();
    let signals = signals
        .map(|s| Signal {
            actor_id: Some(visitor.to_string()),
            ..s
        })
        .collect();
    let event = SignalsResolved {
        batch_id: accepted.batch_id,
        organization_id: accepted.organization_id,
        signals,
    };
    world.publish(org, &event).await;
    world.publish(org, &event).await;
    world
        .publish(
            org,
            &IdentityMerged {
                from_actor_id: visitor.to_string(),
                contact_id: person.to_string(),
                ..IdentityMerged::default()
            },
        )
        .await;
    let link = IdentityAccountLinked {
        contact_id: person.to_string(),
        account_id: company.to_string(),
        ..IdentityAccountLinked::default()
    };
    world.publish(org, &link).await;
    wait_for("two signals of the company", SOON, async || {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM signals WHERE account_id = $1 AND contact_id = $2")
                .bind(company)
                .bind(person)
                .fetch_one(&mut world.admin().await)
                .await
                .unwrap();
        (count == 2).then_some(())
    })
    .await;
    wait_for("an empty outbox", SOON, async || {
        (world
            .number("SELECT count(*) FROM outbox WHERE published_at IS NULL")
            .await
            == 0)
            .then_some(())
    })
    .await;
    assert_eq!(world.number("SELECT count(*) FROM signals").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_batch_is_set_aside_and_its_neighbours_are_recorded() {
    let (world, org) = (World::new().await, new_org());
    let event = |signals: Vec<Signal>| SignalsResolved {
        batch_id: new_id().to_string(),
        organization_id: org.to_string(),
        signals,
    };
    world.publish(org, &event(vec![resolved(org, "t")])).await;
    world
        .publish(
            org,
            &event(vec![Signal {
                id: "x".into(),
                ..resolved(org, "t")
            }]),
        )
        .await;
    world.publish(org, &event(vec![resolved(org, "t")])).await;
    wait_for("both neighbours and a dead letter", SOON, async || {
        let recorded = world.number("SELECT count(*) FROM signals").await;
        let dead = world.number("SELECT count(*) FROM dead_letters").await;
        ((recorded, dead) == (2, 1)).then_some(())
    })
    .await;
    let stages = wait_for("the stages", SOON, async || {
        let request = world.system(ListStagesRequest {});
        let stages = world
            .stages
            .clone()
            .list_stages(request)
            .await
            .ok()?
            .into_inner()
            .stages;
        stages.iter().all(|stage| stage.lag == 0).then_some(stages)
    })
    .await;
    let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    for name in [
        "signal-ingest/outbox",
        "signal-ingest/signals.resolved",
        "signal-ingest/identity.merged",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(stages.iter().map(|stage| stage.dead_letters).sum::<i64>(), 1);
}
