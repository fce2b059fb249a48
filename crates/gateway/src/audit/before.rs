//! How a record was before a write: which method reads what another one changes follows from the contract.
//!
//! Of a write at `/xs/{x_id}` or below, the `Get…` at `/xs/{x_id}` reads the record; of an upsert, the list at the same path by
//! the key that it matches by; of `BatchUpdateXs`, `BatchGetXs` of the same package. Must not: know any of them by name.

use std::collections::HashMap;

use bytes::Bytes;
use http::uri::PathAndQuery;
use ids::OrgId;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MapKey, MessageDescriptor, MethodDescriptor,
    ReflectMessage as _, Value,
};
use rpc::Principal;

use super::redact::told;
use crate::backends::Backends;
use crate::transcode::{Call, Route, Routes};

/// A method that reads.
#[derive(Debug, Clone)]
struct Reader {
    service: String,
    path: PathAndQuery,
    input: MessageDescriptor,
    output: MessageDescriptor,
    path_fields: Vec<FieldDescriptor>,
}

/// How what a write changes is read.
#[derive(Debug, Clone)]
enum Link {
    /// By the same fields of the path.
    Path(Reader, Vec<FieldDescriptor>),
    /// By the key that an upsert matches by.
    Key(Reader),
    /// Many, by the ids of the items.
    Ids(Reader, String),
}

/// What is known of a write.
#[derive(Debug, Clone, Default)]
struct Write {
    link: Option<Link>,
    /// The field of the path that names the record.
    names: Option<String>,
}

/// All writes.
#[derive(Debug, Default)]
pub(super) struct Befores(HashMap<String, Write>);

impl Reader {
    fn of_route(route: &Route) -> Self {
        Self {
            service: route.service.clone(),
            path: route.grpc_path.clone(),
            input: route.input.clone(),
            output: route.output.clone(),
            path_fields: route.path_fields().cloned().collect(),
        }
    }

    fn of_method(method: &MethodDescriptor) -> Option<Self> {
        let service = method.parent_service().full_name().to_owned();
        Some(Self {
            path: format!("/{service}/{}", method.name()).parse().ok()?,
            service,
            input: method.input(),
            output: method.output(),
            path_fields: Vec::new(),
        })
    }
}

impl Befores {
    /// Follows the contract.
    pub(super) fn new(pool: &DescriptorPool, routes: &Routes) -> Self {
        let writes = routes.all().filter(|r| !r.reads && r.batch.is_none());
        Self(
            writes
                .map(|write| {
                    let names = write.path_fields().last().map(|f| f.json_name().to_owned());
                    let link = by_key(write, routes)
                        .or_else(|| by_path(write, routes))
                        .or_else(|| by_ids(write, pool));
                    (write.grpc_path.as_str().to_owned(), Write { link, names })
                })
                .collect(),
        )
    }

    /// The field of a request that names its record.
    pub(super) fn names(&self, method: &str) -> Option<&str> {
        self.0.get(method)?.names.as_deref()
    }

    /// Whether what a method changes can be read before.
    #[cfg(test)]
    fn reads(&self, method: &str) -> bool {
        self.0.get(method).is_some_and(|write| write.link.is_some())
    }

    /// The record as it is now; none when there is none, or it cannot be read.
    pub(super) async fn read(
        &self,
        backends: &Backends,
        org: OrgId,
        (method, request_id): (&str, &str),
        input: &MessageDescriptor,
        message: &Bytes,
    ) -> Option<serde_json::Value> {
        let link = self.0.get(method)?.link.as_ref()?;
        let asked = DynamicMessage::decode(input.clone(), message.clone()).ok()?;
        let (reader, request) = match link {
            Link::Path(reader, fields) => (reader, with_path(reader, fields, &asked)?),
            Link::Key(reader) => (reader, with_key(reader, &asked)?),
            Link::Ids(reader, field) => (reader, with_ids(reader, field, &asked)?),
        };
        let call = Call {
            channel: backends.of_service(&reader.service)?.clone(),
            path: reader.path.clone(),
            principal: Principal {
                org: Some(org),
                ..Principal::system("gateway")
            },
            request_id: request_id.to_owned(),
            address: String::new(),
            message: request.encode_to_vec().into(),
            reads: true,
        };
        let answer = Box::pin(call.read(backends)).await.ok()?;
        let told = told(&reader.output, &answer);
        match link {
            // Nothing, or several: then the write says `ambiguous_match`.
            Link::Key(_) => only_record(told),
            _ => Some(told),
        }
    }
}

