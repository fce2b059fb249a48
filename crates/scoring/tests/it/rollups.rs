//! Every recorded signal is counted once, whatever happens to its batch.

use contracts::events::v1 as events;
use eventbus::{Handler as _, HandlerError};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Said as _, World, batch, new_id, new_org, signal, wrap};

#[tokio::test]
async fn a_batch_delivered_ten_times_counts_once() {
    let world = World::new().await;
    let (org, account, actor) = (new_org(), new_id(), new_id());
    let of = |kind| signal(kind, world.now()).of(account).by(actor);
    let envelope = world
        .record(
            org,
            vec![of("api_call"), of("api_call"), of("page_view"), of("login")],
        )
        .await;
    let before = world.dump(org).await;
    for _ in 0..9 {
        world.deliver(envelope.clone()).await.unwrap();
    }
    assert_eq!(world.counted(org, None, None).await, 4);
    assert_eq!(world.dump(org).await, before);
}

#[tokio::test]
async fn concurrent_replicas_and_repeats_count_every_batch_once() {
    let world = World::new().await;
    let (_stores, _, other) = world.replica().await;
    let (org, now) = (new_org(), world.now());
    let accounts: Vec<Uuid> = (0..7).map(|_| new_id()).collect();
    let actors: Vec<Uuid> = (0..11).map(|_| new_id()).collect();
    let envelopes: Vec<_> = (0..40_usize)
        .map(|b| {
            let signals = (0..25_usize).map(|n| {
                let kind = ["api_call", "page_view", "login"][n % 3];
                let said = signal(kind, now).by(actors[(b + n) % 11]);
                if n % 5 == 0 {
                    said
                } else {
                    said.of(accounts[(b * 3 + n) % 7])
                }
            });
            wrap(org, &batch(org, signals.collect()), now)
        })
        .collect();
    // Each batch ten times, over two replicas, all at once: claims, rows and groups collide in every way.
    let deliveries = (0..10_usize).flat_map(|round| {
        let (world, other) = (&world, &other);
        envelopes.iter().enumerate().map(move |(n, envelope)| {
            let replica = if (n + round).is_multiple_of(2) {
                &world.signals
            } else {
                other
            };
            replica.handle(envelope.clone())
        })
    });
    for outcome in futures::future::join_all(deliveries).await {
        // Whoever waits too long for another's claim is delivered again by the bus.
        assert!(!matches!(outcome, Err(HandlerError::Poison(_))));
    }
    for envelope in &envelopes {
        world.deliver(envelope.clone()).await.unwrap();
    }
    assert_eq!(world.counted(org, None, None).await, 1_000);
    assert_eq!(world.counted(org, Some(Uuid::nil()), None).await, 200);
}

#[tokio::test]
async fn days_follow_the_time_of_the_event_and_not_of_its_arrival() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let at = [
        "2021-02-03T23:59:59.999999Z",
        "2021-02-04T00:00:00Z",
        "2021-02-04T12:00:00+14:00",
    ];
    let signals = at
        .iter()
        .map(|at| signal("login", at.parse().unwrap()).of(account))
        .collect();
    world.record(org, signals).await;
    let days: Vec<(String, i64)> =
        sqlx::query_as("SELECT day::text, signals FROM activity WHERE org_id = $1 ORDER BY day")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
    assert_eq!(days, [("2021-02-03".to_owned(), 2), ("2021-02-04".to_owned(), 1)]);
}

#[tokio::test]
async fn the_highest_usage_reading_of_a_day_is_kept() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let read = |used: i32| {
        signal("api_call", world.now())
            .of(account)
            .with(json!({"usage": used, "limit": 1000, "metric": "calls"}))
    };
    let highest = read(900);
    let id = highest.id.clone();
    world.record(org, vec![read(100), highest]).await;
    world.record(org, vec![read(300)]).await;
    let rows: Vec<(String, f64, String)> =
        sqlx::query_as("SELECT metric, used, signal_id::text FROM usage_readings WHERE org_id = $1")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
    assert_eq!(rows, [("calls".to_owned(), 900.0, id)]);
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_is_poison_and_its_neighbours_count() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let good = || signal("login", now).of(new_id());
    let mut no_time = good();
    no_time.timestamp = None;
    let foreign = events::SignalsRecorded {
        organization_id: new_org().to_string(),
        ..batch(org, vec![good()])
    };
    let no_id = events::SignalsRecorded {
        batch_id: "x".into(),
        ..batch(org, vec![good()])
    };
    for broken in [
        batch(org, vec![good(), no_time]),
        foreign,
        no_id,
        batch(org, vec![]),
    ] {
        let (bad, neighbour) = (wrap(org, &broken, now), wrap(org, &batch(org, vec![good()]), now));
        let (bad, neighbour) = tokio::join!(world.deliver(bad), world.deliver(neighbour));
        assert!(matches!(bad, Err(HandlerError::Poison(_))), "{bad:?}");
        neighbour.unwrap();
    }
    assert_eq!(world.counted(org, None, None).await, 4);
}

#[tokio::test]
async fn text_that_postgres_refuses_does_not_stop_a_batch() {
    let world = World::new().await;
    let (org, actor) = (new_org(), new_id());
    let metadata =
        json!({"feature": "a\u{0}b", "competitor": "x\u{0}y", "metric": "\u{0}", "usage": 1, "limit": 2});
    let odd = signal("login", world.now())
        .by(actor)
        .titled("C\u{0}TO")
        .with(metadata);
    world.record(org, vec![odd]).await;
    assert_eq!(world.counted(org, None, None).await, 1);
}
