//! Many reads of one tick as few calls.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use errors::ApiError;
use futures::future::join_all;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use serde_json::{Value as Json, json};

use crate::backends::Backends;
use crate::transcode::{Call, OnBehalf, to_json};
use prost::Message as _;

/// Ids of one call that lists records of each.
const OWNERS: usize = 200;
/// Ids of one call that reads single records.
const SINGLES: usize = 1_000;

/// A method that reads many at once.
#[derive(Debug)]
pub struct Batched {
    /// The method.
    pub method: MethodDescriptor,
    /// Name in JSON of the record's field that holds the id; `None` when records come in groups by id.
    pub key: Option<&'static str>,
}

/// One read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which method.
    pub batched: usize,
    /// How many of each, for lists.
    pub limit: i32,
    /// By which id.
    pub id: String,
}

/// Reads for one request, on behalf of its caller.
pub struct Batches {
    /// The methods.
    pub methods: Arc<[Batched]>,
    /// The services.
    pub backends: Backends,
    /// The caller.
    pub who: OnBehalf,
}

/// What was found: a record, or a list of records.
pub type Found = Result<Arc<Json>, ApiError>;

impl Loader<Key> for Batches {
    type Value = Found;
    // Failures are values: one service that is away does not fail what others read in the same tick.
    type Error = Arc<ApiError>;

    async fn load(&self, keys: &[Key]) -> Result<HashMap<Key, Found>, Arc<ApiError>> {
        let mut groups: HashMap<(usize, i32), Vec<&str>> = HashMap::new();
        for key in keys {
            groups.entry((key.batched, key.limit)).or_default().push(&key.id);
        }
        let calls = groups.into_iter().flat_map(|((batched, limit), ids)| {
            let most = if self.methods[batched].key.is_some() {
                SINGLES
            } else {
                OWNERS
            };
            let chunks: Vec<Vec<String>> = ids
                .chunks(most)
                .map(|ids| ids.iter().map(|id| (*id).to_owned()).collect())
                .collect();
            chunks.into_iter().map(move |ids| self.read(batched, limit, ids))
        });
        let mut all = HashMap::with_capacity(keys.len());
        for (batched, limit, ids, answered) in join_all(calls).await {
            for id in ids {
                let found = match &answered {
                    Ok(by_id) => by_id.get(&id).cloned().map(Ok),
                    Err(error) => Some(Err(error.clone())),
                };
                if let Some(found) = found {
                    all.insert(Key { batched, limit, id }, found);
                }
            }
        }
        Ok(all)
    }
}

type Answered = (
    usize,
    i32,
    Vec<String>,
    Result<HashMap<String, Arc<Json>>, ApiError>,
);

impl Batches {
    async fn read(&self, batched: usize, limit: i32, ids: Vec<String>) -> Answered {
        let answered = self.call(&self.methods[batched], limit, &ids).await;
        (batched, limit, ids, answered)
    }

    async fn call(
        &self,
        batched: &Batched,
        limit: i32,
        ids: &[String],
    ) -> Result<HashMap<String, Arc<Json>>, ApiError> {
        let method = &batched.method;
        let mut message = DynamicMessage::new(method.input());
        let list = ids.iter().cloned().map(Value::String).collect();
        message.set_field_by_name("ids", Value::List(list));
        if batched.key.is_none() {
            message.set_field_by_name("limit", Value::I32(limit));
        }
        let service = method.parent_service();
        let channel = self.backends.of_service(service.full_name()).cloned();
        let call = Call {
            channel: channel.ok_or_else(ApiError::internal)?,
            path: format!("/{}/{}", service.full_name(), method.name())
                .parse()
                .map_err(|_| ApiError::internal())?,
            principal: self.who.principal.clone(),
            request_id: self.who.request_id.clone(),
            message: message.encode_to_vec().into(),
            reads: true,
        };
        let bytes = call.make(&self.backends).await?;
        let answer = DynamicMessage::decode(method.output(), bytes).map_err(|_| ApiError::internal())?;
        let mut answer = to_json(&answer);
        let (list, key) = match batched.key {
            Some(key) => (answer["data"].take(), key),
            None => (answer["groups"].take(), "id"),
        };
        let Json::Array(items) = list else {
            return Err(ApiError::internal());
        };
        let keyed = items.into_iter().filter_map(|mut item| {
            let id = item.get(key)?.as_str()?.to_owned();
            let value = if batched.key.is_some() {
                item
            } else {
                item["data"].take()
            };
            Some((id, Arc::new(value)))
        });
        Ok(keyed.collect())
    }
}

/// Nothing found, for lists.
pub fn none() -> Arc<Json> {
    Arc::new(json!([]))
}
