//! A whole gateway of a test's own.

use std::net::SocketAddr;
use std::sync::Arc;

use eventbus::{Bus, BusSettings};
use gateway::access::{NewKey, create_key, create_organization};
use gateway::{Deps, Listeners, Settings};
use ids::{ApiKeyId, OrgId, SystemClock, SystemIds};
use reqwest::{Client, Method, RequestBuilder, Response};
use rpc::{InProcess, KeyPair, Role, Verifier};
use serde_json::{Value, json};
use telemetry::Metrics;
use test_kit::{TestStores, unique_prefix};

use crate::fakes::{Fake, Seen};

/// Everything a test needs. Dropping it ends the gateway with the test's runtime.
pub struct Gateway {
    pub base: String,
    pub http: SocketAddr,
    pub grpc: String,
    pub metrics: Metrics,
    pub org: OrgId,
    pub key: String,
    pub seen: Arc<Seen>,
    pub stores: TestStores,
    pub bus: Bus,
    pub client: Client,
    pub pair: KeyPair,
    pub settings: Settings,
    pub bus_settings: BusSettings,
}

/// An address where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// Where the services are.
enum Services {
    AtPorts,
    IntakeHere,
    Nowhere,
}

/// Starts the servers.
async fn serve(
    settings: &Settings,
    stores: &TestStores,
    bus: &Bus,
    metrics: Metrics,
    intake: Option<InProcess>,
) -> (SocketAddr, SocketAddr) {
    let listeners = Listeners::bind(settings).await.unwrap();
    let (http, grpc) = (
        listeners.http.local_addr().unwrap(),
        listeners.grpc.local_addr().unwrap(),
    );
    let deps = Deps {
        bus: bus.clone(),
        stores: stores.stores().clone(),
        lifecycle: stores.lifecycle().clone(),
        metrics,
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        intake,
    };
    gateway::start(settings, deps, listeners).unwrap();
    (http, grpc)
}

impl Gateway {
    pub async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With settings of its own: sections as in `default.toml`.
    pub async fn with(changes: Value) -> Self {
        Box::pin(Self::build(changes, Services::AtPorts, BusSettings::default())).await
    }

    /// With events that are kept for one second only.
    pub async fn forgetful(changes: Value) -> Self {
        let bus = BusSettings {
            events_max_age_secs: 1,
            pipeline_max_age_secs: 1,
            duplicate_window_secs: 1,
            ..BusSettings::default()
        };
        Box::pin(Self::build(changes, Services::AtPorts, bus)).await
    }

    /// On a broker of the test's own.
    pub async fn on(broker: &str) -> Self {
        Self::at_broker(broker, json!({})).await
    }

    /// As [`Self::on`], with settings of its own.
    pub async fn at_broker(url: &str, changes: Value) -> Self {
        let bus = BusSettings {
            url: url.to_owned(),
            ..BusSettings::default()
        };
        Box::pin(Self::build(changes, Services::AtPorts, bus)).await
    }

    /// With the services at an address where nobody listens.
    pub async fn alone() -> Self {
        Box::pin(Self::build(json!({}), Services::Nowhere, BusSettings::default())).await
    }

    /// With signal-ingest in the gateway's process, and no other service.
    pub async fn with_intake() -> Self {
        Box::pin(Self::build(
            json!({}),
            Services::IntakeHere,
            BusSettings::default(),
        ))
        .await
    }

