//! How fast webhooks are delivered to endpoints of this machine, on a durable Postgres of its own, next to what the same
//! client does with bare requests to the same endpoints; and how long first attempts take while a hundred other endpoints
//! are hostile.
//!
//! `cargo run --release -p gateway --example deliveries [events] [endpoints]`

#![expect(clippy::print_stdout, reason = "the figures are this program's purpose")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod neighbours;
mod receiver;
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::StreamExt as _;
use lifecycle::Lifecycle;
use local_stack::{Nats, NatsOptions, Postgres, PostgresOptions};
use outbound::{Client, Policy, Request, Target};
use serde_json::json;

use receiver::{Arrived, Manner, endpoint};
use system::System;

/// Bare requests at the same time, and attempts per endpoint.
const IN_FLIGHT: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse().ok());
    let (events, endpoints): (usize, usize) =
        (arguments.next().unwrap_or(3_000), arguments.next().unwrap_or(10));
    let directory = tempfile::tempdir()?;
    let postgres = Postgres::start(PostgresOptions::new(directory.path().join("postgres"))).await?;
    let nats = Nats::start(NatsOptions::new(directory.path().join("nats"))).await?;
    let lifecycle = Lifecycle::new();
    let arrived = Arc::new(Arrived::default());
    let url = endpoint(&lifecycle, Manner::Answers(Arc::clone(&arrived))).await?;
    let bare = bare(&url).await?;
    println!("bare requests: {bare:.0}/s with {IN_FLIGHT} in flight");
    let system = System::start(&postgres.superuser_url("bench"), nats.url(), &lifecycle).await?;
    let organization = system.organization().await?;
    let urls: Vec<String> = (0..endpoints).map(|n| format!("{url}/{n}")).collect();
    system.webhooks(&organization, &urls).await?;
    arrived.count.store(0, Ordering::SeqCst);
    let told = Instant::now();
    system.publish(&organization, events).await?;
    let wanted = events * endpoints;
    let first = until(&arrived.count, 1).await?;
    let last = until(&arrived.count, wanted).await?;
    let rate = wanted as f64 / last.duration_since(first).as_secs_f64();
    println!(
        "webhooks: {wanted} deliveries to {endpoints} endpoints, {rate:.0}/s signed, logged and durable; {:.2} of bare requests; \
         the first after {} ms",
        rate / bare,
        first.duration_since(told).as_millis()
    );
    neighbours::measure(&system, &organization, &arrived, &lifecycle).await?;
    lifecycle.stop(Duration::from_secs(20)).await?;
    Ok(())
}

async fn until(count: &AtomicUsize, wanted: usize) -> Result<Instant> {
    let begun = Instant::now();
    while count.load(Ordering::SeqCst) < wanted {
        anyhow::ensure!(
            begun.elapsed() < Duration::from_secs(300),
            "deliveries are missing"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(Instant::now())
}

/// Requests per second of the client alone.
async fn bare(url: &str) -> Result<f64> {
    let settings: outbound::Settings = serde_json::from_value(json!({
        "dangerous_allow_http": true, "dangerous_allow_private_addresses": true, "idle_per_origin": IN_FLIGHT}))?;
    let client = Client::new(&settings)?;
    let policy = Policy {
        allow_http: true,
        allow_private: true,
    };
    let target = Target::parse(url, &policy)?;
    let (begun, time) = (Instant::now(), Duration::from_secs(3));
    let body = bytes::Bytes::from(vec![b'x'; 300]);
    let sent = futures::stream::repeat_with(|| {
        let request = Request {
            method: http::Method::POST,
            target: target.clone(),
            headers: http::HeaderMap::new(),
            body: body.clone(),
        };
        client.send(request, Duration::from_secs(5))
    })
    .buffer_unordered(IN_FLIGHT)
    .take_while(|_| std::future::ready(begun.elapsed() < time))
    .filter(|answer| std::future::ready(answer.is_ok()))
    .count()
    .await;
    Ok(sent as f64 / begun.elapsed().as_secs_f64())
}
