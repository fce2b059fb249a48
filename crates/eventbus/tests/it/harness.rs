//! One service as tests need it: its database, its bus, a table of effects, and handlers that misbehave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::events::v1::ContactIdentified;
use contracts::{Envelope, Event};
use eventbus::{Bus, BusSettings, ConsumerSpec, Handler, HandlerError, Relay, spawn_consumer};
use futures::StreamExt as _;
use ids::{EventId, IdGen as _, OrgId, SystemIds};
use jiff::Timestamp;
use lifecycle::Lifecycle;
use local_stack::{Nats, NatsOptions};
use settings::Secret;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use store::{DbSettings, Stores, bootstrap};
use telemetry::Metrics;
use test_kit::{TestDatabase, ensure_template, unique_prefix, wait_for};
use uuid::Uuid;

pub const SERVICE: &str = "bus_test";
/// For what a working system does at once.
pub const SOON: Duration = Duration::from_secs(10);
/// For what needs a time-out or a restart to pass first.
pub const LATER: Duration = Duration::from_secs(18);

/// The tables of a service that only notes what it saw.
pub const TABLES: &str =
    "CREATE TABLE effects (consumer text NOT NULL, event_id uuid NOT NULL, org_id uuid NOT NULL);
     CALL pipeline_table('effects')";

/// A broker of the test's own, to be killed.
pub struct Broker {
    pub nats: Nats,
    _directory: tempfile::TempDir,
}

impl Broker {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let nats = Nats::start(NatsOptions::new(directory.path().join("nats")))
            .await
            .unwrap();
        Self {
            nats,
            _directory: directory,
        }
    }

    pub fn settings(&self) -> BusSettings {
        bus_settings(&self.nats.url())
    }
}

/// Small streams (their sizes are reserved at the shared broker), quick polls, a namespace of its own.
pub fn bus_settings(url: &str) -> BusSettings {
    BusSettings {
        url: url.to_owned(),
        client_name: SERVICE.to_owned(),
        namespace: unique_prefix(),
        events_max_bytes: 16 << 20,
        pipeline_max_bytes: 4 << 20,
        advisories_max_bytes: 1 << 20,
        redrive_poll_ms: 50,
        ..BusSettings::default()
    }
}

/// A service's database, empty but for the shared tables and `effects`.
pub struct Database {
    pub settings: DbSettings,
    test: TestDatabase,
}

impl Database {
    pub async fn create() -> Self {
        let template = format!("eventbus_{}", env!("CARGO_PKG_VERSION").replace('.', "_"));
        // Held: a stack of this process's own lives as long as somebody uses it.
        let _stack = ensure_template(&template, async |url| {
            let settings = db_settings(&url);
            bootstrap::bootstrap(&Secret::new(url), &settings.database, &[(&settings).into()]).await?;
            let none = Migrator {
                migrations: Cow::Borrowed(&[]),
                ..Migrator::DEFAULT
            };
            store::migrate(&settings, &none).await?;
            let owner = format!("{SERVICE}_owner");
            let mut connection = sqlx::PgConnection::connect(&as_role(&settings, &owner)).await?;
            sqlx::raw_sql(TABLES).execute(&mut connection).await?;
            connection.close().await?;
            Ok(())
        })
        .await;
        let test = TestDatabase::from_template(&template).await;
        Self {
            settings: db_settings(&test.url()),
            test,
        }
    }

    /// On the shared broker of the test run.
    pub fn bus_settings(&self) -> BusSettings {
        bus_settings(self.test.stack().nats_url())
    }

    /// As superuser.
    pub async fn admin(&self) -> sqlx::PgConnection {
        sqlx::PgConnection::connect(&self.test.url()).await.unwrap()
    }
}

pub fn as_role(settings: &DbSettings, role: &str) -> String {
    let DbSettings {
        host, port, database, ..
    } = settings;
    format!("postgres://{role}:pw@{host}:{port}/{database}?options=-c%20search_path%3D{SERVICE}")
}

pub fn db_settings(url: &str) -> DbSettings {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let text = serde_json::json!({
        "host": options.get_host(), "port": options.get_port(), "database": options.get_database().unwrap(),
        "schema": SERVICE, "app_password": "pw", "pipeline_password": "pw", "owner_password": "pw",
        "app_connections": 2, "pipeline_connections": 8, "outbox_retention_days": 2,
    });
    serde_json::from_value(text).unwrap()
}

