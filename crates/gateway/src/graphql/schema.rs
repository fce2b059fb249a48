//! The whole schema: root fields, types, relations, subscriptions.

use std::sync::Arc;

use async_graphql::dynamic::{
    Field, FieldFuture, FieldValue, InputValue, Object, ResolverContext, Schema, Subscription,
    SubscriptionField, SubscriptionFieldFuture, TypeRef,
};
use errors::ApiError;
use futures::StreamExt as _;
use prost_reflect::{DescriptorPool, Kind};
use serde_json::Value as Json;

use super::errors::{contained, of_api};
use super::loader::{Batched, Key, Loader, none};
use super::relations::{self, DEFAULT_OF_EACH, MAX_OF_EACH, MEMBERS, RELATIONS, Reads, Relation};
use super::root;
use super::types::{Node, Shape, Types, give, read};
use crate::access::Credential;
use crate::backends::Backends;
use crate::config::GraphqlSettings;
use crate::contract::Contract;
use crate::error::StartError;
use crate::openapi::Comments;
use crate::stream::Streams;
use crate::transcode::{OnBehalf, Routes};

/// What resolvers know of the request.
pub struct Ask {
    /// The services.
    pub backends: Backends,
    /// The caller, for calls.
    pub who: OnBehalf,
    /// The caller, for streams.
    pub caller: Arc<Credential>,
    /// The streams.
    pub streams: Streams,
    /// Many reads as few calls.
    pub loader: Loader,
}

/// The schema, and the methods that its loaders call.
pub struct Built {
    /// The schema.
    pub schema: Schema,
    /// The methods.
    pub methods: Arc<[Batched]>,
}

/// Builds the schema from the contract.
///
/// # Errors
/// Types do not hold together.
pub fn build(contract: &Contract, routes: &Routes, settings: &GraphqlSettings) -> Result<Built, StartError> {
    let comments = Comments::of(contract.pool());
    let mut types = Types::new(&comments);
    let mut query = Object::new("Query").description("Reads.");
    let mut mutation = Object::new("Mutation").description("Writes, by the same rules as everywhere.");
    let mut sorted: Vec<_> = routes.all().cloned().collect();
    sorted.sort_by(|a, b| (&a.service, a.template.len()).cmp(&(&b.service, b.template.len())));
    let mut made = std::collections::HashSet::new();
    for route in &sorted {
        if !made.insert(route.method.full_name().to_owned()) {
            continue;
        }
        if let Some((_, field)) = root::field(route, &mut types) {
            if route.reads {
                query = query.field(field);
            } else {
                mutation = mutation.field(field);
            }
        } else {
            made.remove(route.method.full_name());
        }
    }
    let mut methods = Vec::new();
    for relation in RELATIONS {
        relate(relation, contract.pool(), &mut types, &mut methods);
    }
    let subscription = subscriptions(contract.pool(), &mut types);
    let mut builder = Schema::build("Query", Some("Mutation"), Some("Subscription"))
        .disable_suggestions()
        .limit_recursive_depth(32)
        .limit_directives(5)
        .register(query)
        .register(mutation)
        .register(subscription);
    if !settings.introspection {
        builder = builder.disable_introspection();
    }
    for scalar in Types::scalars() {
        builder = builder.register(scalar);
    }
    let Types {
        objects,
        inputs,
        enums,
        ..
    } = types;
    for object in objects.into_values() {
        builder = builder.register(object);
    }
    for input in inputs.into_values() {
        builder = builder.register(input);
    }
    for one in enums.into_values() {
        builder = builder.register(one);
    }
    Ok(Built {
        schema: builder
            .finish()
            .map_err(|error| StartError::Descriptors(error.to_string()))?,
        methods: methods.into(),
    })
}

/// Adds a relation's field, where message and method are in the contract.
fn relate(
    relation: &'static Relation,
    pool: &DescriptorPool,
    types: &mut Types<'_>,
    methods: &mut Vec<Batched>,
) {
    let Some(on) = types.name_of(relation.on).cloned() else {
        return;
    };
    let field = match relation.reads {
        Reads::Same => {
            let ty = TypeRef::named("DateTime");
            Some(read(relation.field, relation.from, ty, Shape::Leaf))
        }
        Reads::Owner => relations::method(pool, MEMBERS).map(|method| {
            let key = Some("id");
            let at = index_of(methods, Batched { method, key });
            let ty = TypeRef::named(types.owner());
            Field::new(relation.field, ty, move |ctx| {
                FieldFuture::new(async move { contained(&ctx, owner(&ctx, relation, at).await) })
            })
        }),
        Reads::One { method, key, pick } => relations::method(pool, method).and_then(|method| {
            let Kind::Message(record) = relations::records(&method, false)?.kind() else {
                return None;
            };
            let at = index_of(
                methods,
                Batched {
                    method,
                    key: Some(key),
                },
            );
            let ty = match pick {
                Some(_) => TypeRef::named(TypeRef::STRING),
                None => TypeRef::named(types.object(&record)),
            };
            Some(Field::new(relation.field, ty, move |ctx| {
                FieldFuture::new(async move { contained(&ctx, one(&ctx, relation, at, pick).await) })
            }))
        }),
        Reads::Many { method, limit } => relations::method(pool, method).and_then(|method| {
            let Kind::Message(record) = relations::records(&method, true)?.kind() else {
                return None;
            };
            let at = index_of(methods, Batched { method, key: None });
            let ty = TypeRef::named_nn_list(types.object(&record));
            let argument = InputValue::new(limit, TypeRef::named(TypeRef::INT))
                .default_value(DEFAULT_OF_EACH)
                .description("How many at most: 1 to 200.");
            let field = Field::new(relation.field, ty, move |ctx| {
                FieldFuture::new(async move { contained(&ctx, many(&ctx, relation, at, limit).await) })
            });
            Some(field.argument(argument))
        }),
    };
    let Some(field) = field else { return };
    if let Some(object) = types.objects.remove(&on) {
        let object = object.field(field.description(relation.about));
        types.objects.insert(on, object);
    }
}

