//! Events: written with their state, published in order, kept and published again, dropped.

use std::time::Duration;

use bytes::Bytes;
use ids::{Clock as _, SystemClock};
use jiff::{SignedDuration, Timestamp};
use store::outbox::{self, OutboxEvent, Published};
use store::{OrgScope, StoreError, Stores, partitions};
use uuid::Uuid;

use crate::support::{new_id, org, stores, superuser};

fn event(scope: &OrgScope) -> OutboxEvent {
    OutboxEvent {
        id: new_id(),
        org: scope.org(),
        subject: format!("evt.{}.account.created", scope.org()),
        about: "a".into(),
        source: "crm".into(),
        encoding: "identity".into(),
        traceparent: None,
        payload: Bytes::from_static(b"\x00\x01"),
        occurred_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
    }
}

async fn enqueue(stores: &Stores, scope: &OrgScope, events: &[OutboxEvent]) {
    let mut tx = stores.db.begin(scope).await.unwrap();
    outbox::enqueue_all(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
}

fn acks(events: &[OutboxEvent], first_seq: u64) -> Vec<Published> {
    events
        .iter()
        .zip(first_seq..)
        .map(|(event, seq)| Published { id: event.id, seq })
        .collect()
}

async fn unpublished(stores: &Stores) -> Vec<Uuid> {
    let rows = outbox::take_unpublished(&stores.pipeline, 1_000).await.unwrap();
    rows.into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn an_event_is_there_after_the_commit_as_it_was_and_not_before() {
    let stores = stores().await;
    let scope = org();
    let mut written = event(&scope);
    written.traceparent = Some("00-1-2-01".into());
    let mut tx = stores.db.begin(&scope).await.unwrap();
    outbox::enqueue(&mut tx, &written).await.unwrap();
    assert!(unpublished(&stores).await.is_empty());
    tx.commit().await.unwrap();
    assert_eq!(
        outbox::take_unpublished(&stores.pipeline, 10).await.unwrap(),
        [written]
    );
    let mut tx = stores.db.begin(&scope).await.unwrap();
    outbox::enqueue(&mut tx, &event(&scope)).await.unwrap();
    drop(tx);
    assert_eq!(unpublished(&stores).await.len(), 1);
}

#[tokio::test]
async fn the_relay_is_woken_by_a_commit_with_events_and_by_no_other() {
    let stores = stores().await;
    let scope = org();
    let poke = stores.outbox_poke();
    let woken = || async {
        tokio::time::timeout(Duration::from_millis(1), poke.notified())
            .await
            .is_ok()
    };
    stores.db.begin(&scope).await.unwrap().commit().await.unwrap();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    outbox::enqueue(&mut tx, &event(&scope)).await.unwrap();
    assert!(!woken().await);
    tx.rollback().await;
    assert!(!woken().await);
    enqueue(&stores, &scope, &[event(&scope)]).await;
    assert!(woken().await);
    let mut tx = stores.pipeline.begin().await.unwrap();
    outbox::enqueue(&mut tx, &event(&scope)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(woken().await);
}

#[tokio::test]
async fn events_come_in_the_order_of_their_writing_and_once_published_no_more() {
    let stores = stores().await;
    let scope = org();
    let mut events: Vec<_> = (0..10).map(|_| event(&scope)).collect();
    // Written in another order than their ids say, as after a clock was set back.
    events.rotate_left(5);
    enqueue(&stores, &scope, &events[..5]).await;
    enqueue(&stores, &scope, &events[5..]).await;
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(unpublished(&stores).await, ids);
    let first: Vec<_> = outbox::take_unpublished(&stores.pipeline, 3)
        .await
        .unwrap()
        .iter()
        .map(|e| e.id)
        .collect();
    assert_eq!(first, ids[..3]);
    let stats = outbox::unpublished_stats(&stores.pipeline).await.unwrap();
    assert_eq!(stats.count, 10);
    let age = SystemClock.now().duration_since(stats.oldest.unwrap());
    assert!(age < SignedDuration::from_secs(60), "{age:?}");

    outbox::mark_published(&stores.pipeline, "EVENTS", &acks(&events[..4], 1))
        .await
        .unwrap();
    outbox::mark_published(&stores.pipeline, "EVENTS", &acks(&events[..4], 1))
        .await
        .unwrap();
    assert_eq!(unpublished(&stores).await, ids[4..]);
    outbox::mark_published(&stores.pipeline, "EVENTS", &acks(&events[4..], 5))
        .await
        .unwrap();
    let stats = outbox::unpublished_stats(&stores.pipeline).await.unwrap();
    assert_eq!((stats.count, stats.oldest), (0, None));
    outbox::mark_published(&stores.pipeline, "EVENTS", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn what_the_broker_forgot_is_published_again_with_the_same_ids() {
    let stores = stores().await;
    let db = &stores.pipeline;
    let scope = org();
    let created = at("2026-01-01T00:00:00Z");
    assert_eq!(outbox::stream_mark(db, "EVENTS").await.unwrap(), None);
    outbox::mark_stream(db, "EVENTS", created).await.unwrap();
    let events: Vec<_> = (0..6_000).map(|_| event(&scope)).collect();
    for piece in events.chunks(1_000) {
        enqueue(&stores, &scope, piece).await;
    }
    outbox::mark_published(db, "EVENTS", &acks(&events[..5_990], 11))
        .await
        .unwrap();
    outbox::mark_published(db, "PIPELINE", &acks(&events[5_990..], 7_000))
        .await
        .unwrap();
    let mark = outbox::stream_mark(db, "EVENTS").await.unwrap().unwrap();
    assert_eq!((mark.created, mark.last_seq), (created, 6_000));

    // The broker's last sequence is 5,995 now: five events of ours are gone.
    assert_eq!(outbox::republish_after(db, "EVENTS", 5_995).await.unwrap(), 5);
    let again: Vec<_> = events[5_985..5_990].iter().map(|event| event.id).collect();
    assert_eq!(unpublished(&stores).await, again);
    assert_eq!(outbox::republish_after(db, "EVENTS", 5_995).await.unwrap(), 0);

    // The stream was created anew: all of ours in it are gone, and the other stream is untouched.
    assert_eq!(outbox::republish_after(db, "EVENTS", 0).await.unwrap(), 5_985);
    assert_eq!(outbox::unpublished_stats(db).await.unwrap().count, 5_990);
    outbox::mark_stream(db, "EVENTS", at("2026-02-01T00:00:00Z"))
        .await
        .unwrap();
    let mark = outbox::stream_mark(db, "EVENTS").await.unwrap().unwrap();
    assert_eq!((mark.created, mark.last_seq), (at("2026-02-01T00:00:00Z"), 0));
}

#[tokio::test]
async fn an_event_of_another_organization_or_without_a_uuidv7_is_refused() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    assert!(outbox::enqueue(&mut tx, &event(&org())).await.is_err());
    drop(tx);
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let derived = OutboxEvent {
        id: ids::derived(new_id(), "x"),
        ..event(&scope)
    };
    assert!(matches!(
        outbox::enqueue(&mut tx, &derived).await,
        Err(StoreError::Misuse(_))
    ));
    tx.commit().await.unwrap();
    assert!(unpublished(&stores).await.is_empty());
}

#[tokio::test]
async fn a_day_of_events_is_dropped_after_retention_but_never_one_that_is_unpublished() {
    let stores = stores().await;
    let scope = org();
    let spec = outbox::partitions(1);
    let then = at("2026-01-15T12:00:00Z");
    partitions::ensure(&stores.owner, &spec, then).await.unwrap();
    let old: Vec<_> = [0, 24]
        .map(|hours| {
            let time = then.checked_add(SignedDuration::from_hours(hours)).unwrap();
            OutboxEvent {
                id: Uuid::from_u128(partitions::uuid_floor(time).as_u128() + 1),
                ..event(&scope)
            }
        })
        .into();
    enqueue(&stores, &scope, &old).await;
    outbox::mark_published(&stores.pipeline, "EVENTS", &acks(&old[..1], 1))
        .await
        .unwrap();
    let later = at("2026-01-20T00:00:00Z");
    let changes = partitions::ensure(&stores.owner, &spec, later).await.unwrap();
    assert!(
        changes.dropped.contains(&"outbox_p20260115".to_owned()),
        "{changes:?}"
    );
    assert_eq!(changes.kept, ["outbox_p20260116"]);
    assert_eq!(unpublished(&stores).await, [old[1].id]);
    outbox::mark_published(&stores.pipeline, "EVENTS", &acks(&old[1..], 2))
        .await
        .unwrap();
    let changes = partitions::ensure(&stores.owner, &spec, later).await.unwrap();
    assert_eq!(changes.dropped, ["outbox_p20260116"]);
}

#[tokio::test]
async fn the_relays_statements_use_their_indexes_on_a_filled_outbox() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    let today = partitions::uuid_floor(SystemClock.now()).to_string();
    sqlx::query(
        "INSERT INTO workshop.outbox (id, org_id, subject, about, source, encoding, payload, occurred_at,
                                      published_at, stream, stream_seq)
         SELECT (substr($1, 1, 15) || 'fff-8000-' || lpad(to_hex(n), 12, '0'))::uuid, gen_random_uuid(), 's', 'a', 'x',
                'identity', '\\x00', now(), now(), 'EVENTS', n
         FROM generate_series(1, 50000) n",
    )
    .bind(today)
    .execute(&mut root)
    .await
    .unwrap();
    sqlx::raw_sql("ANALYZE workshop.outbox")
        .execute(&mut root)
        .await
        .unwrap();
    let mut tx = stores.pipeline.begin().await.unwrap();
    for statement in [
        "EXPLAIN SELECT id FROM outbox WHERE published_at IS NULL ORDER BY written LIMIT 500",
        "EXPLAIN SELECT id, stream_seq FROM outbox WHERE stream = 'EVENTS' AND stream_seq > 7 AND stream_seq <= 49000
             ORDER BY stream_seq DESC LIMIT 1",
        "EXPLAIN SELECT stream_seq FROM outbox WHERE stream = 'EVENTS' AND stream_seq IS NOT NULL
             ORDER BY stream_seq DESC LIMIT 1",
        "EXPLAIN UPDATE outbox SET published_at = clock_timestamp(), stream = 'EVENTS', stream_seq = acks.seq
             FROM unnest(ARRAY['019b0000-0000-7fff-8000-000000000001'::uuid], ARRAY[1::bigint]) AS acks (id, seq)
             WHERE outbox.id = acks.id",
    ] {
        let plan: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut *tx).await.unwrap();
        let plan = plan.join("\n");
        let filled = plan.lines().filter(|line| line.contains("Scan") && !line.contains("_default") && !line.contains("Function Scan"));
        for line in filled.filter(|line| line.contains("Seq Scan")) {
            // A partition without rows may be read in whatever way.
            let table = line.split(" on ").nth(1).unwrap().split_whitespace().next().unwrap();
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM workshop.{table}")))
                .fetch_one(&mut root)
                .await
                .unwrap();
            assert_eq!(rows, 0, "{statement}\n{plan}");
        }
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