/// One running process of the service.
pub struct Service {
    pub stores: Stores,
    pub bus: Bus,
    pub life: Lifecycle,
    pub metrics: Metrics,
}

impl Service {
    pub async fn start(db: &Database, bus: &BusSettings) -> Self {
        Self::start_on(&db.settings, bus).await
    }

    pub async fn start_on(db: &DbSettings, bus: &BusSettings) -> Self {
        // Shown with a test that fails; `RUST_LOG` says what.
        let _again = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (life, metrics) = (Lifecycle::new(), Metrics::new(SERVICE));
        let stores = Stores::connect(db, &life, &metrics).await.unwrap();
        let bus = Bus::connect(bus, &life, &metrics).await.unwrap();
        Self {
            stores,
            bus,
            life,
            metrics,
        }
    }

    pub fn relay(self) -> Self {
        Relay::spawn(&self.bus, &self.stores, SERVICE, &self.life, &self.metrics).unwrap();
        self
    }

    pub fn consume<H: Handler>(&self, spec: ConsumerSpec, handler: H) {
        let handler = Arc::new(handler);
        spawn_consumer(&self.bus, &self.stores, spec, handler, &self.life, &self.metrics).unwrap();
    }

    pub async fn stop(&self) {
        self.life.stop(Duration::from_secs(5)).await.unwrap();
    }

    /// Writes events in one transaction.
    pub async fn tell(&self, envelopes: &[Envelope]) {
        let mut tx = self.stores.pipeline.begin().await.unwrap();
        eventbus::enqueue_all(&mut tx, envelopes).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Writes events one transaction each, as a busy service would, and returns their ids.
    pub async fn tell_each(&self, org: OrgId, count: usize) -> Vec<Uuid> {
        let mut told = Vec::new();
        for _ in 0..count {
            let envelope = contact(org);
            self.tell(std::slice::from_ref(&envelope)).await;
            told.push(envelope.id.uuid());
        }
        told
    }

    /// How often each event took effect.
    pub async fn effects(&self) -> BTreeMap<Uuid, i64> {
        self.rows("SELECT event_id, count(*) FROM effects GROUP BY event_id")
            .await
            .into_iter()
            .collect()
    }

    pub async fn rows<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let mut tx = self.stores.pipeline.begin().await.unwrap();
        let rows = sqlx::query_as(sql).fetch_all(&mut *tx).await.unwrap();
        tx.rollback().await;
        rows
    }

    pub async fn dead_letters(&self) -> Vec<store::dead_letters::DeadLetter> {
        store::dead_letters::list(&self.stores.pipeline, None, None, 1_000)
            .await
            .unwrap()
    }

    pub async fn unpublished(&self) -> u64 {
        store::outbox::unpublished_stats(&self.stores.pipeline)
            .await
            .unwrap()
            .count
    }

    pub async fn wait_published(&self) {
        let what = "everything in the outbox is published";
        wait_for(what, LATER, async || {
            (self.unpublished().await == 0).then_some(())
        })
        .await;
    }

    /// Waits until exactly these events have taken effect, each once.
    pub async fn wait_effects(&self, told: &[Uuid]) {
        let expected: BTreeMap<Uuid, i64> = told.iter().map(|id| (*id, 1)).collect();
        wait_for("every event took effect", LATER, async || {
            (self.effects().await.len() >= expected.len()).then_some(())
        })
        .await;
        assert_eq!(self.effects().await, expected);
    }

    /// A counter or gauge without labels, or the one whose line begins so.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let full = format!("devsignal_{SERVICE}_{name}");
        let line = text
            .lines()
            .find(|line| line.starts_with(&full))
            .unwrap_or_default();
        line.rsplit(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .unwrap_or(0.0)
    }
}

pub fn org(n: u128) -> OrgId {
    OrgId(Uuid::from_u128(n))
}

pub fn now() -> Timestamp {
    ids::Clock::now(&ids::SystemClock)
}

/// An event of an object of its own.
pub fn contact(org: OrgId) -> Envelope {
    contact_of(org, &SystemIds.next().to_string())
}

