//! scoring as tests need it: its database, its handlers, its scorer, its gRPC server, and callers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::convert::{timestamp, to_struct};
use contracts::events::v1 as events;
use contracts::scores::v1::AccountScore;
use contracts::signals::v1::{Actor, Signal};
use contracts::{Envelope, Event};
use eventbus::{Handler, HandlerError};
use ids::{AccountId, Clock, EventId, IdGen as _, ManualClock, OrgId, SystemClock, SystemIds};
use jiff::{SignedDuration, Timestamp};
use lifecycle::Lifecycle;
use scoring::config::{RollupSettings, ScoringSettings, Settings};
use scoring::error::ScoringError;
use scoring::events as on;
use scoring::metrics::ScoringMetrics;
use scoring::worker::{Scorer, ScorerDeps};
use sqlx::Connection as _;
use store::{OrgScope, Stores};
use telemetry::Metrics;
use test_kit::TestStores;
use tokio::sync::Notify;
use uuid::Uuid;

/// One scoring service on a database of its own; nothing runs but what a test calls.
pub struct World {
    pub stores: TestStores,
    pub clock: ManualClock,
    pub desk: on::Desk,
    pub scorer: Scorer,
    pub signals: on::SignalsRecorded,
    pub companies: on::Companies,
    pub people: on::ContactIdentified,
    pub settings: Settings,
    pub life: Lifecycle,
}

impl World {
    pub async fn new() -> Self {
        let stores = TestStores::create(scoring::SCHEMA, &scoring::MIGRATOR).await;
        let clock = ManualClock::at(start());
        let key = serde_json::json!({"security": {"principal_keys": ["none"]}});
        let settings = Settings::load(None, std::iter::empty(), Some(key)).unwrap();
        let life = Lifecycle::new();
        let (desk, scorer, signals) = parts(stores.stores(), &clock, &settings, &life);
        let companies = on::Companies::start(desk.clone(), settings.consumers, &life);
        let people = on::ContactIdentified::start(desk.clone(), settings.consumers, &life);
        Self {
            stores,
            clock,
            desk,
            scorer,
            signals,
            companies,
            people,
            settings,
            life,
        }
    }

