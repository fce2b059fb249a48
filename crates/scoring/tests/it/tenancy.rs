//! No organization sees or touches a row of another.

use scoring::error::ScoringError;
use store::OrgScope;

use crate::harness::{Said as _, World, identified, linked, merged, new_id, new_org, signal};

#[tokio::test]
async fn the_schema_keeps_the_rules_of_tenancy() {
    let world = World::new().await;
    let violations = store::catalog::violations(&mut world.admin().await, scoring::SCHEMA)
        .await
        .unwrap();
    assert_eq!(violations, Vec::<String>::new());
}

#[tokio::test]
async fn the_request_path_sees_only_the_callers_rows_and_nothing_without_a_caller() {
    let world = World::new().await;
    let (mine, theirs, account, person) = (new_org(), new_org(), new_id(), new_id());
    let usage = serde_json::json!({"usage": 9, "limit": 10});
    world
        .record(
            theirs,
            vec![
                signal("login", world.now())
                    .by(person)
                    .of(account)
                    .titled("CTO")
                    .with(usage),
            ],
        )
        .await;
    world.tell(theirs, &merged(new_id(), person, Some(account))).await;
    world.tell(theirs, &linked(person, account)).await;
    world.settle_all().await;
    let tables = [
        "activity",
        "usage_readings",
        "titles",
        "actor_aliases",
        "actor_accounts",
        "schedule",
        "scores",
        "score_history",
    ];
    for table in tables {
        let count = async |org| -> i64 {
            let mut tx = world.stores.db.begin(&OrgScope::new(org)).await.unwrap();
            let text = format!("SELECT count(*) FROM {table}");
            let count = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            tx.rollback().await;
            count
        };
        assert_eq!(count(mine).await, 0, "{table}");
        assert!(count(theirs).await > 0, "{table}");
    }
    assert!(matches!(
        world.score(mine, account).await,
        Err(ScoringError::UnknownAccount)
    ));
    assert!(world.score(theirs, account).await.is_ok());
}

#[tokio::test]
async fn one_organizations_merge_leaves_the_same_ids_of_another_alone() {
    let world = World::new().await;
    let (mine, theirs, account, actor, person) = (new_org(), new_org(), new_id(), new_id(), new_id());
    for org in [mine, theirs] {
        world
            .record(org, vec![signal("login", world.now()).by(actor)])
            .await;
    }
    world.tell(mine, &merged(actor, person, Some(account))).await;
    world.tell(mine, &identified(person, 1, Some("CTO"))).await;
    assert_eq!(world.counted(mine, Some(account), Some(person)).await, 1);
    assert_eq!(
        world.counted(theirs, Some(uuid::Uuid::nil()), Some(actor)).await,
        1
    );
    world.settle_all().await;
    assert!(matches!(
        world.score(theirs, account).await,
        Err(ScoringError::UnknownAccount)
    ));
}
