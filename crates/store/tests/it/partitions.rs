//! Partitions by time: made ahead, filled, dropped, out of reach.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use store::partitions::{Changes, PartitionSpec, ensure, uuid_floor};
use store::{StoreError, catalog};
use uuid::Uuid;

use crate::support::{SCHEMA, org, stores, superuser};

const READINGS: PartitionSpec = PartitionSpec {
    table: "readings",
    id_column: "id",
    every_days: 7,
    ahead_days: 14,
    retention_days: Some(30),
    keep_while: Some("note = 'keep'"),
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

async fn try_insert(stores: &store::Stores, id: Uuid, note: &str) -> Result<(), StoreError> {
    let mut tx = stores.pipeline.begin().await?;
    sqlx::query("INSERT INTO readings (org_id, id, note) VALUES ($1, $2, $3)")
        .bind(org().uuid())
        .bind(id)
        .bind(note)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

async fn insert(stores: &store::Stores, id: Uuid, note: &str) {
    try_insert(stores, id, note).await.unwrap();
}

async fn where_is(root: &mut PgConnection, id: Uuid) -> Option<String> {
    sqlx::query_scalar("SELECT tableoid::regclass::text FROM workshop.readings WHERE id = $1")
        .bind(id)
        .fetch_optional(root)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_made_ahead_once_however_many_ask() {
    let stores = stores().await;
    let now = at("2026-01-15T12:00:00Z");
    let racers = (0..6).map(|_| ensure(&stores.owner, &READINGS, now));
    let mut created: Vec<String> = Vec::new();
    for changes in join_all(racers).await {
        created.extend(changes.unwrap().created);
    }
    created.sort();
    assert_eq!(
        created,
        [
            "readings_p20260108",
            "readings_p20260115",
            "readings_p20260122",
            "readings_p20260129"
        ]
    );
    assert_eq!(
        ensure(&stores.owner, &READINGS, now).await.unwrap(),
        Changes::default()
    );
    let mut root = superuser(stores.database()).await;
    assert_eq!(
        catalog::violations(&mut root, SCHEMA).await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_row_goes_to_the_partition_of_its_time_and_a_stray_one_is_not_refused() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    let now = at("2026-01-15T12:00:00Z");
    ensure(&stores.owner, &READINGS, now).await.unwrap();
    let (inside, stray) = (uuid_floor(now), uuid_floor(at("2026-03-01T00:00:00Z")));
    insert(&stores, inside, "n").await;
    insert(&stores, stray, "n").await;
    assert_eq!(
        where_is(&mut root, inside).await.as_deref(),
        Some("workshop.readings_p20260115")
    );
    assert_eq!(
        where_is(&mut root, stray).await.as_deref(),
        Some("workshop.readings_default")
    );
    // When its time comes, the stray row moves to its partition.
    ensure(&stores.owner, &READINGS, at("2026-02-20T00:00:00Z"))
        .await
        .unwrap();
    assert_eq!(
        where_is(&mut root, stray).await.as_deref(),
        Some("workshop.readings_p20260226")
    );
}

#[tokio::test]
async fn old_partitions_are_dropped_unless_a_row_must_be_kept() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    let start = at("2026-01-15T00:00:00Z");
    ensure(&stores.owner, &READINGS, start).await.unwrap();
    let (gone, kept) = (uuid_floor(start), uuid_floor(start.checked_add(days(7)).unwrap()));
    let (stray_gone, stray_kept) = (
        uuid_floor(at("2025-06-01T00:00:00Z")),
        uuid_floor(at("2025-06-02T00:00:00Z")),
    );
    for (id, note) in [
        (gone, "n"),
        (kept, "keep"),
        (stray_gone, "n"),
        (stray_kept, "keep"),
    ] {
        insert(&stores, id, note).await;
    }
    let later = at("2026-03-05T00:00:00Z");
    let changes = ensure(&stores.owner, &READINGS, later).await.unwrap();
    assert_eq!(changes.dropped, ["readings_p20260108", "readings_p20260115"]);
    assert_eq!(changes.kept, ["readings_p20260122"]);
    for (id, there) in [
        (gone, false),
        (kept, true),
        (stray_gone, false),
        (stray_kept, true),
    ] {
        assert_eq!(where_is(&mut root, id).await.is_some(), there, "{id}");
    }
    // Once nothing in it is to be kept, it goes.
    let mut tx = stores.pipeline.begin().await.unwrap();
    sqlx::query("UPDATE readings SET note = 'n'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        ensure(&stores.owner, &READINGS, later).await.unwrap().dropped,
        ["readings_p20260122"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_while_partitions_are_made() {
    let stores = stores().await;
    let writer = {
        let stores = stores.stores().clone();
        lifecycle::detach("writer", async move {
            for n in 0..200_i64 {
                let time = at("2026-01-01T00:00:00Z").checked_add(days(n % 100)).unwrap();
                let id = Uuid::from_u128(uuid_floor(time).as_u128() + u128::try_from(n).unwrap());
                // A stray row that meets the making of its partition succeeds when tried again.
                store::retry(|| try_insert(&stores, id, "n")).await.unwrap();
            }
        })
    };
    for week in 0..15 {
        let now = at("2026-01-01T00:00:00Z").checked_add(days(7 * week)).unwrap();
        let spec = PartitionSpec {
            retention_days: None,
            ..READINGS
        };
        // A lock that could not be had in time is for the next round.
        let _ = ensure(&stores.owner, &spec, now).await;
    }
    writer.await.unwrap();
    let mut root = superuser(stores.database()).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM workshop.readings")
        .fetch_one(&mut root)
        .await
        .unwrap();
    assert_eq!(rows, 200);
}

#[tokio::test]
async fn a_table_that_is_not_partitioned_is_named() {
    let stores = stores().await;
    let spec = PartitionSpec {
        table: "things",
        ..READINGS
    };
    let error = ensure(&stores.owner, &spec, at("2026-01-15T00:00:00Z"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Misuse(text) if text.contains("things")),
        "{error:?}"
    );
}
