//! The contract as the walk sees it: methods, the ids that they take, and requests of them.

use std::collections::BTreeSet;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MethodDescriptor, Value,
};
use reqwest::Method;
use serde_json::{Map, Value as Json, json};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use super::records::{Caller, Organization};

pub struct Contract {
    pool: DescriptorPool,
    http: ExtensionDescriptor,
}

/// One method and one id that it takes.
pub struct Case {
    pub method: MethodDescriptor,
    pub verb: Method,
    pub template: String,
    /// The field.
    pub id: String,
}

impl Contract {
    pub fn load() -> Self {
        let pool = DescriptorPool::decode(contracts::DESCRIPTORS).unwrap();
        let http = pool.get_extension_by_name("google.api.http").unwrap();
        Self { pool, http }
    }

    /// The methods that have a route.
    pub fn methods(&self) -> Vec<MethodDescriptor> {
        let all = self.pool.services().flat_map(|s| s.methods().collect::<Vec<_>>());
        all.filter(|m| m.options().has_extension(&self.http)).collect()
    }

    pub fn named(&self, name: &str) -> Option<MethodDescriptor> {
        self.methods().into_iter().find(|m| m.name() == name)
    }

    /// Verb and path of each route of a method.
    pub fn routes(&self, method: &MethodDescriptor) -> Vec<(Method, String)> {
        let options = method.options();
        let Value::Message(rule) = options.get_extension(&self.http).into_owned() else {
            unreachable!()
        };
        let more = rule.get_field_by_name("additional_bindings").unwrap();
        let more: Vec<DynamicMessage> = more
            .as_list()
            .unwrap()
            .iter()
            .map(|v| v.as_message().unwrap().clone())
            .collect();
        let mut routes = Vec::new();
        for rule in std::iter::once(rule.clone()).chain(more) {
            for verb in ["get", "post", "put", "patch", "delete"] {
                let path = rule.get_field_by_name(verb).unwrap().as_str().unwrap().to_owned();
                if !path.is_empty() {
                    routes.push((verb.to_uppercase().parse().unwrap(), path));
                }
            }
        }
        routes
    }

    /// All paths, as the OpenAPI document writes them.
    pub fn templates(&self) -> BTreeSet<String> {
        let paths = self.methods().into_iter().flat_map(|m| self.routes(&m));
        paths
            .map(|(_, path)| {
                let parts = path.split('/').map(|part| {
                    let field = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
                    field.map_or(part.to_owned(), |f| format!("{{{}}}", camel(f)))
                });
                parts.collect::<Vec<_>>().join("/")
            })
            .collect()
    }

    /// The fields of a request that are ids of records. What nobody has before they come in takes none of ours.
    pub fn ids_of(&self, method: &MethodDescriptor) -> Vec<String> {
        if method.parent_service().name() == "AuthService" && method.name() != "SwitchOrganization" {
            return Vec::new();
        }
        let input = method.input();
        let fields = input.fields().filter(|f| {
            let key = f.name() == "object"
                && self
                    .routes(method)
                    .iter()
                    .any(|(_, path)| path.contains("{object}"));
            let id = f.name().ends_with("_id") || f.name().ends_with("_ids") || f.name() == "ids" || key;
            id && matches!(f.kind(), Kind::String) && !super::records::NO_RECORDS.contains(&f.name())
        });
        fields.map(|f| f.name().to_owned()).collect()
    }

    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for method in self.methods() {
            for id in self.ids_of(&method) {
                for (verb, template) in self.routes(&method) {
                    cases.push(Case {
                        method: method.clone(),
                        verb,
                        template,
                        id: id.clone(),
                    });
                }
            }
        }
        cases
    }
}

pub fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut all, word| {
        all.push_str(&word[..1].to_uppercase());
        all.push_str(&word[1..]);
        all
    })
}

/// A request that a method takes, as JSON: what is required, by the names of fields, unless `OVERRIDES` says it.
pub fn request(method: &MethodDescriptor, own: &Organization, path: &str) -> Map<String, Json> {
    let mut body = Map::new();
    for field in method.input().fields() {
        let required = !field.is_list() && !field.is_map() && !field.supports_presence();
        let in_path = path.contains(&format!("{{{}}}", field.name()));
        if in_path {
            body.insert(camel(field.name()), json!(own.id(field.name())));
        } else if required && let Some(value) = sample(&field, own) {
            body.insert(camel(field.name()), value);
        }
    }
    body.extend(super::records::overrides(method.name(), own));
    body
}

