//! crm as tests need it: its database, its records, its handlers, its gRPC server, and callers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contracts::crm::v1::account_service_client::AccountServiceClient;
use contracts::crm::v1::contact_service_client::ContactServiceClient;
use contracts::events::v1 as events;
use contracts::identity::v1::Identity;
use contracts::scores::v1 as scores;
use contracts::{Envelope, Event, convert};
use crm::events as on;
use crm::signals::RemoteSignals;
use crm::store::Records;
use errors::ApiError;
use eventbus::{Handler, HandlerError};
use ids::{Clock, EventId, IdGen as _, ManualClock, OrgId, SystemClock, SystemIds};
use jiff::{SignedDuration, Timestamp};
use lifecycle::Lifecycle;
use rpc::{Actor, ChannelSettings, KeyPair, Principal, Role, Server, ServerSettings, Signer, Verifier};
use sqlx::Connection as _;
use telemetry::Metrics;
use test_kit::TestStores;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// One crm on a database of its own.
pub struct World {
    pub stores: TestStores,
    pub records: Records,
    pub desk: on::Desk,
    people: on::ContactIdentified,
    companies: on::AccountDiscovered,
    rated: on::AccountScoreChanged,
    signals: on::SignalsRecorded,
    pub clock: ManualClock,
    pub signer: Signer,
    pub verifier: Verifier,
    pub metrics: Metrics,
    pub life: Lifecycle,
}

impl World {
    pub async fn new() -> Self {
        let stores = TestStores::create(crm::SCHEMA, &crm::MIGRATOR).await;
        let clock = ManualClock::at(start());
        let metrics = Metrics::new("crm");
        let records = Records::new(stores.stores(), Arc::new(clock.clone()), SystemIds::shared());
        let pair = KeyPair::generate();
        let (desk, life) = (
            on::Desk::new(records.clone(), &metrics).unwrap(),
            Lifecycle::new(),
        );
        let groups = crm::config::GroupSettings {
            events: 64,
            breath_ms: 1,
        };
        Self {
            people: on::ContactIdentified::start(desk.clone(), &groups, &life),
            companies: on::AccountDiscovered::start(desk.clone(), &groups, &life),
            rated: on::AccountScoreChanged::start(desk.clone(), &groups, &life),
            signals: on::SignalsRecorded::new(desk.clone()),
            desk,
            signer: Signer::new(&pair.private, SystemClock::shared()).unwrap(),
            verifier: Verifier::new(&[pair.public], SystemClock::shared()).unwrap(),
            records,
            clock,
            metrics,
            life,
            stores,
        }
    }

    /// Lets time pass, so that what is recorded next has a later time.
    pub fn tick(&self) {
        self.clock.advance(SignedDuration::from_millis(1));
    }

    /// Serves crm's gRPC; timelines take their signals from `signals`.
    pub async fn serve(&self, signals: &str) -> Served {
        let channel = rpc::channel(&ChannelSettings {
            url: signals.to_owned(),
            connect_timeout_ms: 500,
            call_timeout_ms: 2_000,
        })
        .unwrap();
        let source = Arc::new(RemoteSignals::new(channel, &self.metrics).unwrap());
        let url = serve(self, |server| {
            crm::app::with_services(server, &self.records, source)
        })
        .await;
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        Served {
            accounts: AccountServiceClient::new(channel.clone()),
            contacts: ContactServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// Serves crm's gRPC with no signal-ingest behind it.
    pub async fn serve_alone(&self) -> Served {
        self.serve("http://127.0.0.1:1").await
    }

    /// A caller of an organization.
    pub fn caller(&self, org: OrgId) -> As<'_> {
        As {
            world: self,
            org: Some(org),
            role: Role::Member,
            scopes: Vec::new(),
        }
    }

    /// Hands an event to its handler, as the bus does.
    pub async fn deliver(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let desk = self.desk.clone();
        match envelope.subject.kind.as_str() {
            "contact.identified" => self.people.handle(envelope).await,
            "account.discovered" => self.companies.handle(envelope).await,
            "identity.merged" => on::IdentityMerged(desk).handle(envelope).await,
            "identity.account_linked" => on::IdentityAccountLinked(desk).handle(envelope).await,
            "identity.account_merged" => on::IdentityAccountMerged(desk).handle(envelope).await,
            "signals.recorded" => self.signals.handle(envelope).await,
            "account.expansion_signal" => on::AccountExpansionSignal(desk).handle(envelope).await,
            "account.score_changed" => self.rated.handle(envelope).await,
            other => panic!("nobody listens to {other}"),
        }
    }

    /// Wraps and delivers an event that must be taken in.
    pub async fn tell<E: Event>(&self, org: OrgId, event: &E) -> Envelope {
        let envelope = wrap(org, event, self.clock.now());
        self.deliver(envelope.clone()).await.unwrap();
        envelope
    }

    /// As superuser, past row-level security.
    pub async fn admin(&self) -> sqlx::PgConnection {
        let mut connection = sqlx::PgConnection::connect(&self.stores.database().url())
            .await
            .unwrap();
        sqlx::query("SET search_path = crm")
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

    /// How many events were told to an organization.
    pub async fn told_count(&self, org: OrgId) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE org_id = $1")
            .bind(org.uuid())
            .fetch_one(&mut self.admin().await)
            .await
            .unwrap()
    }
}

/// Serves what `add` adds, behind the world's verifier; returns the address.
pub async fn serve(world: &World, add: impl FnOnce(Server) -> Server) -> String {
    let settings = ServerSettings {
        listen: "127.0.0.1:0".to_owned(),
        deadline_ms: 10_000,
        max_concurrent_streams: 100,
        reflection: false,
    };
    let listener = TcpListener::bind(&settings.listen).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    add(Server::new(settings, world.verifier.clone(), &world.metrics).unwrap()).serve(listener, &world.life);
    url
}

/// crm's gRPC clients.
#[derive(Clone)]
pub struct Served {
    pub accounts: AccountServiceClient<Channel>,
    pub contacts: ContactServiceClient<Channel>,
    /// For clients of the other services.
    pub channel: Channel,
}

/// On whose behalf a test calls.
#[derive(Clone)]
pub struct As<'a> {
    world: &'a World,
    org: Option<OrgId>,
    role: Role,
    scopes: Vec<String>,
}