    /// Another replica on the same database.
    pub async fn replica(&self) -> (Stores, Scorer, on::SignalsRecorded) {
        let metrics = Metrics::new("replica");
        let stores = Stores::connect(self.stores.settings(), &self.life, &metrics)
            .await
            .unwrap();
        let (_, scorer, signals) = parts(&stores, &self.clock, &self.settings, &self.life);
        (stores, scorer, signals)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance_hours(&self, hours: i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
    }

    /// Hands an event to its handler, as the bus does.
    pub async fn deliver(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let (desk, companies) = (self.desk.clone(), self.companies.clone());
        match envelope.subject.kind.as_str() {
            "signals.recorded" => self.signals.handle(envelope).await,
            "identity.merged" => on::IdentityMerged(desk).handle(envelope).await,
            "identity.account_linked" => on::IdentityAccountLinked(desk).handle(envelope).await,
            "contact.identified" => self.people.handle(envelope).await,
            "account.discovered" => on::AccountDiscovered(companies).handle(envelope).await,
            "account.created" => on::AccountCreated(companies).handle(envelope).await,
            "account.updated" => on::AccountUpdated(companies).handle(envelope).await,
            other => panic!("nobody listens to {other}"),
        }
    }

    /// Wraps and delivers an event that must be taken in.
    pub async fn tell<E: Event>(&self, org: OrgId, event: &E) -> Envelope {
        let envelope = wrap(org, event, self.now());
        self.deliver(envelope.clone()).await.unwrap();
        envelope
    }

    /// Records signals in one batch.
    pub async fn record(&self, org: OrgId, signals: Vec<Signal>) -> Envelope {
        self.tell(org, &batch(org, signals)).await
    }

    /// Scores until nothing is due.
    pub async fn settle(&self) {
        loop {
            if self.scorer.round().await.unwrap() > 0 {
                continue;
            }
            return;
        }
    }

    /// Lets the pauses of all accounts pass, then scores what is due.
    pub async fn settle_all(&self) {
        self.clock.advance(SignedDuration::from_secs(2));
        self.settle().await;
    }

    pub async fn score(&self, org: OrgId, account: Uuid) -> Result<AccountScore, ScoringError> {
        self.scorer.current(&OrgScope::new(org), AccountId(account)).await
    }

    /// As superuser, past row-level security.
    pub async fn admin(&self) -> sqlx::PgConnection {
        let mut connection = sqlx::PgConnection::connect(&self.stores.database().url())
            .await
            .unwrap();
        sqlx::query("SET search_path = scoring")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    /// The events of type `E` told to an organization, in order.
    pub async fn told<E: Event>(&self, org: OrgId) -> Vec<E> {
        let rows: Vec<(Vec<u8>,)> =
            sqlx::query_as("SELECT payload FROM outbox WHERE org_id = $1 AND subject = $2 ORDER BY id")
                .bind(org.uuid())
                .bind(contracts::Subject::of::<E>(org).text())
                .fetch_all(&mut self.admin().await)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(payload,)| E::decode(payload.as_slice()).unwrap())
            .collect()
    }

    /// Signals in the roll-ups of an organization, or of one of its accounts or actors.
    pub async fn counted(&self, org: OrgId, account: Option<Uuid>, actor: Option<Uuid>) -> i64 {
        sqlx::query_scalar(
            "SELECT COALESCE(sum(signals), 0)::bigint FROM activity
             WHERE org_id = $1 AND account_id = COALESCE($2, account_id) AND actor_id = COALESCE($3, actor_id)",
        )
        .bind(org.uuid())
        .bind(account)
        .bind(actor)
        .fetch_one(&mut self.admin().await)
        .await
        .unwrap()
    }

    /// The accounts that wait to be scored, with their organizations.
    pub async fn marked(&self) -> BTreeSet<(OrgId, Uuid)> {
        let accounts: Vec<(Uuid, Uuid)> =
            sqlx::query_as("SELECT org_id, account_id FROM schedule WHERE dirty")
                .fetch_all(&mut self.admin().await)
                .await
                .unwrap();
        accounts
            .into_iter()
            .map(|(org, account)| (OrgId(org), account))
            .collect()
    }

    /// How many rows of the organization a table has, and how many transactions wrote them.
    pub async fn rows_and_writes(&self, table: &str, org: OrgId) -> (i64, i64) {
        let count = format!("SELECT count(*), count(DISTINCT xmin::text) FROM {table} WHERE org_id = $1");
        sqlx::query_as(sqlx::AssertSqlSafe(count))
            .bind(org.uuid())
            .fetch_one(&mut self.admin().await)
            .await
            .unwrap()
    }

    /// Runs a statement as superuser.
    pub async fn execute(&self, statement: &'static str) {
        sqlx::query(statement)
            .execute(&mut self.admin().await)
            .await
            .unwrap();
    }

    /// Does `work` while the lowest of `ids`, in column `key` of `table`, is locked by hand, until `work` has locked all the
    /// others: only work that locks in falling order comes to an end.
    pub async fn locking_downwards<T>(
        &self,
        (table, key): (&str, &str),
        ids: &[Uuid],
        work: impl Future<Output = T>,
    ) -> T {
        let mut ids = ids.to_vec();
        ids.sort();
        let (lowest, others) = ids.split_first().unwrap();
        let lock = format!("SELECT 1 FROM {table} WHERE {key} = ANY($1) FOR UPDATE SKIP LOCKED");
        let lock = |ids: Vec<Uuid>| sqlx::query(sqlx::AssertSqlSafe(lock.clone())).bind(ids);
        let mut by_hand = self.admin().await;
        sqlx::query("BEGIN").execute(&mut by_hand).await.unwrap();
        let held = lock(vec![*lowest]).fetch_all(&mut by_hand).await.unwrap();
        assert_eq!(held.len(), 1);
        let release = async {
            test_kit::wait_for("the others to be locked", SOON, async || {
                let free = lock(others.to_vec()).fetch_all(&mut self.admin().await).await;
                free.unwrap().is_empty().then_some(())
            })
            .await;
            sqlx::query("ROLLBACK").execute(&mut by_hand).await.unwrap();
        };
        tokio::join!(work, Box::pin(release)).0
    }

    /// Everything that is rolled up of an organization, as text, for comparison.
    pub async fn dump(&self, org: OrgId) -> Vec<String> {
        let mut admin = self.admin().await;
        let mut lines = Vec::new();
        for table in [
            "activity",
            "usage_readings",
            "titles",
            "firmographics",
            "actor_aliases",
            "actor_accounts",
        ] {
            let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT (to_jsonb(t) - 'org_id')::text FROM {table} t WHERE org_id = $1 ORDER BY 1"
            )))
            .bind(org.uuid())
            .fetch_all(&mut admin)
            .await
            .unwrap();
            lines.extend(rows.into_iter().map(|row| format!("{table} {row}")));
        }
        lines
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.life.shutdown();
    }
}