/// Methods that several relations read by share their calls.
fn index_of(methods: &mut Vec<Batched>, batched: Batched) -> usize {
    let same = |one: &Batched| one.method == batched.method && one.key == batched.key;
    methods.iter().position(same).unwrap_or_else(|| {
        methods.push(batched);
        methods.len() - 1
    })
}

type Resolved = async_graphql::Result<Option<FieldValue<'static>>>;

async fn load(
    ctx: &ResolverContext<'_>,
    relation: &Relation,
    batched: usize,
    limit: i32,
) -> async_graphql::Result<Option<Arc<Json>>> {
    let node = ctx.parent_value.try_downcast_ref::<Node>()?;
    let Some(id) = node.0.get(relation.from).and_then(Json::as_str) else {
        return Ok(None);
    };
    let key = Key {
        batched,
        limit,
        id: id.to_owned(),
    };
    let found = ctx.data::<Ask>()?.loader.load(key).await;
    found.transpose().map_err(|error| of_api(&error))
}

/// A user: the id that the record has, and the name of the member, if it is one.
async fn owner(ctx: &ResolverContext<'_>, relation: &Relation, members: usize) -> Resolved {
    let node = ctx.parent_value.try_downcast_ref::<Node>()?;
    let id = node.0.get(relation.from).and_then(Json::as_str);
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let member = load(ctx, relation, members, 0).await?;
    let name = member.and_then(|member| member.get("name").cloned());
    let user = serde_json::json!({ "id": id, "name": name });
    Ok(Some(FieldValue::owned_any(Node(Arc::new(user)))))
}

async fn one(ctx: &ResolverContext<'_>, relation: &Relation, batched: usize, pick: Option<&str>) -> Resolved {
    let Some(record) = load(ctx, relation, batched, 0).await? else {
        return Ok(None);
    };
    match pick {
        Some(name) => give(record.get(name).cloned().unwrap_or(Json::Null), Shape::Leaf),
        None => Ok(Some(FieldValue::owned_any(Node(record)))),
    }
}

async fn many(ctx: &ResolverContext<'_>, relation: &Relation, batched: usize, argument: &str) -> Resolved {
    let limit = match ctx.args.get(argument) {
        Some(value) if !value.is_null() => i32::try_from(value.i64()?).unwrap_or(0),
        _ => i32::try_from(DEFAULT_OF_EACH).unwrap_or(MAX_OF_EACH),
    };
    if !(1..=MAX_OF_EACH).contains(&limit) {
        let message = format!("{argument} is from 1 to {MAX_OF_EACH}");
        let error = ApiError::invalid(format!("/{argument}"), "out_of_range", message);
        return Err(of_api(&error));
    }
    let found = load(ctx, relation, batched, limit).await?.unwrap_or_else(none);
    let Json::Array(items) = &*found else {
        return Err(of_api(&ApiError::internal()));
    };
    let nodes = items
        .iter()
        .map(|item| FieldValue::owned_any(Node(Arc::new(item.clone()))));
    Ok(Some(FieldValue::list(nodes)))
}

/// Streams of events: name, event type, message, and the field of it that is given.
const SUBSCRIPTIONS: [(&str, &str, &str, Option<&str>, &str); 2] = [
    (
        "signals",
        "signal.received",
        "devsignal.signals.v1.Signal",
        Some("signal"),
        "Signals, as they are recorded.",
    ),
    (
        "scoreChanges",
        "account.score_changed",
        "devsignal.events.v1.AccountScoreChanged",
        None,
        "Changes of score, tier or trend, as they happen.",
    ),
];

fn subscriptions(pool: &DescriptorPool, types: &mut Types<'_>) -> Subscription {
    let mut all = Subscription::new("Subscription").description("What happens, as it happens.");
    for (name, event, message, part, about) in SUBSCRIPTIONS {
        let Some(message) = pool.get_message_by_name(message) else {
            continue;
        };
        let ty = TypeRef::named_nn(types.object(&message));
        let field = SubscriptionField::new(name, ty, move |ctx| {
            let account = ctx
                .args
                .get("accountId")
                .and_then(|v| v.string().ok().map(str::to_owned));
            SubscriptionFieldFuture::new(async move {
                let ask = ctx.data::<Ask>()?;
                let told = ask
                    .streams
                    .listen(&ask.caller, event)
                    .map_err(|error| of_api(&error))?;
                let records = told.filter_map(move |json| {
                    let record = taken(&json, part, account.as_deref());
                    std::future::ready(record.map(|json| Ok(FieldValue::owned_any(Node(Arc::new(json))))))
                });
                Ok(records)
            })
        });
        let account = InputValue::new("accountId", TypeRef::named(TypeRef::ID));
        all = all.field(
            field
                .description(about)
                .argument(account.description("Only of this account.")),
        );
    }
    all
}

/// The record of an event, if it is wanted.
fn taken(json: &str, part: Option<&str>, account: Option<&str>) -> Option<Json> {
    let mut event: Json = serde_json::from_str(json).ok()?;
    let mut data = event.get_mut("data")?.take();
    let record = match part {
        Some(part) => data.get_mut(part)?.take(),
        None => data,
    };
    let wanted = account.is_none_or(|id| record.get("accountId").and_then(Json::as_str) == Some(id));
    wanted.then_some(record)
}
