//! A resolver on a database of its own, batches in a short form, and what was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::events::v1::{
    AccountDiscovered, ContactIdentified, IdentityAccountLinked, IdentityAccountMerged, IdentityMerged,
};
use contracts::signals::v1::{AccountHint, Actor, Signal, SignalsAccepted, SignalsResolved};
use contracts::{Encoding, Envelope, Event, Subject, convert};
use eventbus::HandlerError;
use identity_resolver::config::{ResolverSettings, Settings};
use identity_resolver::events::Accepted;
use identity_resolver::resolver::Resolver;
use identity_resolver::{MIGRATOR, SCHEMA};
use ids::{EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use jiff::Timestamp;
use store::Stores;
use store::outbox::take_unpublished;
use telemetry::Metrics;
use test_kit::TestStores;
use uuid::Uuid;

/// A database, and any number of replicas on it.
pub struct Base {
    pub stores: TestStores,
}

/// One replica: a memory of its own.
pub struct Replica {
    pub resolver: Arc<Resolver>,
    pub metrics: Metrics,
}

/// Everything that was told so far, in order.
#[derive(Debug, Default)]
pub struct Told {
    pub kinds: Vec<String>,
    pub contacts: Vec<ContactIdentified>,
    pub accounts: Vec<AccountDiscovered>,
    pub merged: Vec<IdentityMerged>,
    pub linked: Vec<IdentityAccountLinked>,
    pub accounts_merged: Vec<IdentityAccountMerged>,
    pub resolved: Vec<SignalsResolved>,
}

impl Base {
    pub async fn create() -> Self {
        Self {
            stores: TestStores::create(SCHEMA, &MIGRATOR).await,
        }
    }

    pub fn replica(&self) -> Replica {
        replica_on(&self.stores)
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

    pub async fn count(&self, sql: &'static str) -> i64 {
        let rows: Vec<(i64,)> = self.rows(sql).await;
        rows[0].0
    }

    /// What is in the outbox (no relay runs here).
    pub async fn told(&self) -> Told {
        let mut told = Told::default();
        for row in take_unpublished(&self.stores.pipeline, 100_000).await.unwrap() {
            let envelope = Envelope {
                id: EventId(row.id),
                subject: Subject::parse(&row.subject).unwrap(),
                about: row.about,
                source: row.source,
                time: row.occurred_at,
                traceparent: row.traceparent,
                encoding: if row.encoding == "zstd" {
                    Encoding::Zstd
                } else {
                    Encoding::Identity
                },
                payload: row.payload,
            };
            told.take(&envelope);
        }
        told
    }
}

pub fn replica_on(stores: &Stores) -> Replica {
    let metrics = Metrics::new("identity-resolver");
    let (clock, ids) = (SystemClock::shared(), SystemIds::shared());
    let resolver = Resolver::new(&stores.pipeline, &resolver_settings(), clock, ids, &metrics).unwrap();
    Replica {
        resolver: Arc::new(resolver),
        metrics,
    }
}

pub fn settings(overrides: serde_json::Value) -> Settings {
    Settings::load(None, std::iter::empty(), Some(overrides)).unwrap()
}

pub fn resolver_settings() -> ResolverSettings {
    settings(serde_json::json!({"security": {"principal_keys": ["k"]}})).resolver
}

impl Replica {
    /// Resolves a batch of `org` in short form; answers its id.
    pub async fn resolve(&self, org: OrgId, signals: &[&str]) -> Uuid {
        let batch = batch(signals);
        let id = batch.batch_id.parse().unwrap();
        self.deliver(org, &batch).await.unwrap();
        id
    }

    pub async fn deliver(&self, org: OrgId, batch: &SignalsAccepted) -> Result<(), HandlerError> {
        let accepted = Accepted::read(&accepted(org, batch))?;
        self.resolver.resolve(accepted).await.map_err(HandlerError::retry)
    }

    /// How many batches were resolved this way: `memory`, `decision` or `repeated`.
    pub fn batches(&self, way: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let line = format!("devsignal_identity_resolver_batches_total{{way=\"{way}\"}} ");
        text.lines()
            .find_map(|l| l.strip_prefix(&line))
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }
}

impl Told {
    fn take(&mut self, envelope: &Envelope) {
        let kind = envelope.subject.kind.as_str();
        self.kinds.push(kind.to_owned());
        match kind {
            ContactIdentified::TYPE => self.contacts.push(envelope.open().unwrap()),
            AccountDiscovered::TYPE => self.accounts.push(envelope.open().unwrap()),
            IdentityMerged::TYPE => self.merged.push(envelope.open().unwrap()),
            IdentityAccountLinked::TYPE => self.linked.push(envelope.open().unwrap()),
            IdentityAccountMerged::TYPE => self.accounts_merged.push(envelope.open().unwrap()),
            SignalsResolved::TYPE => self.resolved.push(envelope.open().unwrap()),
            other => panic!("{other} is not told by identity-resolver"),
        }
    }

    /// The signals of a batch.
    pub fn batch(&self, id: Uuid) -> &[Signal] {
        let id = id.to_string();
        &self
            .resolved
            .iter()
            .find(|batch| batch.batch_id == id)
            .unwrap()
            .signals
    }

    /// Who the actor is after all merges that were told.
    pub fn follow(&self, actor: &str) -> String {
        let into: BTreeMap<_, _> = self
            .merged
            .iter()
            .map(|m| (&*m.from_actor_id, &*m.contact_id))
            .collect();
        let mut actor = actor;
        while let Some(next) = into.get(actor) {
            actor = next;
        }
        actor.to_owned()
    }
}

pub fn accepted(org: OrgId, batch: &SignalsAccepted) -> Envelope {
    let mut batch = batch.clone();
    batch.organization_id = org.to_string();
    Envelope::wrap(
        &batch,
        EventId::new(&SystemIds),
        org,
        batch.batch_id.clone(),
        now(),
    )
}

pub fn batch(signals: &[&str]) -> SignalsAccepted {
    SignalsAccepted {
        batch_id: SystemIds.next().to_string(),
        organization_id: String::new(),
        signals: signals.iter().map(|text| signal(text)).collect(),
    }
}

/// One signal in a short form: `email=dev@acme.com; anon=a1; name=Jane Doe`.
pub fn signal(text: &str) -> Signal {
    let fields: BTreeMap<&str, &str> = text.split("; ").filter_map(|part| part.split_once('=')).collect();
    let get = |field: &str| fields.get(field).map(|value| (*value).to_owned());
    let actor = Actor {
        email: get("email"),
        github: get("github"),
        npm: get("npm"),
        user_id: get("user"),
        name: get("name"),
        title: get("title"),
        company: get("company"),
        ..Actor::default()
    };
    let account = AccountHint {
        domain: get("domain"),
        name: get("account"),
        github_org: get("org"),
        employees: get("employees").and_then(|n| n.parse().ok()),
        ..AccountHint::default()
    };
    Signal {
        id: SystemIds.next().to_string(),
        r#type: "page_view".to_owned(),
        timestamp: Some(convert::timestamp(now())),
        anonymous_id: get("anon"),
        actor: Some(actor),
        account: Some(account),
        ..Signal::default()
    }
}

pub fn now() -> Timestamp {
    ids::Clock::now(&SystemClock)
}

pub fn org(n: u128) -> OrgId {
    OrgId(Uuid::from_u128(n))
}
