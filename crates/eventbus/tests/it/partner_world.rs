//! A broker with partners, and one of them as a client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use eventbus::partners::{DOMAIN, Directory, Grant, IssuerKey, PartnerConsumer, PartnerSettings, Partners};
use eventbus::{Bus, BusSettings};
use futures::StreamExt as _;
use ids::OrgId;
use lifecycle::Lifecycle;
use local_stack::{Nats, NatsOptions};
use parking_lot::Mutex;
use settings::Secret;
use telemetry::Metrics;
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::{SOON, now};

pub const PASSWORD: &str = "correct";

/// Credentials as a test wants them.
#[derive(Clone, Default)]
pub struct Known(pub Arc<Mutex<Shelf>>);

#[derive(Default)]
pub struct Shelf {
    pub grants: HashMap<Uuid, Grant>,
    pub consumers: Vec<PartnerConsumer>,
}

impl Directory for Known {
    async fn admit(&self, credential: Uuid, password: &str) -> anyhow::Result<Option<Grant>> {
        let grant = self.0.lock().grants.get(&credential).cloned();
        Ok(grant.filter(|_| password == PASSWORD))
    }

    async fn standing(&self, credentials: &[Uuid]) -> anyhow::Result<HashMap<Uuid, u32>> {
        let shelf = self.0.lock();
        let good = |id: &Uuid| shelf.grants.get(id).map(|grant| (*id, grant.max_connections));
        Ok(credentials.iter().filter_map(good).collect())
    }

    async fn consumers(&self) -> anyhow::Result<Vec<PartnerConsumer>> {
        let shelf = self.0.lock();
        let good = shelf
            .consumers
            .iter()
            .filter(|c| shelf.grants.contains_key(&c.credential));
        Ok(good.cloned().collect())
    }
}

pub struct World {
    pub nats: Nats,
    pub js: Context,
    pub client: Client,
    pub known: Known,
    pub partners: Partners,
    pub life: Lifecycle,
    _directory: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let (directory, key) = (tempfile::tempdir().unwrap(), IssuerKey::generate());
        let options = NatsOptions::new(directory.path().join("nats")).with_partners(key.public(), "EVENTS");
        let nats = Nats::start(options).await.unwrap();
        let (life, metrics) = (Lifecycle::new(), Metrics::new("partners_test"));
        let settings = BusSettings {
            url: nats.url(),
            events_max_bytes: 16 << 20,
            pipeline_max_bytes: 4 << 20,
            advisories_max_bytes: 1 << 20,
            ..BusSettings::default()
        };
        let bus = Bus::connect(&settings, &life, &metrics).await.unwrap();
        let settings = PartnerSettings {
            enabled: true,
            system_url: Secret::new(nats.system_url()),
            issuer_seed: key.seed(),
            ..PartnerSettings::default()
        };
        let known = Known::default();
        let partners = Partners::start(&bus, &settings, known.clone(), &life).unwrap();
        let (user, rest) = nats
            .url()
            .strip_prefix("nats://")
            .unwrap()
            .split_once(':')
            .map(|(u, r)| (u.to_owned(), r.to_owned()))
            .unwrap();
        let password = rest.split('@').next().unwrap().to_owned();
        let client = ConnectOptions::with_user_and_password(user, password)
            .connect(format!("127.0.0.1:{}", nats.port()))
            .await
            .unwrap();
        Self {
            js: jetstream::new(client.clone()),
            client,
            nats,
            known,
            partners,
            life,
            _directory: directory,
        }
    }

    /// A credential with one consumer of all events of an organization, made at the broker.
    pub async fn credential(&self, org: OrgId, types: &[&str]) -> PartnerConsumer {
        let consumer = PartnerConsumer {
            credential: Uuid::from_u128(rand::random()),
            slot: 1,
            org,
            types: types.iter().map(|t| (*t).to_owned()).collect(),
            start: now() - jiff::SignedDuration::from_secs(60),
            ordered: false,
        };
        let grant = Grant {
            max_connections: 2,
            max_subscriptions: 8,
            max_consumers: 2,
        };
        self.known.0.lock().grants.insert(consumer.credential, grant);
        self.known.0.lock().consumers.push(consumer.clone());
        self.partners.ensure(&consumer).await.unwrap();
        consumer
    }

    /// A credential whose consumer gets one event at a time.
    pub async fn ordered(&self, org: OrgId) -> PartnerConsumer {
        let consumer = PartnerConsumer {
            ordered: true,
            slot: 2,
            ..self.credential(org, &[]).await
        };
        self.known.0.lock().consumers.push(consumer.clone());
        self.partners.ensure(&consumer).await.unwrap();
        consumer
    }

    pub fn options(&self, credential: Uuid) -> ConnectOptions {
        ConnectOptions::with_user_and_password(credential.to_string(), PASSWORD.to_owned())
            .custom_inbox_prefix(Partners::inbox_of(credential))
            .connection_timeout(Duration::from_secs(6))
            .request_timeout(Some(Duration::from_millis(400)))
    }

    pub async fn connect(&self, credential: Uuid) -> Client {
        self.try_connect(self.options(credential)).await.unwrap()
    }

    pub async fn try_connect(&self, options: ConnectOptions) -> Result<Client, async_nats::ConnectError> {
        options.connect(format!("127.0.0.1:{}", self.nats.port())).await
    }

    pub async fn tell(&self, org: OrgId, kind: &str, text: &str) {
        let subject = format!("evt.{org}.{kind}");
        self.js
            .publish(subject, text.to_owned().into())
            .await
            .unwrap()
            .await
            .unwrap();
    }

    /// Acknowledgements are sent without waiting.
    pub async fn wait_acknowledged(&self, consumer: &PartnerConsumer) {
        wait_for("every delivered event is acknowledged", SOON, async || {
            let state = self.partners.state(consumer).await.unwrap().unwrap();
            (state.unacknowledged == 0).then_some(())
        })
        .await;
    }

    pub async fn stored(&self) -> u64 {
        self.js
            .get_stream("EVENTS")
            .await
            .unwrap()
            .cached_info()
            .state
            .messages
    }

    pub async fn consumers(&self) -> Vec<String> {
        use futures::TryStreamExt as _;
        let mut names: Vec<String> = self
            .js
            .get_stream("EVENTS")
            .await
            .unwrap()
            .consumer_names()
            .try_collect()
            .await
            .unwrap();
        names.sort();
        names
    }
}