    async fn build(changes: Value, services: Services, bus: BusSettings) -> Self {
        let stores = TestStores::create(gateway::SCHEMA, &gateway::MIGRATOR).await;
        let lifecycle = stores.lifecycle().clone();
        let pair = KeyPair::generate();
        let verifier = Verifier::new(std::slice::from_ref(&pair.public), SystemClock::shared()).unwrap();
        let (seen, url, here) = Fake::serve(verifier, &lifecycle).await;
        let (url, intake) = match services {
            Services::AtPorts => (url.as_str(), None),
            Services::IntakeHere => (NOBODY, Some(here)),
            Services::Nowhere => (NOBODY, None),
        };
        let settings = settings(&pair, url, changes);
        let metrics = stores.metrics().clone();
        let bus_settings = BusSettings {
            url: if bus.url == BusSettings::default().url {
                stores.database().stack().nats_url().to_owned()
            } else {
                bus.url.clone()
            },
            client_name: "gateway".into(),
            namespace: unique_prefix(),
            events_max_bytes: 64 << 20,
            pipeline_max_bytes: 64 << 20,
            advisories_max_bytes: 1 << 20,
            ..bus
        };
        let bus = Bus::connect(&bus_settings, &lifecycle, &metrics).await.unwrap();
        let (org, key) = create_organization(
            &stores,
            &*SystemClock::shared(),
            &*SystemIds::shared(),
            "Acme",
            &NewKey::owner("test"),
        )
        .await
        .unwrap();
        let (http, grpc) = serve(&settings, &stores, &bus, metrics.clone(), intake).await;
        Self {
            base: format!("http://{http}"),
            http,
            grpc: format!("http://{grpc}"),
            metrics,
            org,
            key: key.expose().clone(),
            seen,
            stores,
            bus,
            client: Client::new(),
            pair,
            settings,
            bus_settings,
        }
    }

    /// Another process on the same schema and bus: as this one after a restart.
    pub async fn again(&self) -> (SocketAddr, String) {
        let metrics = Metrics::new("gateway-again");
        let (http, grpc) = serve(&self.settings, &self.stores, &self.bus, metrics, None).await;
        (http, format!("http://{grpc}"))
    }

    /// Another key of the organization.
    pub async fn key(&self, role: Role, scopes: &[&str]) -> (ApiKeyId, String) {
        self.key_of(self.org, role, scopes).await
    }

    pub async fn key_of(&self, org: OrgId, role: Role, scopes: &[&str]) -> (ApiKeyId, String) {
        let new = NewKey {
            role,
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            ..NewKey::owner("test")
        };
        let clock = SystemClock::shared();
        let (id, text) = create_key(&self.stores, &*clock, &*SystemIds::shared(), org, &new)
            .await
            .unwrap();
        (id, text.expose().clone())
    }

    /// Another organization with its first key.
    pub async fn other_organization(&self) -> (OrgId, String) {
        let new = NewKey::owner("test");
        let made = create_organization(&self.stores, &SystemClock, &SystemIds, "Other", &new);
        let (org, key) = made.await.unwrap();
        (org, key.expose().clone())
    }

    /// A request with the first key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body)
    }

    /// Whether anything of a request reached a service.
    pub fn untouched(&self) -> bool {
        self.seen.intakes.lock().is_empty()
            && self.seen.principals.lock().is_empty()
            && self.seen.hooks.lock().is_empty()
    }
}

/// Settings that nothing is started with.
pub fn settings_alone() -> Settings {
    settings(&KeyPair::generate(), NOBODY, json!({}))
}

fn settings(pair: &KeyPair, services: &str, changes: Value) -> Settings {
    let backend = || json!({"url": services});
    let mut overrides = json!({
        "http": {"listen": "127.0.0.1:0", "drain_secs": 1},
        "grpc": {"listen": "127.0.0.1:0"},
        "backends": {"signal_ingest": backend(), "identity_resolver": backend(), "crm": backend(), "scoring": backend()},
        "security": {
            "signing_key": pair.private.expose(),
            "secret_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        },
    });
    merge(&mut overrides, changes);
    Settings::load(None, std::iter::empty(), Some(overrides)).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A problem document, checked for its form.
pub async fn problem(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    assert_eq!(
        headers.get("content-type").unwrap(),
        "application/problem+json",
        "{status} {text}"
    );
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(
        body["requestId"],
        headers.get("request-id").unwrap().to_str().unwrap()
    );
    for field in ["type", "title", "detail", "code"] {
        assert!(
            body[field].as_str().is_some_and(|t| !t.is_empty()),
            "{field} in {text}"
        );
    }
    assert!(body["errors"].is_array() && body["retryable"].is_boolean());
    for inside in ["hunter2", "tonic", "sqlx", ".rs", "/work", "127.0.0.1"] {
        assert!(!text.contains(inside), "{inside} leaked: {text}");
    }
    (status, body)
}
