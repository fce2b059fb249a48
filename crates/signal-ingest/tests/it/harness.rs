//! The whole service as tests need it: its database, its lanes and consumers, its gRPC server, and callers.

use std::time::Duration;

use base64::Engine as _;
use contracts::ops::v1::stage_service_client::StageServiceClient;
use contracts::signals::v1::intake_service_client::IntakeServiceClient;
use contracts::signals::v1::json_intake_result::Outcome;
use contracts::signals::v1::signal_service_client::SignalServiceClient;
use contracts::signals::v1::source_service_client::SourceServiceClient;
use contracts::signals::v1::{
    AcceptJsonRequest, IngestSignalsResponse, IntakeRefusal, JsonIntake, Signal, SignalsAccepted,
};
use contracts::{Envelope, Event};
use errors::ApiError;
use eventbus::{Bus, BusSettings};
use ids::{EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use jiff::Timestamp;
use lifecycle::Lifecycle;
use rpc::{Actor, KeyPair, Principal, Role, Signer, Verifier};
use serde_json::{Value, json};
use signal_ingest::app::{self, Deps};
use signal_ingest::config::Settings;
use sqlx::Connection as _;
use telemetry::Metrics;
use test_kit::TestStores;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// How long anything may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// One signal-ingest on a database of its own.
pub struct World {
    pub intake: IntakeServiceClient<Channel>,
    pub signals: SignalServiceClient<Channel>,
    pub sources: SourceServiceClient<Channel>,
    pub stages: StageServiceClient<Channel>,
    pub life: Lifecycle,
    signer: Signer,
    pub stores: TestStores,
}

impl World {
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// With settings of its own.
    pub async fn with(own: Value) -> Self {
        let stores = TestStores::create(signal_ingest::SCHEMA, &signal_ingest::MIGRATOR).await;
        let (life, metrics) = (Lifecycle::new(), Metrics::new("signal-ingest"));
        let pair = KeyPair::generate();
        let url = serve(&stores, &life, &metrics, &[pair.public], own).await;
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let large = 32 << 20;
        Self {
            intake: IntakeServiceClient::new(channel.clone())
                .max_decoding_message_size(large)
                .max_encoding_message_size(large),
            signals: SignalServiceClient::new(channel.clone()),
            sources: SourceServiceClient::new(channel.clone()),
            stages: StageServiceClient::new(channel),
            life,
            signer: Signer::new(&pair.private, SystemClock::shared()).unwrap(),
            stores,
        }
    }

    /// A request of the gateway on its own behalf.
    pub fn system<T>(&self, message: T) -> Request<T> {
        self.sign(message, &Principal::system("gateway"))
    }

    /// A request of a member of an organization.
    pub fn member<T>(&self, org: OrgId, role: Role, message: T) -> Request<T> {
        let principal = Principal {
            org: Some(org),
            actor: Actor::User(Uuid::from_u128(1)),
            role,
            scopes: Vec::new(),
        };
        self.sign(message, &principal)
    }

    fn sign<T>(&self, message: T, principal: &Principal) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.signer.token(principal).unwrap();
        request
            .metadata_mut()
            .insert(rpc::PRINCIPAL_KEY, token.parse().unwrap());
        request
    }

    /// Hands over bodies as the gateway does.
    pub async fn hand_over(&self, items: Vec<JsonIntake>) -> Vec<Answer> {
        let request = self.system(AcceptJsonRequest { items });
        let answer = self
            .intake
            .clone()
            .accept_json(request)
            .await
            .unwrap()
            .into_inner();
        answer
            .results
            .into_iter()
            .map(|result| result.outcome.unwrap().into())
            .collect()
    }

    /// Sends one body as a batch.
    pub async fn send(&self, org: OrgId, signals: Value) -> IngestSignalsResponse {
        let body = json!({"signals": signals}).to_string();
        self.hand_over(vec![intake(org, &body, true)])
            .await
            .remove(0)
            .verdicts()
    }

    /// Sends one body as a single signal.
    pub async fn send_one(&self, org: OrgId, signal: &str) -> Answer {
        self.hand_over(vec![intake(org, signal, false)]).await.remove(0)
    }

    /// As superuser, past row-level security.
    pub async fn admin(&self) -> sqlx::PgConnection {
        let mut connection = sqlx::PgConnection::connect(&self.stores.database().url())
            .await
            .unwrap();
        sqlx::query("SET search_path = signal_ingest")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    /// Runs statements as superuser.
    pub async fn sql(&self, statements: &'static str) {
        sqlx::raw_sql(statements)
            .execute(&mut self.admin().await)
            .await
            .unwrap();
    }

    /// One number, as superuser.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.admin().await)
            .await
            .unwrap()
    }

    /// The accepted batches of an organization as stored, oldest first.
    pub async fn batches(&self, org: OrgId) -> Vec<SignalsAccepted> {
        let rows: Vec<(Vec<u8>,)> =
            sqlx::query_as("SELECT payload FROM batches WHERE org_id = $1 ORDER BY id")
                .bind(org.uuid())
                .fetch_all(&mut self.admin().await)
                .await
                .unwrap();
        let read = |payload: Vec<u8>| {
            let plain = contracts::codec::decompress(&payload).unwrap();
            <SignalsAccepted as prost::Message>::decode(plain.as_slice()).unwrap()
        };
        rows.into_iter().map(|(payload,)| read(payload)).collect()
    }

    /// The events of type `E` told to an organization, in order.
    pub async fn told<E: Event>(&self, org: OrgId) -> Vec<E> {
        let rows: Vec<(Vec<u8>, String)> = sqlx::query_as(
            "SELECT payload, encoding FROM outbox WHERE org_id = $1 AND subject = $2 ORDER BY id",
        )
        .bind(org.uuid())
        .bind(contracts::Subject::of::<E>(org).text())
        .fetch_all(&mut self.admin().await)
        .await
        .unwrap();
        let plain = |(payload, encoding): (Vec<u8>, String)| match encoding.as_str() {
            "zstd" => contracts::codec::decompress(&payload).unwrap(),
            _ => payload,
        };
        rows.into_iter()
            .map(|row| E::decode(plain(row).as_slice()).unwrap())
            .collect()
    }

    /// Puts an event on the bus, by this schema's own outbox.
    pub async fn publish<E: Event>(&self, org: OrgId, event: &E) -> Envelope {
        let envelope = wrap(org, event);
        let mut tx = self.stores.pipeline.begin().await.unwrap();
        eventbus::enqueue(&mut tx, &envelope).await.unwrap();
        tx.commit().await.unwrap();
        envelope
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.life.shutdown();
    }
}