/// Reads and acknowledges up to `count` events, as subject and text.
pub async fn read(client: &Client, consumer: &PartnerConsumer, count: usize) -> Vec<(String, String)> {
    let js = jetstream::with_domain(client.clone(), DOMAIN);
    // A broker that was just restarted may not answer yet.
    let consumer: jetstream::consumer::PullConsumer = wait_for("the consumer is found", SOON, async || {
        js.get_consumer_from_stream(consumer.name(), "EVENTS").await.ok()
    })
    .await;
    let mut messages = consumer
        .fetch()
        .max_messages(count)
        .expires(Duration::from_secs(1))
        .messages()
        .await
        .unwrap();
    let mut read = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        message.ack().await.unwrap();
        read.push((
            message.subject.to_string(),
            String::from_utf8(message.payload.to_vec()).unwrap(),
        ));
    }
    client.flush().await.unwrap();
    read
}

/// Everything that somebody with other rights could say to JetStream, to the system, or to a subject.
#[expect(clippy::too_many_lines, reason = "a list")]
pub fn forbidden(own: &PartnerConsumer, other: &PartnerConsumer) -> Vec<(String, String)> {
    let (mine, theirs, (us, them)) = (own.name(), other.name(), (own.org, other.org));
    let config = |filter: &str, more: &str| {
        format!(
            r#"{{"stream_name":"EVENTS","config":{{"durable_name":"x","name":"x","ack_policy":"explicit","deliver_policy":"all","filter_subject":"{filter}"{more}}}}}"#
        )
    };
    let all = config(&format!("evt.{us}.>"), "");
    let foreign = config(&format!("evt.{them}.>"), "");
    let push = config(
        &format!("evt.{us}.>"),
        &format!(r#","deliver_subject":"evt.{them}.deal.closed""#),
    );
    let api = |subject: &str, body: &str| (format!("$JS.API.{subject}"), body.to_owned());
    let mut asked = vec![
        (format!("evt.{us}.deal.created"), "forged".into()),
        (format!("evt.{them}.deal.created"), "forged".into()),
        (format!("pipeline.{us}.signals.accepted"), "forged".into()),
        ("anything".into(), String::new()),
        (format!("$JS.ACK.EVENTS.{theirs}.1.1.1.1.0"), "+ACK".into()),
        (format!("$JS.ACK.EVENTS.{theirs}.1.1.1.1.0"), "+TERM".into()),
        ("$SYS.REQ.USER.AUTH".into(), String::new()),
        ("$SYS.REQ.SERVER.PING".into(), String::new()),
        ("$SYS.REQ.SERVER.PING.CONNZ".into(), String::new()),
        ("$SYS.REQ.ACCOUNT.DEVSIGNAL.INFO".into(), String::new()),
        ("$SYS.REQ.USER.INFO".into(), String::new()),
    ];
    let api_subjects = [
        api("INFO", ""),
        api("STREAM.NAMES", "{}"),
        api("STREAM.LIST", "{}"),
        api("STREAM.INFO.EVENTS", "{}"),
        api("STREAM.INFO.PIPELINE", "{}"),
        api("STREAM.MSG.GET.EVENTS", r#"{"seq":1}"#),
        api("STREAM.MSG.DELETE.EVENTS", r#"{"seq":1}"#),
        api("STREAM.PURGE.EVENTS", "{}"),
        api("STREAM.DELETE.EVENTS", ""),
        api("STREAM.CREATE.MINE", r#"{"name":"MINE","subjects":["evt.>"]}"#),
        api(
            "STREAM.CREATE.COPY",
            r#"{"name":"COPY","mirror":{"name":"EVENTS"}}"#,
        ),
        api(
            "STREAM.UPDATE.EVENTS",
            r#"{"name":"EVENTS","subjects":["evt.>"]}"#,
        ),
        api("STREAM.SNAPSHOT.EVENTS", r#"{"deliver_subject":"x"}"#),
        api("DIRECT.GET.EVENTS", r#"{"seq":1}"#),
        api(&format!("DIRECT.GET.EVENTS.evt.{them}.deal.created"), ""),
        api("CONSUMER.CREATE.EVENTS", &foreign),
        api("CONSUMER.CREATE.EVENTS.x", &foreign),
        api(&format!("CONSUMER.CREATE.EVENTS.x.evt.{us}.>"), &all),
        api(&format!("CONSUMER.CREATE.EVENTS.x.evt.{them}.>"), &foreign),
        api(&format!("CONSUMER.CREATE.EVENTS.{mine}.evt.{us}.>"), &push),
        api(&format!("CONSUMER.CREATE.EVENTS.{mine}"), &push),
        api("CONSUMER.DURABLE.CREATE.EVENTS.x", &foreign),
        api("CONSUMER.LIST.EVENTS", "{}"),
        api("CONSUMER.NAMES.EVENTS", "{}"),
        api(&format!("CONSUMER.INFO.EVENTS.{theirs}"), ""),
        api(&format!("CONSUMER.MSG.NEXT.EVENTS.{theirs}"), "1"),
        api(&format!("CONSUMER.DELETE.EVENTS.{theirs}"), ""),
        api(&format!("CONSUMER.DELETE.EVENTS.{mine}"), ""),
        api(
            &format!("CONSUMER.PAUSE.EVENTS.{theirs}"),
            r#"{"pause_until":"2090-01-01T00:00:00Z"}"#,
        ),
        api(&format!("CONSUMER.RESET.EVENTS.{theirs}"), "{}"),
        api(&format!("CONSUMER.UNPIN.EVENTS.{theirs}"), r#"{"group":"x"}"#),
        api("ACCOUNT.PURGE.DEVSIGNAL", ""),
    ];
    for (subject, body) in api_subjects {
        asked.push((
            subject.replace("$JS.API.", &format!("$JS.{DOMAIN}.API.")),
            body.clone(),
        ));
        asked.push((subject, body));
    }
    asked
}