impl As<'_> {
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    pub fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    pub fn no_org(mut self) -> Self {
        self.org = None;
        self
    }

    /// The request, signed as the gateway does.
    pub fn asks<T>(&self, message: T) -> Request<T> {
        let principal = Principal {
            org: self.org,
            actor: Actor::User(Uuid::from_u128(1)),
            role: self.role,
            scopes: self.scopes.clone(),
        };
        let token = self.world.signer.token(&principal).unwrap();
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(rpc::PRINCIPAL_KEY, token.parse().unwrap());
        request.set_timeout(Duration::from_secs(10));
        request
    }
}

/// What a refused call tells: its gRPC code, our code, and the pointers with their codes.
pub type Failure = (Code, String, Vec<(String, String)>);

/// The error of a call that must fail.
pub fn failure<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Failure {
    let status = answer.unwrap_err();
    let error = ApiError::from_status(&status);
    let fields = error
        .fields
        .into_iter()
        .map(|field| (field.pointer, field.code))
        .collect();
    (status.code(), error.code.as_str().to_owned(), fields)
}

/// When the tests of this process began; a whole second.
pub fn start() -> Timestamp {
    static START: OnceLock<Timestamp> = OnceLock::new();
    // Now, not a fixed day: outbox partitions lie around the present.
    *START.get_or_init(|| Timestamp::from_second(SystemClock.now().as_second()).unwrap())
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

pub fn identity(kind: &str, value: &str) -> Identity {
    Identity {
        r#type: kind.to_owned(),
        value: value.to_owned(),
        verified: true,
        confidence: 0.9,
    }
}

pub fn identified(contact: Uuid, revision: i64, email: &str) -> events::ContactIdentified {
    events::ContactIdentified {
        contact_id: contact.to_string(),
        revision,
        identities: vec![identity("email", email)],
        ..events::ContactIdentified::default()
    }
}

pub fn discovered(account: Uuid, revision: i64, domain: &str) -> events::AccountDiscovered {
    events::AccountDiscovered {
        account_id: account.to_string(),
        revision,
        domain: Some(domain.to_owned()),
        ..events::AccountDiscovered::default()
    }
}

pub fn linked(contact: Uuid, account: Uuid) -> events::IdentityAccountLinked {
    events::IdentityAccountLinked {
        contact_id: contact.to_string(),
        account_id: account.to_string(),
        ..events::IdentityAccountLinked::default()
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

/// A move of a score to `points`, with the tier that belongs to it.
pub fn scored(
    account: Uuid,
    revision: i64,
    points: i32,
    trend: scores::Trend,
    at: Timestamp,
) -> events::AccountScoreChanged {
    let tier = match points {
        ..=19 => scores::Tier::Inactive,
        20..=49 => scores::Tier::Cold,
        50..=79 => scores::Tier::Warm,
        _ => scores::Tier::Hot,
    };
    let score = scores::AccountScore {
        account_id: account.to_string(),
        score: points,
        tier: tier.into(),
        trend: trend.into(),
        computed_at: Some(convert::timestamp(at)),
        model_version: "default@1".to_owned(),
        factors: Vec::new(),
    };
    events::AccountScoreChanged {
        score: Some(score),
        previous_score: None,
        previous_tier: 0,
        revision,
    }
}
