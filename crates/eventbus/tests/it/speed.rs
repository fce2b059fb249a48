//! Figures, not verdicts: run with `--run-ignored only --no-capture`.

use std::time::{Duration, Instant};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn how_fast_events_pass() {
    let db = Database::create().await;
    let service = Service::start(
        &db,
        &eventbus::BusSettings {
            events_max_bytes: 64 << 20,
            ..db.bus_settings()
        },
    )
    .await
    .relay();
    service.tell_each(org(1), 20).await;
    service.wait_published().await;

    let mut delays = Vec::new();
    for _ in 0..300 {
        service.tell_each(org(1), 1).await;
        let committed = Instant::now();
        while service.metric("relay_published_total") < (21 + delays.len()) as f64 {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        delays.push(committed.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    delays.sort();
    println!(
        "commit to acknowledged and marked, idle: p50 {:?}, p99 {:?}",
        delays[150], delays[297]
    );

    let told = contacts(org(1), 30_000);
    for part in told.chunks(5_000) {
        service.tell(part).await;
    }
    let begun = Instant::now();
    let left = service.unpublished().await;
    while service.unpublished().await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("relay: {left} rows (capped at 10000) in {:?}", begun.elapsed());

    service.consume(spec().concurrency(8), Once(service.stores.clone()));
    let begun = Instant::now();
    while service.metric("consumer_handled_total") < 30_000.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "consumer, one transaction per message, 8 at once: {:.0}/s",
        30_320.0 / begun.elapsed().as_secs_f64()
    );
    service.stop().await;
}
