//! Webhooks: endpoints, and deliveries to receivers that behave in all ways.

mod delivery;
mod endpoints;
mod kills;
mod receiver;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use contracts::events::v1::{AccountDeleted, DealDeleted};
use contracts::{Envelope, Event};
use eventbus::Bus;
use gateway::{Deps, Listeners};
use ids::{Clock, EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use lifecycle::Lifecycle;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use store::{OrgScope, Stores};
use telemetry::Metrics;
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::Gateway;
use receiver::Receiver;

const SOON: Duration = Duration::from_secs(20);

/// Settings under which receivers of the test can be reached.
fn open(mut changes: Value) -> Value {
    let hooks = changes["webhooks"].take();
    let mut all = json!({
        "client": {"dangerous_allow_http": true, "dangerous_allow_private_addresses": true},
        "poll_ms": 20,
    });
    if let (Value::Object(all), Value::Object(hooks)) = (&mut all, hooks) {
        all.extend(hooks);
    }
    changes["webhooks"] = all;
    changes
}

async fn started() -> Gateway {
    let gateway = Gateway::with(open(json!({}))).await;
    // On a fresh database the first partitions are made at start; on a busy machine requests would wait for that too long.
    wait_for("partitions are made", SOON, async || {
        let mut tx = gateway.stores.owner.begin().await.unwrap();
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'webhook_attempts'::regclass",
        )
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        tx.rollback().await;
        (count > 1).then_some(())
    })
    .await;
    gateway
}

/// A gateway that does not deliver.
async fn edge_only() -> Gateway {
    Gateway::with(open(json!({"roles": {"deliver": false}}))).await
}

async fn ok(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

async fn call(gateway: &Gateway, method: Method, path: &str, body: Value) -> Response {
    let path = format!("/api/v1/webhooks{path}");
    let request = gateway.request(method, &path);
    let request = if body.is_null() {
        request
    } else {
        request.json(&body)
    };
    request.send().await.unwrap()
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    ok(call(gateway, Method::GET, path, Value::Null).await).await
}

async fn post(gateway: &Gateway, path: &str, body: Value) -> Value {
    ok(call(gateway, Method::POST, path, body).await).await
}

/// A webhook; its id and its secret.
async fn hook(gateway: &Gateway, url: String, more: Value) -> (String, String) {
    let mut body = json!({"url": url});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let made = post(gateway, "", body).await;
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    (text("id"), text("secret"))
}

fn account(id: u128) -> AccountDeleted {
    AccountDeleted {
        account_id: Uuid::from_u128(id).to_string(),
    }
}

fn deal(id: u128) -> DealDeleted {
    DealDeleted {
        deal_id: Uuid::from_u128(id).to_string(),
    }
}

/// Events as the services tell them: by the outbox. Gives their ids.
async fn publish<E: Event>(gateway: &Gateway, org: OrgId, events: &[E]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut envelopes = Vec::new();
    for event in events {
        let id = EventId(SystemIds.next());
        ids.push(id.to_string());
        envelopes.push(Envelope::wrap(event, id, org, String::new(), SystemClock.now()));
    }
    let mut tx = gateway.stores.db.begin(&OrgScope::new(org)).await.unwrap();
    eventbus::enqueue_all(&mut tx, &envelopes).await.unwrap();
    tx.commit().await.unwrap();
    ids
}

/// All deliveries of a webhook, in the order of their sequence.
async fn log(gateway: &Gateway, webhook: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(
            gateway,
            &format!("/{webhook}/deliveries?sort=sequence&limit=200{cursor}"),
        )
        .await;
        all.extend(page["data"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Waits until so many deliveries have this status.
async fn until(gateway: &Gateway, webhook: &str, status: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} deliveries are {status}"), SOON, async || {
        let all = log(gateway, webhook).await;
        (all.iter().filter(|d| d["status"] == status).count() >= count).then_some(all)
    })
    .await
}

async fn hits(receiver: &Receiver, count: usize) -> Vec<receiver::Hit> {
    wait_for(&format!("{count} requests"), SOON, async || {
        let hits = receiver.hits();
        (hits.len() >= count).then_some(hits)
    })
    .await
}

/// A delivery role of its own, on a runtime of its own, over the same tables.
struct Role {
    runtime: Option<tokio::runtime::Runtime>,
    lifecycle: Lifecycle,
}

impl Role {
    async fn start(gateway: &Gateway, clock: Arc<dyn Clock>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let lifecycle = Lifecycle::new();
        let mut settings = gateway.settings.clone();
        settings.roles.edge = false;
        settings.roles.deliver = true;
        let database = gateway.stores.settings().clone();
        let bus_settings = gateway.bus_settings.clone();
        let life = lifecycle.clone();
        let started = runtime.spawn(async move {
            let metrics = Metrics::new("gateway");
            let deps = Deps {
                bus: Bus::connect(&bus_settings, &life, &metrics).await.unwrap(),
                stores: Stores::connect(&database, &life, &metrics).await.unwrap(),
                lifecycle: life,
                metrics,
                clock,
                ids: SystemIds::shared(),
                intake: None,
            };
            let listeners = Listeners::bind(&settings).await.unwrap();
            gateway::start(&settings, deps, listeners).unwrap();
        });
        started.await.unwrap();
        Self {
            runtime: Some(runtime),
            lifecycle,
        }
    }

    /// Ends it as a process is ended that gets a signal.
    async fn stop(mut self) {
        self.lifecycle.stop(Duration::from_secs(20)).await.unwrap();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Ends it wherever it is.
    fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The sequences of a webhook's deliveries have no gap and no repeat.
fn assert_gap_free(log: &[Value]) {
    let sequences: Vec<i64> = log.iter().map(|d| d["sequence"].as_i64().unwrap()).collect();
    let expected: Vec<i64> = (1..=i64::try_from(log.len()).unwrap()).collect();
    assert_eq!(sequences, expected);
}
