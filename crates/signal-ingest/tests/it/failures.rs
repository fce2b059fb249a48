//! When storing fails: callers are told to repeat, and nothing is half there.

use futures::future::join_all;
use serde_json::json;

use crate::harness::{World, intake, new_org};

#[tokio::test(flavor = "multi_thread")]
async fn when_the_commit_fails_every_caller_is_told_and_nothing_is_stored() {
    let (world, org) = (World::new().await, new_org());
    world
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'shutting down' USING ERRCODE = '57P01'; END $$;
             CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON idempotency_keys DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION fail();",
        )
        .await;
    let body = |n: usize| json!({"type": "t", "idempotencyKey": format!("k{n}")}).to_string();
    let calls = (0..20).map(|n| {
        let body = body(n);
        let world = &world;
        async move { world.send_one(org, &body).await }
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.refusal().code, "unavailable");
    }
    for table in ["batches", "idempotency_keys", "outbox"] {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut world.admin().await)
            .await
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
    world.sql("DROP TRIGGER fail ON idempotency_keys").await;
    let answer = world.send_one(org, &body(0)).await.verdicts();
    assert_eq!(answer.accepted, 1, "a repeat is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_database_refuses_fails_alone() {
    let (world, good, bad) = (
        World::with(json!({"accept": {"lanes": 1}})).await,
        new_org(),
        new_org(),
    );
    sqlx::query("CREATE TABLE poisoned AS SELECT $1::uuid AS org_id")
        .bind(bad.uuid())
        .execute(&mut world.admin().await)
        .await
        .unwrap();
    world
        .sql(
            "GRANT SELECT ON poisoned TO PUBLIC;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN
                     IF NEW.org_id IN (SELECT org_id FROM poisoned) THEN RAISE EXCEPTION 'no'; END IF;
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER fail BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION fail();",
        )
        .await;
    let calls = (0..30).map(|n: usize| {
        let org = if n % 10 == 3 { bad } else { good };
        let body = json!({"type": "t", "idempotencyKey": format!("k{n}")}).to_string();
        let world = &world;
        async move {
            (
                org,
                world.hand_over(vec![intake(org, &body, false)]).await.remove(0),
            )
        }
    });
    for (org, answer) in join_all(calls).await {
        if org == bad {
            assert_eq!(answer.refusal().code, "internal");
        } else {
            assert_eq!(answer.verdicts().accepted, 1);
        }
    }
    assert_eq!(world.number("SELECT sum(signal_count) FROM batches").await, 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_lose_nothing_and_double_nothing() {
    let (world, org) = (World::new().await, new_org());
    let stop = tokio::sync::watch::channel(false);
    let killer = async {
        let mut admin = world.admin().await;
        for _ in 0..20 {
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND usename = 'signal_ingest_pipeline'",
            )
            .execute(&mut admin)
            .await
            .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.0.send(true).unwrap();
    };
    let senders = (0..8).map(|sender: usize| {
        let (world, stopped) = (&world, stop.1.clone());
        async move {
            let mut ids = Vec::new();
            let mut n = 0;
            while !*stopped.borrow() || n < 10 {
                let body = json!({"type": "t", "idempotencyKey": format!("{sender}-{n}")}).to_string();
                // As a careful client: the same until it is answered.
                let answer = loop {
                    match world.send_one(org, &body).await {
                        crate::harness::Answer::Verdicts(verdicts) => break verdicts,
                        crate::harness::Answer::Refused(refusal) => assert_eq!(refusal.code, "unavailable"),
                    }
                };
                ids.push(answer.results[0].id.clone().unwrap());
                n += 1;
            }
            ids
        }
    });
    let (ids, ()) = tokio::join!(join_all(senders), killer);
    let mut told: Vec<String> = ids.into_iter().flatten().collect();
    let mut stored: Vec<String> = world
        .batches(org)
        .await
        .into_iter()
        .flat_map(|b| b.signals)
        .map(|s| s.id)
        .collect();
    told.sort();
    stored.sort();
    assert_eq!(told, stored);
}