async fn serve(
    stores: &TestStores,
    life: &Lifecycle,
    metrics: &Metrics,
    keys: &[String],
    own: Value,
) -> String {
    let bus_settings = BusSettings {
        url: stores.database().stack().nats_url().to_owned(),
        client_name: "signal-ingest".to_owned(),
        namespace: test_kit::unique_prefix(),
        events_max_bytes: 64 << 20,
        pipeline_max_bytes: 64 << 20,
        advisories_max_bytes: 1 << 20,
        ..BusSettings::default()
    };
    let mut overrides = json!({
        "security": {"principal_keys": keys},
        "secrets": {"kek": base64::engine::general_purpose::STANDARD.encode([7; 32])},
        // The pools of tests are small.
        "accept": {"lanes": 2},
        "record": {"concurrency": 2},
        "identity": {"concurrency": 1},
        "sources": {"cache_ms": 50, "last_seen_ms": 20},
    });
    merge(&mut overrides, own);
    let settings = Settings::load(None, std::iter::empty(), Some(overrides)).unwrap();
    let deps = Deps {
        bus: Bus::connect(&bus_settings, life, metrics).await.unwrap(),
        stores: stores.stores().clone(),
        lifecycle: life.clone(),
        metrics: metrics.clone(),
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        verifier: Verifier::new(keys, SystemClock::shared()).unwrap(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    app::start(&settings, &deps, listener).await.unwrap();
    url
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

/// The answer to one HTTP request.
#[derive(Debug, Clone)]
pub enum Answer {
    Verdicts(IngestSignalsResponse),
    Refused(IntakeRefusal),
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Verdicts(verdicts) => Self::Verdicts(verdicts),
            Outcome::Refusal(refusal) => Self::Refused(refusal),
        }
    }
}

impl Answer {
    #[track_caller]
    pub fn verdicts(self) -> IngestSignalsResponse {
        match self {
            Self::Verdicts(verdicts) => verdicts,
            Self::Refused(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    #[track_caller]
    pub fn refusal(self) -> IntakeRefusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Verdicts(verdicts) => panic!("not refused: {verdicts:?}"),
        }
    }

    /// The id of the one signal of the request.
    #[track_caller]
    pub fn id(self) -> String {
        self.verdicts().results.remove(0).id.unwrap()
    }
}

/// A body as the gateway hands it over.
pub fn intake(org: OrgId, body: &str, batch: bool) -> JsonIntake {
    JsonIntake {
        organization_id: org.uuid().as_bytes().to_vec().into(),
        body: body.to_owned().into(),
        batch,
        idempotency_key: None,
    }
}

pub fn new_id() -> Uuid {
    SystemIds.next()
}

pub fn new_org() -> OrgId {
    OrgId(new_id())
}

pub fn now() -> Timestamp {
    ids::Clock::now(&SystemClock)
}

/// An event in its envelope.
pub fn wrap<E: Event>(org: OrgId, event: &E) -> Envelope {
    Envelope::wrap(event, EventId(new_id()), org, "about".to_owned(), now())
}

/// A resolved signal of nobody in particular.
pub fn resolved(org: OrgId, kind: &str) -> Signal {
    let at = Some(contracts::convert::timestamp(now()));
    Signal {
        id: new_id().to_string(),
        organization_id: org.to_string(),
        r#type: kind.to_owned(),
        timestamp: at,
        received_at: at,
        ..Signal::default()
    }
}

/// The error of a call that must fail.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<Response<T>, Status>) -> ApiError {
    ApiError::from_status(&outcome.unwrap_err())
}
