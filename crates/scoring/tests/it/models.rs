//! The model is data: an organization's own goes before the built-in one.

use std::sync::Arc;

use scoring::domain::Model;
use store::OrgScope;

use crate::harness::{Said as _, World, factor, new_id, new_org, signal};

#[tokio::test]
async fn an_organizations_own_model_scores_all_its_accounts_and_nobody_elses() {
    let world = World::new().await;
    let (org, other, account) = (new_org(), new_org(), new_id());
    for org in [org, other] {
        world
            .record(org, vec![signal("login", world.now()).by(new_id()).of(account)])
            .await;
    }
    world.settle_all().await;
    let mut model = Arc::unwrap_or_clone(Model::built_in().unwrap());
    (model.name, model.version) = ("eager".into(), 7);
    model.user_count.full_at = 1;
    let publish = async |model: &Model| {
        world
            .scorer
            .models()
            .publish(&world.stores.db, &OrgScope::new(org), model, world.now())
            .await
    };
    publish(&model).await.unwrap();
    world.settle_all().await;
    let score = world.score(org, account).await.unwrap();
    assert_eq!(
        (score.model_version.as_str(), factor(&score, "user_count").points),
        ("eager@7", 18)
    );
    assert_eq!(
        world.score(other, account).await.unwrap().model_version,
        "default@1"
    );

    // A version never changes: the same again is fine, another document is not.
    publish(&model).await.unwrap();
    model.user_count.full_at = 2;
    assert!(publish(&model).await.is_err());
    model.weights.user_count = 50;
    model.version = 8;
    let refused = publish(&model).await.unwrap_err();
    assert!(
        matches!(refused, scoring::error::ScoringError::Model(_)),
        "{refused:?}"
    );
    world.settle_all().await;
    assert_eq!(world.score(org, account).await.unwrap().model_version, "eager@7");
}

#[tokio::test]
async fn a_stored_model_that_cannot_be_used_does_not_stop_scores() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    sqlx::query(
        "INSERT INTO models (org_id, name, version, document, active, created_at)
         VALUES ($1, 'broken', 1, '{}', true, now())",
    )
    .bind(org.uuid())
    .execute(&mut world.admin().await)
    .await
    .unwrap();
    world
        .record(org, vec![signal("login", world.now()).of(account)])
        .await;
    world.settle().await;
    assert_eq!(
        world.score(org, account).await.unwrap().model_version,
        "default@1"
    );
}
