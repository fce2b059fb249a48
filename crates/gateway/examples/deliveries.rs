//! How fast webhooks are delivered to endpoints of this machine, on a durable Postgres of its own, next to what the same
//! client does with bare requests to the same endpoints.
//!
//! `cargo run --release -p gateway --example deliveries [events] [endpoints]`

#![expect(clippy::print_stdout, reason = "the figures are this program's purpose")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use contracts::Envelope;
use contracts::events::v1::AccountDeleted;
use eventbus::{Bus, BusSettings};
use futures::StreamExt as _;
use gateway::access::{NewKey, create_organization};
use gateway::{Deps, Listeners, Settings};
use ids::{Clock as _, EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use lifecycle::{Lifecycle, OnExit, Phase};
use local_stack::{Nats, NatsOptions, Postgres, PostgresOptions};
use outbound::{Client, Policy, Request, Target};
use rpc::KeyPair;
use serde_json::json;
use store::{OrgScope, Stores};
use telemetry::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
    let (url, count) = receiver(&lifecycle).await?;
    let bare = bare(&url).await?;
    println!("bare requests: {bare:.0}/s with {IN_FLIGHT} in flight");
    let system = System::start(&postgres.superuser_url("bench"), nats.url(), &lifecycle).await?;
    system.webhooks(&url, endpoints).await?;
    count.store(0, Ordering::SeqCst);
    let told = Instant::now();
    system.publish(events).await?;
    let wanted = events * endpoints;
    let first = until(&count, 1).await?;
    let last = until(&count, wanted).await?;
    let rate = wanted as f64 / last.duration_since(first).as_secs_f64();
    println!(
        "webhooks: {wanted} deliveries to {endpoints} endpoints, {rate:.0}/s signed, logged and durable; {:.2} of bare requests; \
         the first after {} ms",
        rate / bare,
        first.duration_since(told).as_millis()
    );
    lifecycle.stop(Duration::from_secs(10)).await?;
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

/// Answers every request with an empty 200, and counts.
async fn receiver(lifecycle: &Lifecycle) -> Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, life, listener) = (Arc::clone(&count), lifecycle.clone(), Arc::new(listener));
    lifecycle.spawn("receiver", Phase::Base, OnExit::Finish, move |shutdown| {
        let (counted, life, listener) = (Arc::clone(&counted), life.clone(), Arc::clone(&listener));
        async move {
            loop {
                let (stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted?,
                    () = shutdown.requested() => return Ok(()),
                };
                let counted = Arc::clone(&counted);
                life.spawn_once("connection", Phase::Edge, move |shutdown| async move {
                    tokio::select! {
                        _ = answer(stream, &counted) => {}
                        () = shutdown.requested() => {}
                    }
                    Ok(())
                });
            }
        }
    });
    Ok((url, count))
}

async fn answer(mut stream: TcpStream, count: &AtomicUsize) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut buffer, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        buffer.extend_from_slice(&piece[..read]);
        while let Some(whole) = request_bytes(&buffer) {
            buffer.drain(..whole);
            count.fetch_add(1, Ordering::SeqCst);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .ok()?;
        }
    }
}

/// The length of the first request, if it is there whole.
fn request_bytes(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |text| text.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some(head + length)
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

struct System {
    stores: Stores,
    base: String,
    org: OrgId,
    key: String,
}

impl System {
    async fn start(postgres: &str, nats: String, lifecycle: &Lifecycle) -> Result<Self> {
        let mut database = test_kit::database_settings(postgres, gateway::SCHEMA)?;
        database.pipeline_connections = 12;
        store::bootstrap::bootstrap(
            &postgres.to_owned().into(),
            &database.database,
            &[(&database).into()],
        )
        .await?;
        store::migrate(&database, &gateway::MIGRATOR).await?;
        let nobody = json!({"url": "http://127.0.0.1:19999"});
        let settings = Settings::load(
            None,
            std::iter::empty(),
            Some(json!({
                "http": {"listen": "127.0.0.1:0"}, "grpc": {"listen": "127.0.0.1:0"},
                "backends": {"signal_ingest": nobody, "identity_resolver": nobody, "crm": nobody, "scoring": nobody},
                "security": {"signing_key": KeyPair::generate().private.expose(),
                             "secret_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
                "webhooks": {"client": {"dangerous_allow_http": true, "dangerous_allow_private_addresses": true,
                                        "idle_per_origin": 1024, "idle_connections": 1024}},
            })),
        )?;
        let metrics = Metrics::new("gateway");
        let bus = BusSettings {
            url: nats,
            events_max_bytes: 1 << 30,
            ..BusSettings::default()
        };
        let stores = Stores::connect(&database, lifecycle, &metrics).await?;
        let new = NewKey::owner("bench");
        let (org, key) = create_organization(&stores, &SystemClock, &SystemIds, "Bench", &new).await?;
        let listeners = Listeners::bind(&settings).await?;
        let base = format!("http://{}", listeners.http.local_addr()?);
        let deps = Deps {
            bus: Bus::connect(&bus, lifecycle, &metrics).await?,
            stores: stores.clone(),
            lifecycle: lifecycle.clone(),
            metrics,
            clock: SystemClock::shared(),
            ids: SystemIds::shared(),
        };
        gateway::start(&settings, deps, listeners)?;
        let key = key.expose().clone();
        Ok(Self {
            stores,
            base,
            org,
            key,
        })
    }

    async fn webhooks(&self, url: &str, count: usize) -> Result<()> {
        let client = reqwest::Client::new();
        for n in 0..count {
            let body =
                json!({"url": format!("{url}/{n}"), "maxInFlight": IN_FLIGHT, "events": ["account.deleted"]});
            let made = client
                .post(format!("{}/api/v1/webhooks", self.base))
                .bearer_auth(&self.key)
                .json(&body);
            let made = made.send().await?;
            anyhow::ensure!(
                made.status() == 201,
                "a webhook could not be made: {}",
                made.text().await?
            );
        }
        // The fan-out notices the first webhook within some tenths of a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    async fn publish(&self, count: usize) -> Result<()> {
        let envelopes: Vec<Envelope> = (0..count)
            .map(|_| {
                let id = SystemIds.next();
                let event = AccountDeleted {
                    account_id: id.to_string(),
                };
                Envelope::wrap(
                    &event,
                    EventId(id),
                    self.org,
                    id.to_string(),
                    "bench",
                    SystemClock.now(),
                )
            })
            .collect();
        for piece in envelopes.chunks(500) {
            let mut tx = self.stores.db.begin(&OrgScope::new(self.org)).await?;
            eventbus::enqueue_all(&mut tx, piece)
                .await
                .context("events cannot be told")?;
            tx.commit().await?;
        }
        Ok(())
    }
}
