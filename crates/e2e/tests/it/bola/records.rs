//! An organization with records of every kind, made through the API by what the contract says; and who calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::cluster::{Api, Cluster};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use reqwest::Method;
use serde_json::{Value as Json, json};
use tonic::transport::{Channel, Endpoint};

use super::contract::{Contract, camel, request};
use crate::support::listed;

/// An id that nobody has.
pub const UNKNOWN: &str = "018f3c5e-0000-7000-8000-00000000abcd";

/// An object that nobody has.
const NO_OBJECT: &str = "nothing_there";

/// What nobody has, for a field.
pub fn unknown(field: &str) -> &'static str {
    if field == "object" { NO_OBJECT } else { UNKNOWN }
}

/// What of a record stays as it is while nobody changes it.
const LASTING: [&str; 14] = [
    "id", "name", "key", "label", "url", "email", "domain", "title", "body", "subject", "type", "stages",
    "role", "values",
];

/// Fields that end as ids do and are none of a record.
pub const NO_RECORDS: &[&str] = &["anonymous_id", "external_id"];

/// Which record a field means, where its name does not say it: `x_id` is made by `CreateX`.
const ALIASES: &[(&str, &str)] = &[
    ("owner_id", "user_id"),
    ("assignee_id", "user_id"),
    ("account_ids", "account_id"),
    ("contact_ids", "contact_id"),
    ("deal_ids", "deal_id"),
    ("ids", "account_id"),
    ("replay_id", "webhook_replay_id"),
    ("credential_id", "nats_credential_id"),
    ("consumer_id", "nats_consumer_id"),
];