fn parts(
    stores: &Stores,
    clock: &ManualClock,
    settings: &Settings,
    life: &Lifecycle,
) -> (on::Desk, Scorer, on::SignalsRecorded) {
    let metrics = ScoringMetrics::new(&Metrics::new("scoring")).unwrap();
    let scorer = scorer(stores, Arc::new(clock.clone()), settings.scoring, &metrics);
    let desk = on::Desk {
        pipeline: stores.pipeline.clone(),
        clock: Arc::new(clock.clone()),
        poke: Arc::new(Notify::new()),
        metrics,
    };
    let rollup = RollupSettings {
        concurrency: 16,
        lanes: 2,
        group_batches: 16,
        group_signals: 4_096,
        breath_ms: 10,
    };
    let signals = on::SignalsRecorded::start(desk.clone(), rollup, life);
    (desk, scorer, signals)
}

pub fn scorer(
    stores: &Stores,
    clock: Arc<dyn Clock>,
    settings: ScoringSettings,
    metrics: &ScoringMetrics,
) -> Scorer {
    let deps = ScorerDeps {
        stores: stores.clone(),
        clock,
        ids: SystemIds::shared(),
        settings,
        metrics: metrics.clone(),
    };
    Scorer::new(deps).unwrap()
}

/// Points of one factor.
pub fn factor<'a>(score: &'a AccountScore, name: &str) -> &'a contracts::scores::v1::ScoreFactor {
    score.factors.iter().find(|factor| factor.name == name).unwrap()
}

pub fn start() -> Timestamp {
    // Now, not a fixed day: outbox partitions lie around the present.
    Timestamp::from_second(SystemClock.now().as_second()).unwrap()
}

pub fn new_id() -> Uuid {
    SystemIds.next()
}

pub fn new_org() -> OrgId {
    OrgId(new_id())
}

pub fn wrap<E: Event>(org: OrgId, event: &E, at: Timestamp) -> Envelope {
    Envelope::wrap(event, EventId(new_id()), org, "about".to_owned(), at)
}

pub fn batch(org: OrgId, signals: Vec<Signal>) -> events::SignalsRecorded {
    events::SignalsRecorded {
        batch_id: new_id().to_string(),
        organization_id: org.to_string(),
        signals,
    }
}

/// A signal of `kind` at `at`.
pub fn signal(kind: &str, at: Timestamp) -> Signal {
    Signal {
        id: new_id().to_string(),
        r#type: kind.into(),
        timestamp: Some(timestamp(at)),
        ..Signal::default()
    }
}

/// What tests say about a signal.
pub trait Said: Sized {
    fn by(self, actor: Uuid) -> Self;
    fn of(self, account: Uuid) -> Self;
    fn titled(self, title: &str) -> Self;
    fn with(self, metadata: serde_json::Value) -> Self;
}

impl Said for Signal {
    fn by(mut self, actor: Uuid) -> Self {
        self.actor_id = Some(actor.to_string());
        self
    }

    fn of(mut self, account: Uuid) -> Self {
        self.account_id = Some(account.to_string());
        self
    }

    fn titled(mut self, title: &str) -> Self {
        self.actor = Some(Actor {
            title: Some(title.into()),
            ..Actor::default()
        });
        self
    }

    fn with(mut self, metadata: serde_json::Value) -> Self {
        self.metadata = metadata.as_object().cloned().map(to_struct);
        self
    }
}

pub fn merged(from: Uuid, into: Uuid, account: Option<Uuid>) -> events::IdentityMerged {
    events::IdentityMerged {
        from_actor_id: from.to_string(),
        contact_id: into.to_string(),
        account_id: account.map(|id| id.to_string()),
        ..events::IdentityMerged::default()
    }
}

pub fn linked(contact: Uuid, account: Uuid) -> events::IdentityAccountLinked {
    events::IdentityAccountLinked {
        contact_id: contact.to_string(),
        account_id: account.to_string(),
        ..events::IdentityAccountLinked::default()
    }
}

pub fn identified(contact: Uuid, revision: i64, title: Option<&str>) -> events::ContactIdentified {
    events::ContactIdentified {
        contact_id: contact.to_string(),
        revision,
        title: title.map(str::to_owned),
        ..events::ContactIdentified::default()
    }
}

pub const SOON: Duration = Duration::from_secs(20);