/// An event of this object.
pub fn contact_of(org: OrgId, about: &str) -> Envelope {
    let message = ContactIdentified {
        contact_id: about.to_owned(),
        revision: 1,
        ..Default::default()
    };
    let about = about.to_owned();
    Envelope::wrap(&message, EventId::new(&SystemIds), org, about, now())
}

/// An event of an object of its own, with this message.
pub fn event<E: Event>(org: OrgId, message: &E) -> Envelope {
    let about = SystemIds.next().to_string();
    Envelope::wrap(message, EventId::new(&SystemIds), org, about, now())
}

pub fn contacts(org: OrgId, count: usize) -> Vec<Envelope> {
    (0..count).map(|_| contact(org)).collect()
}

pub fn ids_of(envelopes: &[Envelope]) -> Vec<Uuid> {
    envelopes.iter().map(|envelope| envelope.id.uuid()).collect()
}

/// A quick consumer of `contact.identified`.
pub fn spec() -> ConsumerSpec {
    ConsumerSpec {
        backoff: vec![Duration::from_millis(20)],
        handler_timeout: Duration::from_secs(1),
        max_deliver: 4,
        ..ConsumerSpec::new(SERVICE, ContactIdentified::TYPE)
    }
}

/// Notes each event once, as services do: claim and effect in one transaction.
#[derive(Clone)]
pub struct Once(pub Stores);

impl Handler for Once {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let mut tx = self.0.pipeline.begin().await?;
        if store::inbox::claim(&mut tx, &spec().durable(), envelope.id.uuid()).await? {
            sqlx::query("INSERT INTO effects VALUES ($1, $2, $3)")
                .bind(spec().durable())
                .bind(envelope.id.uuid())
                .bind(envelope.org().uuid())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// `Once`, with a say before (`Some` replaces the handling) and after.
pub struct With<Before, After> {
    pub inner: Once,
    pub runs: Arc<AtomicU64>,
    pub before: Before,
    pub after: After,
}

impl<Before, After> Handler for With<Before, After>
where
    Before: Fn(&Envelope, u64) -> Option<Misdeed> + Send + Sync + 'static,
    After: Fn(u64) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        match (self.before)(&envelope, run) {
            None => {}
            Some(Misdeed::Panic) => panic!("a handler that panics"),
            Some(Misdeed::Hang) => std::future::pending().await,
            Some(Misdeed::Poison) => return Err(HandlerError::Poison(anyhow::anyhow!("cannot ever work"))),
            Some(Misdeed::Retry) => return Err(HandlerError::Retry(anyhow::anyhow!("not now"))),
        }
        self.inner.handle(envelope).await?;
        (self.after)(run)
    }
}

/// What a handler does wrong.
#[derive(Debug, Clone, Copy)]
pub enum Misdeed {
    Panic,
    Hang,
    Poison,
    Retry,
}

/// A handler that misbehaves as `before` says.
pub fn misbehaving(
    service: &Service,
    before: impl Fn(&Envelope, u64) -> Option<Misdeed> + Send + Sync + 'static,
) -> impl Handler {
    With {
        inner: Once(service.stores.clone()),
        runs: Arc::default(),
        before,
        after: |_| Ok(()),
    }
}

/// Everything in the stream of events, in order, by a client that is not ours.
pub async fn stored(settings: &BusSettings) -> Vec<(u64, Uuid)> {
    let js = raw(settings).await;
    let mut stream = js
        .get_stream(format!("{}_EVENTS", settings.namespace))
        .await
        .unwrap();
    let count = stream.info().await.unwrap().state.messages;
    if count == 0 {
        return Vec::new();
    }
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig::default())
        .await
        .unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        let message = messages.next().await.unwrap().unwrap();
        let id = message
            .headers
            .as_ref()
            .unwrap()
            .get("Nats-Msg-Id")
            .unwrap()
            .as_str()
            .parse()
            .unwrap();
        found.push((message.info().unwrap().stream_sequence, id));
    }
    found
}

/// The ids in the stream, sorted; each must be there once.
pub async fn stored_ids(settings: &BusSettings) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = stored(settings).await.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    ids
}

/// A connection past our own code.
pub async fn raw(settings: &BusSettings) -> async_nats::jetstream::Context {
    let server: async_nats::ServerAddr = settings.url.parse().unwrap();
    let (user, password) = (server.username().unwrap(), server.password().unwrap());
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    async_nats::jetstream::new(options.connect(&server).await.unwrap())
}
