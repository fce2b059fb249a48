//! Following events: what ten thousand idle streams cost, and how fast events go out to a hundred gRPC subscribers, beside
//! a gRPC server that does nothing but stream the same messages to as many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use contracts::events::v1 as wire;
use contracts::events::v1::event_service_client::EventServiceClient;
use futures::future::{join_all, try_join_all};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

use super::bare;
use super::report::{Results, Row};
use crate::system::System;

const IDLE: usize = 10_000;
const SUBSCRIBERS: usize = 100;
/// Signals of the fan-out; each becomes two events.
const SIGNALS: usize = 10_000;
const BATCH: usize = 1_000;

/// Opens the idle streams and looks at the memory.
pub async fn idle(system: &System, results: &mut Results) -> anyhow::Result<()> {
    let before = system.resident_mib()?;
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE / 100 {
        open.extend(try_join_all((0..100).map(|_| one(system))).await?);
    }
    // Heartbeats have gone out twice.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let after = system.resident_mib()?;
    let each_kib = (after - before) * 1024.0 / IDLE as f64;
    ensure!(open.len() == IDLE, "not all are open");
    drop(open);
    results.add(Row {
        what: format!("memory of all services in one process, with {IDLE} idle SSE streams"),
        measured: format!("{after:.0} MiB, {each_kib:.1} KiB per stream"),
        ceiling: "–".into(),
        ratio: None,
        goal: "≤ 700 MiB, ≤ 64 KiB per stream".into(),
        reached: after <= 700.0 && each_kib <= 64.0,
    });
    Ok(())
}

/// A stream that was greeted.
async fn one(system: &System) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(system.host()).await?;
    let key = &system.endpoints.api_key;
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let (mut text, mut buffer) = (String::new(), [0; 2048]);
    while !text.contains(": connected") {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await??;
        if read == 0 {
            bail!("a stream was refused: {text}");
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    Ok(stream)
}

/// Sends signals and measures how fast their events reach all subscribers.
pub async fn fan_out(system: &System, results: &mut Results) -> anyhow::Result<()> {
    let url = format!("http://{}", system.endpoints.grpc.trim_start_matches("http://"));
    let key = &system.endpoints.api_key;
    let types = ["signal.received", "signal.account_matched"]
        .map(str::to_owned)
        .to_vec();
    let opening = (0..SUBSCRIBERS).map(|_| subscribe(&url, key, types.clone()));
    let mut streams = try_join_all(opening).await?;
    // The first event is not measured: it shows that all follow, and what a message weighs.
    send(system, 1, "first").await?;
    let firsts = join_all(streams.iter_mut().map(event)).await;
    let sample = firsts.into_iter().next().context("no subscribers")??;
    for stream in &mut streams {
        event(stream).await?;
    }
    let count = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let reading = streams.into_iter().map(|mut stream| {
        let count = Arc::clone(&count);
        lifecycle::detach("subscriber", async move {
            for _ in 0..2 * SIGNALS {
                event(&mut stream).await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        })
    });
    let reading: Vec<_> = reading.collect();
    for at in 0..SIGNALS / BATCH {
        send(system, BATCH, &format!("fan{at}")).await?;
    }
    for reader in reading {
        tokio::time::timeout(Duration::from_secs(180), reader).await???;
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = count.load(Ordering::Relaxed) as f64 / seconds;
    let ceiling = bare::measure(sample, SUBSCRIBERS, Duration::from_secs(8)).await?;
    results.add(Row {
        what: format!(
            "events to {SUBSCRIBERS} gRPC subscribers, from POST of the signals to the last subscriber"
        ),
        measured: format!(
            "{:.0}k events/s delivered: {} events to each in {seconds:.2} s",
            rate / 1000.0,
            2 * SIGNALS
        ),
        ceiling: format!("{:.0}k/s from a bare tonic server", ceiling / 1000.0),
        ratio: Some(rate / ceiling),
        goal: "≥ 50k/s".into(),
        reached: rate >= 50_000.0,
    });
    Ok(())
}

async fn subscribe(
    url: &str,
    key: &str,
    types: Vec<String>,
) -> anyhow::Result<Streaming<wire::SubscribeResponse>> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let mut request = Request::new(wire::SubscribeRequest {
        types,
        ..wire::SubscribeRequest::default()
    });
    let bearer = format!("Bearer {key}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(EventServiceClient::new(channel)
        .subscribe(request)
        .await?
        .into_inner())
}

/// The next event; heartbeats are passed over.
async fn event(stream: &mut Streaming<wire::SubscribeResponse>) -> anyhow::Result<wire::SubscribeResponse> {
    loop {
        let message = stream.message().await?.context("the stream ended")?;
        if message.event.is_some() {
            return Ok(message);
        }
    }
}

/// Sends signals of known companies.
async fn send(system: &System, count: usize, name: &str) -> anyhow::Result<()> {
    let signals: Vec<_> = (0..count)
        .map(|n| {
            json!({
                "type": "api_call",
                "idempotencyKey": format!("{name}-{n}"),
                "actor": {"email": format!("dev{}@company{}.example", n % 50, n % 7)},
                "metadata": {"endpoint": "/v1/things", "status": 200},
            })
        })
        .collect();
    let answer = reqwest::Client::new()
        .post(format!("{}/api/v1/signals/batch", system.endpoints.http))
        .bearer_auth(&system.endpoints.api_key)
        .json(&json!({ "signals": signals }))
        .send()
        .await?;
    ensure!(
        answer.status() == 202,
        "signals were not accepted: {}",
        answer.text().await?
    );
    Ok(())
}
