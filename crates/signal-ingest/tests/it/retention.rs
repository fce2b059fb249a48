//! What is kept, and for how long.

use ids::{Clock as _, SystemClock};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signal_ingest::store::{expire, signal_partitions};
use store::ToSqlx as _;
use store::partitions::{ensure, uuid_floor};

use crate::harness::{World, new_org};

fn days_ago(days: i64) -> Timestamp {
    SystemClock
        .now()
        .checked_sub(SignedDuration::from_hours(24 * days))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_live_as_long_as_their_signals_and_no_longer() {
    let (world, org) = (World::new().await, new_org());
    let owner = &world.stores.owner;
    let spec = signal_partitions(30);
    // Weeks long gone, as they were made then.
    ensure(owner, &spec, days_ago(60)).await.unwrap();
    ensure(owner, &spec, days_ago(20)).await.unwrap();
    let mut admin = world.admin().await;
    for (key, days) in [("gone", 60), ("kept", 20)] {
        let id = uuid_floor(days_ago(days));
        sqlx::query(
            "INSERT INTO signals (org_id, id, occurred_at, received_at, batch_id, type)
             VALUES ($1, $2, now(), now(), $2, 't')",
        )
        .bind(org.uuid())
        .bind(id)
        .execute(&mut admin)
        .await
        .unwrap();
        sqlx::query("INSERT INTO idempotency_keys (org_id, key, signal_id) VALUES ($1, $2, $3)")
            .bind(org.uuid())
            .bind(key)
            .bind(id)
            .execute(&mut admin)
            .await
            .unwrap();
    }
    let now = SystemClock.now();
    let changes = ensure(owner, &spec, now).await.unwrap();
    assert!(!changes.dropped.is_empty());
    let deleted = expire::ledger(&world.stores.pipeline, expire::floor(&spec, now).unwrap())
        .await
        .unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(world.number("SELECT count(*) FROM signals").await, 1);
    let send = async |key: &str| {
        let body = json!({"type": "t", "idempotencyKey": key}).to_string();
        world.send_one(org, &body).await.verdicts()
    };
    assert_eq!(send("gone").await.accepted, 1);
    assert_eq!(send("kept").await.duplicates, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_deliveries_are_deleted_in_pieces_past_their_time() {
    let (world, org) = (World::new().await, new_org());
    let mut admin = world.admin().await;
    sqlx::query(
        "INSERT INTO github_deliveries_raw (org_id, delivery, source_id, event, received_at, body)
         SELECT $1, 'd' || n, $1, 'gollum', now() - n * interval '1 minute', '' FROM generate_series(1, 12000) n",
    )
    .bind(org.uuid())
    .execute(&mut admin)
    .await
    .unwrap();
    let before = SystemClock
        .now()
        .checked_sub(SignedDuration::from_mins(1_000))
        .unwrap();
    let deleted = expire::raw_deliveries(&world.stores.pipeline, before)
        .await
        .unwrap();
    assert!((11_000..=11_001).contains(&deleted), "{deleted}");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM github_deliveries_raw WHERE received_at < $1")
        .bind(before.to_sqlx())
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_the_coming_weeks_exist_from_the_start() {
    let world = World::new().await;
    let count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'signals'::regclass";
    assert!(world.number(count).await >= 4);
    let (org, body) = (new_org(), r#"{"type":"t"}"#);
    world.send_one(org, body).await.id();
    assert_eq!(world.number("SELECT count(*) FROM batches_default").await, 0);
}