fn by_path(write: &Route, routes: &Routes) -> Option<Link> {
    let leads_to = |read: &&std::sync::Arc<Route>| {
        let at = read.template.as_str();
        let below = write
            .template
            .strip_prefix(at)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let known = |f: &FieldDescriptor| write.input.get_field_by_name(f.name()).is_some();
        read.http_method == "GET"
            && read.method.name().starts_with("Get")
            && below
            && read.path_fields().all(known)
            && (read.path_fields().next().is_some() || at == write.template)
    };
    let read = routes
        .all()
        .filter(leads_to)
        .max_by_key(|read| read.template.len())?;
    // A singleton is not what a new record of a list is made from.
    if write.creates {
        return None;
    }
    Some(Link::Path(
        Reader::of_route(read),
        read.path_fields().cloned().collect(),
    ))
}

fn by_key(write: &Route, routes: &Routes) -> Option<Link> {
    write.upserted()?;
    let read = routes
        .all()
        .find(|r| r.http_method == "GET" && r.template == write.template && r.batch.is_none())?;
    read.input
        .get_field_by_name("filter")
        .filter(FieldDescriptor::is_map)?;
    Some(Link::Key(Reader::of_route(read)))
}

fn by_ids(write: &Route, pool: &DescriptorPool) -> Option<Link> {
    let what = write.method.name().strip_prefix("BatchUpdate")?;
    let items = write.input.get_field_by_name("items")?;
    let item = items.kind().as_message()?.clone();
    let id = item.fields().find(|f| f.name().ends_with("_id"))?;
    let package = write.method.parent_file().package_name().to_owned();
    let wanted = format!("BatchGet{what}");
    let read = pool
        .services()
        .filter(|s| s.parent_file().package_name() == package)
        .find_map(|s| s.methods().find(|m| m.name() == wanted))?;
    Some(Link::Ids(Reader::of_method(&read)?, id.name().to_owned()))
}

fn with_path(reader: &Reader, fields: &[FieldDescriptor], asked: &DynamicMessage) -> Option<DynamicMessage> {
    let mut request = DynamicMessage::new(reader.input.clone());
    for field in fields {
        let value = asked.get_field_by_name(field.name())?.into_owned();
        request.set_field(field, value);
    }
    Some(request)
}

fn with_key(reader: &Reader, asked: &DynamicMessage) -> Option<DynamicMessage> {
    let key = asked.get_field_by_name("match")?.as_str()?.to_owned();
    let field = asked.descriptor().fields().find(|f| f.json_name() == key)?;
    let value = asked.get_field(&field).as_str()?.to_owned();
    let mut request = DynamicMessage::new(reader.input.clone());
    for at in &reader.path_fields {
        let value = asked.get_field_by_name(at.name())?.into_owned();
        request.set_field(at, value);
    }
    let filter = [(MapKey::String(key), Value::String(value.trim().to_lowercase()))];
    request
        .try_set_field_by_name("filter", Value::Map(filter.into()))
        .ok()?;
    request.try_set_field_by_name("limit", Value::I32(2)).ok()?;
    Some(request)
}

fn with_ids(reader: &Reader, field: &str, asked: &DynamicMessage) -> Option<DynamicMessage> {
    let items = asked.get_field_by_name("items")?;
    let ids = items.as_list()?.iter().filter_map(|item| {
        let item = item.as_message()?;
        Some(Value::String(item.get_field_by_name(field)?.as_str()?.to_owned()))
    });
    let mut request = DynamicMessage::new(reader.input.clone());
    request
        .try_set_field_by_name("ids", Value::List(ids.collect()))
        .ok()?;
    Some(request)
}

fn only_record(mut page: serde_json::Value) -> Option<serde_json::Value> {
    let found = page.get_mut("data")?.as_array_mut()?;
    (found.len() == 1).then(|| found.swap_remove(0))
}

#[cfg(test)]
mod tests {
    use contracts::access::{Permission, RULES};

    use super::*;
    use crate::contract::Contract;

    /// Writes that make something new, or are about no record that can be read: the answer tells all there is to tell.
    const NEW: [&str; 16] = [
        "Create",
        "BatchCreate",
        "Send",
        "Test",
        "Switch",
        "Change",
        "Assign",
        "Unassign",
        "Import",
        "Run",
        "Start",
        "Preview",
        "Upload",
        "Bulk",
        "Ingest",
        "Stream",
    ];

    #[test]
    fn what_a_write_changes_is_read_before_it() {
        let contract = Contract::load().unwrap();
        let routes = Routes::new(&contract).unwrap();
        let befores = Befores::new(contract.pool(), &routes);
        let writes = RULES.iter().filter(|r| befores.0.contains_key(r.method));
        for rule in writes.filter(|r| {
            matches!(
                r.permission,
                Permission::Write | Permission::Admin | Permission::Owner
            )
        }) {
            let name = rule.method.rsplit('/').next().unwrap();
            let new = NEW.iter().any(|word| name.starts_with(word));
            assert!(
                new || befores.reads(rule.method),
                "{}: nothing tells how the record was before. Give it a `Get…` at the same path, or name it in NEW",
                rule.method
            );
        }
    }
}