fn sample(field: &FieldDescriptor, own: &Organization) -> Option<Json> {
    let name = field.name();
    Some(match field.kind() {
        Kind::String if name.ends_with("_id") => json!(own.id(name)),
        Kind::String if name == "email" => json!(format!("{}@{}.com", own.unique(), own.word)),
        Kind::String if name == "domain" => json!(format!("{}.com", own.unique())),
        Kind::String => json!(format!("{} {}", own.word, own.unique())),
        Kind::Enum(of) => json!(short(of.name(), of.values().nth(1)?.name())),
        _ => return None,
    })
}

/// An enum's value as the API writes it: without the enum's own name before it.
fn short(of: &str, value: &str) -> String {
    let mut prefix = String::new();
    for c in of.chars() {
        if c.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_uppercase());
    }
    value
        .strip_prefix(&format!("{prefix}_"))
        .unwrap_or(value)
        .to_owned()
}

/// The record that a method answers with.
pub fn record_of(method: &MethodDescriptor) -> Option<prost_reflect::MessageDescriptor> {
    let output = method.output();
    let mut records = output.fields().filter(|f| !f.is_list());
    records.find_map(|f| f.kind().as_message().cloned())
}

/// Sends a good request with one field more.
pub async fn with_name(
    method: &MethodDescriptor,
    own: &Organization,
    (verb, template): (&Method, &str),
    name: &str,
) -> (u16, String) {
    let mut body = request(method, own, template);
    let parts = template.split('/').map(|part| {
        let field = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        field.map_or(part.to_owned(), |f| {
            body.remove(&camel(f)).unwrap().as_str().unwrap().to_owned()
        })
    });
    let path = parts.collect::<Vec<_>>().join("/");
    let rule = contracts::access::rule_of(&format!(
        "/{}/{}",
        method.parent_service().full_name(),
        method.name()
    ));
    let person = rule.is_some_and(|r| r.permission == contracts::access::Permission::Self_);
    let caller = if person { own.person() } else { own.owner() };
    let mut sent = caller.api.request(verb.clone(), &path);
    if let Some(value) = body.remove("match") {
        sent = sent.query(&[("match", value.as_str().unwrap())]);
    }
    body.insert(name.to_owned(), json!("taken"));
    let answer = e2e::cluster::Api::send(sent.json(&body)).await.unwrap();
    (answer.status, answer.body)
}

impl Case {
    fn filled(&self, own: &Organization, id: &str) -> Map<String, Json> {
        let mut body = request(&self.method, own, &self.template);
        let field = self.method.input().get_field_by_name(&self.id).unwrap();
        let value = if field.is_list() { json!([id]) } else { json!(id) };
        body.insert(camel(&self.id), value);
        body
    }

    pub async fn by_rest(&self, own: &Organization, caller: &Caller, id: &str) -> (u16, String) {
        let mut body = self.filled(own, id);
        let parts = self.template.split('/').map(|part| {
            let field = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
            field.map_or(part.to_owned(), |f| match body.remove(&camel(f)) {
                Some(Json::String(id)) => id,
                other => panic!("{} in {}: {other:?}", f, self.template),
            })
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let mut sent = caller.api.request(self.verb.clone(), &path);
        for control in ["match", "dryRun"] {
            if let Some(value) = body.remove(control) {
                sent = sent.query(&[(control, value.as_str().map_or(value.to_string(), str::to_owned))]);
            }
        }
        if self.verb == Method::GET || self.verb == Method::DELETE {
            for (name, value) in &body {
                let text = value.as_str().map_or(value.to_string(), str::to_owned);
                sent = sent.query(&[(name, text)]);
            }
        } else {
            sent = sent.json(&body);
        }
        let answer = e2e::cluster::Api::send(sent).await.unwrap();
        (answer.status, answer.body)
    }

    pub async fn by_grpc(&self, own: &Organization, caller: &Caller, id: &str) -> (Code, String) {
        let json = Json::Object(self.filled(own, id));
        let message = super::records::message(&self.method.input(), &json);
        let path = format!(
            "/{}/{}",
            self.method.parent_service().full_name(),
            self.method.name()
        );
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        let key = format!("Bearer {}", caller.api.key()).parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        let mut grpc = Grpc::new(own.grpc.clone());
        grpc.ready().await.unwrap();
        match grpc.unary(request, path.parse().unwrap(), Raw).await {
            Ok(answer) => {
                let read = DynamicMessage::decode(self.method.output(), answer.into_inner()).unwrap();
                (Code::Ok, serde_json::to_string(&read).unwrap())
            }
            Err(status) => (status.code(), status.message().to_owned()),
        }
    }
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