/// What a request needs beside texts for its required fields. `{unique}` is another word each time, `{x_id}` a record of ours.
pub const OVERRIDES: &[(&str, &str)] = &[
    (
        "CreateAccount",
        r#"{"name": "{unique}", "domain": "{unique}.com"}"#,
    ),
    (
        "UpsertAccount",
        r#"{"match": "domain", "domain": "{unique}.com"}"#,
    ),
    ("CreateContact", r#"{"email": "{unique}@people.com"}"#),
    (
        "UpsertContact",
        r#"{"match": "email", "email": "{unique}@people.com"}"#,
    ),
    ("CreateDeal", r#"{"name": "{unique}"}"#),
    ("CreateTask", r#"{"title": "{unique}"}"#),
    (
        "CreateActivity",
        r#"{"type": "call", "subject": "{unique}", "accountId": "{account_id}"}"#,
    ),
    (
        "CreateNote",
        r#"{"body": "{unique}", "accountId": "{account_id}"}"#,
    ),
    ("CreateTag", r#"{"name": "{unique}"}"#),
    (
        "CreatePipeline",
        r#"{"name": "{unique}", "stages": [{"key": "new", "name": "New", "kind": "open"}, {"key": "won", "name": "Won", "kind": "won"}, {"key": "lost", "name": "Lost", "kind": "lost"}]}"#,
    ),
    (
        "CreateCustomField",
        r#"{"object": "account", "key": "k{unique}", "type": "text", "label": "{unique}"}"#,
    ),
    ("CreateObject", r#"{"key": "k{unique}"}"#),
    ("CreateSource", r#"{"type": "github", "name": "{unique}"}"#),
    ("CreateApiKey", r#"{"name": "{unique}", "role": "VIEWER"}"#),
    (
        "CreateWebhook",
        r#"{"url": "https://hooks.example.com/{unique}"}"#,
    ),
    ("CreateWebhookReplay", r#"{"from": "2026-01-01T00:00:00Z"}"#),
    ("CreateRecord", r#"{"values": {"title": "{unique}"}}"#),
    (
        "UpsertRecord",
        r#"{"match": "code", "values": {"code": "{unique}"}}"#,
    ),
    ("CreateObject", r#"{"key": "o{unique}"}"#),
    ("CreateView", r#"{"object": "contact", "name": "{unique}"}"#),
    ("AssignTag", r#"{"object": "account", "ids": ["{account_id}"]}"#),
    ("UnassignTag", r#"{"object": "account", "ids": ["{account_id}"]}"#),
];

/// Who calls.
pub struct Caller {
    pub role: &'static str,
    pub api: Api,
}

pub struct Organization {
    pub word: String,
    pub org: String,
    pub grpc: Channel,
    ids: BTreeMap<String, String>,
    callers: Vec<Caller>,
    count: AtomicU32,
}

impl Organization {
    /// Somebody registers, makes a key of every role, and records of every kind.
    pub async fn fill(cluster: &Cluster, contract: &Contract, word: &str) -> Self {
        let base = format!("http://{}", cluster.wiring().http);
        let body = json!({"email": format!("owner@{word}.example"), "password": "correct horse battery staple",
                          "name": word, "organizationName": word});
        let http = reqwest::Client::new();
        let answer = http
            .post(format!("{base}/api/v1/auth/register"))
            .json(&body)
            .send()
            .await
            .unwrap();
        let session: Json = answer.json().await.unwrap();
        let org = session["organizationId"].as_str().unwrap().to_owned();
        let token = session["accessToken"].as_str().unwrap();
        let person = Api::new(&base, token, org.parse().unwrap()).unwrap();
        let mut this = Self {
            word: word.to_owned(),
            org: org.clone(),
            grpc: Endpoint::from_shared(format!("http://{}", cluster.wiring().grpc))
                .unwrap()
                .connect_lazy(),
            ids: BTreeMap::new(),
            callers: Vec::new(),
            count: AtomicU32::new(0),
        };
        for role in ["OWNER", "ADMIN", "MEMBER", "VIEWER"] {
            let new = json!({"name": format!("{word} {role}"), "role": role});
            let key = person
                .post("/api/v1/api-keys", &new)
                .await
                .unwrap()
                .json(201)
                .unwrap();
            this.ids.insert("api_key_id".into(), text(&key, "id"));
            let api = person.with_key(&text(&key, "key"));
            this.callers.push(Caller { role, api });
        }
        this.callers.push(Caller {
            role: "a person",
            api: person,
        });
        this.ids.insert("user_id".into(), text(&session, "userId"));
        this.ids.insert("organization_id".into(), org);
        this.signal().await;
        this.object().await;
        this.import().await;
        this.invite(cluster).await;
        for field in contract.methods().iter().flat_map(|m| contract.ids_of(m)) {
            this.make(contract, &field).await;
        }
        this
    }

    pub fn owner(&self) -> &Caller {
        &self.callers[0]
    }

    pub fn person(&self) -> &Caller {
        &self.callers[4]
    }

    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.callers.iter()
    }

    pub fn unique(&self) -> String {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}{n}", self.word)
    }

    /// The id of a record of ours, for a field.
    pub fn id(&self, field: &str) -> String {
        let field = ALIASES
            .iter()
            .find(|(alias, _)| *alias == field)
            .map_or(field, |(_, of)| *of);
        let found = self.ids.get(field);
        found
            .unwrap_or_else(|| {
                panic!("no record is known for `{field}`: see ALIASES and `make` of bola/records.rs")
            })
            .clone()
    }

    /// All ids; an object's key is none.
    pub fn ids(&self) -> impl Iterator<Item = (&String, &String)> {
        self.ids.iter().filter(|(field, _)| *field != "object")
    }

    async fn signal(&mut self) {
        let api = self.owner().api.clone();
        let signal = json!({"type": "repo_star", "actor": {"email": format!("dev@{}.example", self.word)}});
        let ids = api.accept(&[signal]).await.unwrap();
        listed(&api, "/api/v1/signals", |s| s["id"] == *ids[0]).await;
        self.ids.insert("signal_id".into(), ids[0].clone());
    }

    /// An object of our own; its key is its id.
    async fn object(&mut self) {
        let key = format!("things_{}", self.word);
        let fields =
            json!([{"key": "title", "type": "text"}, {"key": "code", "type": "text", "unique": true}]);
        let body = json!({"key": key, "fields": fields});
        let answer = self.owner().api.post("/api/v1/objects", &body).await.unwrap();
        answer.json(201).unwrap();
        self.ids.insert("object".into(), key);
    }

    /// An import begins with a file.
    async fn import(&mut self) {
        let file = format!("email,name\nimported@{}.example,{}\n", self.word, self.word);
        let upload = self
            .owner()
            .api
            .request(Method::POST, "/api/v1/imports?object=contact&fileName=people.csv")
            .header("content-type", "text/csv")
            .body(file);
        let made = Api::send(upload).await.unwrap().json(201).unwrap();
        self.ids.insert("import_id".into(), text(&made, "id"));
    }

    /// A delivery is made by a test.
    async fn delivery(&mut self, contract: &Contract) {
        Box::pin(self.make(contract, "webhook_id")).await;
        let path = format!("/api/v1/webhooks/{}/test", self.id("webhook_id"));
        let answer = self.owner().api.post(&path, &json!({})).await.unwrap();
        assert!(answer.status < 300, "{}", answer.body);
        let made: Json = serde_json::from_str(&answer.body).unwrap();
        let made = if made["delivery"].is_object() {
            &made["delivery"]
        } else {
            &made
        };
        self.ids.insert("delivery_id".into(), text(made, "id"));
    }

    /// Whoever invites has proven their address; here the database is told so.
    async fn invite(&mut self, cluster: &Cluster) {
        let mut sql = cluster.sql().await.unwrap();
        sqlx::query("UPDATE gateway.users SET verified_at = now() WHERE id = $1::uuid")
            .bind(self.id("user_id"))
            .execute(&mut sql)
            .await
            .unwrap();
        let body = json!({"email": format!("guest@{}.example", self.word), "role": "VIEWER"});
        let made = self
            .owner()
            .api
            .post("/api/v1/invitations", &body)
            .await
            .unwrap()
            .json(201)
            .unwrap();
        self.ids.insert("invitation_id".into(), text(&made, "id"));
    }

    /// Makes a record for a field, by `CreateX` of the contract.
    async fn make(&mut self, contract: &Contract, field: &str) {
        let field = ALIASES
            .iter()
            .find(|(alias, _)| *alias == field)
            .map_or(field, |(_, of)| *of);
        if self.ids.contains_key(field) {
            return;
        }
        if field == "delivery_id" {
            self.delivery(contract).await;
            return;
        }
        let noun: String = field
            .trim_end_matches("_id")
            .split('_')
            .map(|word| word[..1].to_uppercase() + &word[1..])
            .collect();
        let create = contract.named(&format!("Create{noun}"));
        let create = create.unwrap_or_else(|| {
            panic!(
                "`{field}` is taken by a method, and there is no Create{noun}: say in ALIASES of bola/records.rs which record it \
                 means, in NO_RECORDS that it is none, or make one in `fill`"
            )
        });
        let routes = contract.routes(&create);
        let (verb, path) = routes.iter().find(|(verb, _)| *verb == Method::POST).unwrap();
        for needed in contract.ids_of(&create) {
            if path.contains(&format!("{{{needed}}}")) {
                Box::pin(self.make(contract, &needed)).await;
            }
        }
        for needed in needs(create.name()) {
            Box::pin(self.make(contract, &needed)).await;
        }
        let mut body = request(&create, self, path);
        body.retain(|name, _| {
            !path
                .split('/')
                .any(|part| part.starts_with('{') && camel(part.trim_matches(['{', '}'])) == *name)
        });
        let path = path.split('/').map(|part| match part.strip_prefix('{') {
            Some(part) => self.id(part.trim_end_matches('}')),
            None => part.to_owned(),
        });
        let path = path.collect::<Vec<_>>().join("/");
        let sent = self.owner().api.request(verb.clone(), &path).json(&body);
        let answer = Api::send(sent).await.unwrap();
        assert!(
            (200..300).contains(&answer.status),
            "Create{noun} with {body:?}: {} {}\nSay in OVERRIDES of bola/records.rs what it needs",
            answer.status,
            answer.body
        );
        let made: Json = serde_json::from_str(&answer.body).unwrap();
        self.ids.insert(field.to_owned(), text(&made, "id"));
    }

    /// Every record of ours as its `Get…` shows it.
    pub async fn seen(&self, contract: &Contract) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        for method in contract.methods().iter().filter(|m| m.name().starts_with("Get")) {
            for (verb, template) in contract.routes(method) {
                let ids = contract.ids_of(method);
                if verb != Method::GET || ids.len() != 1 || !template.ends_with(&format!("{{{}}}", ids[0])) {
                    continue;
                }
                let path = template.replace(&format!("{{{}}}", ids[0]), &self.id(&ids[0]));
                let path = path.replace("{object}", &self.id("object"));
                let answer = self.owner().api.get(&path).await.unwrap();
                assert_eq!(answer.status, 200, "{path}: one's own record: {}", answer.body);
                let mut record: Json = serde_json::from_str(&answer.body).unwrap();
                record
                    .as_object_mut()
                    .unwrap()
                    .retain(|name, _| LASTING.contains(&name.as_str()));
                seen.insert(method.full_name().to_owned(), record.to_string());
            }
        }
        assert!(seen.len() > 10, "{seen:?}");
        seen
    }
}

/// What the overrides say of a method.
pub fn overrides(method: &str, own: &Organization) -> serde_json::Map<String, Json> {
    let Some((_, text)) = OVERRIDES.iter().find(|(name, _)| *name == method) else {
        return serde_json::Map::new();
    };
    let mut text = text.replace("{unique}", &own.unique());
    for needed in needs(method) {
        text = text.replace(&format!("{{{needed}}}"), &own.id(&needed));
    }
    serde_json::from_str(&text).unwrap()
}

/// The fields that the overrides of a method name.
pub fn needs(method: &str) -> Vec<String> {
    let text = OVERRIDES
        .iter()
        .find(|(name, _)| *name == method)
        .map_or("", |(_, text)| *text);
    let named = text
        .split('{')
        .filter_map(|part| part.split_once('}').map(|(name, _)| name));
    named
        .filter(|name| name.ends_with("_id"))
        .map(str::to_owned)
        .collect()
}

/// A message from JSON.
pub fn message(of: &MessageDescriptor, json: &Json) -> DynamicMessage {
    let mut json = json.clone();
    enums(of, &mut json);
    DynamicMessage::deserialize(of.clone(), json).unwrap()
}

/// The API writes enums without their own name before each value; protobuf's JSON wants it.
fn enums(of: &MessageDescriptor, json: &mut Json) {
    for field in of.fields() {
        let Some(value) = json.get_mut(field.json_name()) else {
            continue;
        };
        if let (prost_reflect::Kind::Enum(of), Some(text)) = (field.kind(), value.as_str()) {
            let full = of.values().find(|v| v.name().ends_with(&format!("_{text}")));
            *value = json!(full.unwrap().name());
        }
    }
}

fn text(of: &Json, field: &str) -> String {
    let value = of[field].as_str();
    value.unwrap_or_else(|| panic!("no {field} in {of}")).to_owned()
}
