//! Many reads as few calls.
//!
//! An execution is driven here: whatever its resolvers ask for until none of them can go on is one call per method, whose
//! answers all arrive at once. The number of calls follows from the query alone, never from timing, which is why this is not
//! async-graphql's own loader: that one waits for a millisecond.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use errors::ApiError;
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::task::{ArcWake, AtomicWaker, waker};
use parking_lot::Mutex;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use serde_json::{Value as Json, json};

use crate::backends::Backends;
use crate::transcode::{Call, OnBehalf, to_json};

/// Ids of one call that lists records of each.
const OWNERS: usize = 200;
/// Ids of one call that reads single records.
const SINGLES: usize = 1_000;

/// Polls in a row of an execution that wakes itself, before others on the thread have their turn.
const MAX_AGAIN: usize = 64;

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

/// What resolvers wait for. Cheap to clone.
#[derive(Clone, Default)]
pub struct Loader(Arc<Mutex<Vec<(Key, Waiting)>>>);

type Waiting = oneshot::Sender<Option<Found>>;
type ById = Result<HashMap<String, Arc<Json>>, ApiError>;
type InFlight = BoxFuture<'static, (HashMap<String, Vec<Waiting>>, ById)>;

impl Loader {
    /// What there is by a key. Answered only while the execution is driven by [`Batches::drive`].
    pub async fn load(&self, key: Key) -> Option<Found> {
        let (send, receive) = oneshot::channel();
        self.0.lock().push((key, send));
        receive.await.ok().flatten()
    }
}

/// Tells whether the execution woke itself while it was polled.
#[derive(Default)]
struct Wakes {
    woken: AtomicBool,
    outer: AtomicWaker,
}

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.woken.store(true, Ordering::Release);
        this.outer.wake();
    }
}

impl Batches {
    /// Drives an execution that reads through `loader`.
    pub fn drive<T: Send + 'static>(
        self: Arc<Self>,
        loader: Loader,
        mut execution: BoxStream<'static, T>,
    ) -> BoxStream<'static, T> {
        let mut calls: FuturesUnordered<InFlight> = FuturesUnordered::new();
        let wakes = Arc::new(Wakes::default());
        let driven = futures::stream::poll_fn(move |cx| {
            wakes.outer.register(cx.waker());
            let (inner, mut again) = (waker(Arc::clone(&wakes)), 0);
            loop {
                while let Poll::Ready(Some((waiting, answered))) = calls.poll_next_unpin(cx) {
                    deliver(waiting, &answered);
                }
                wakes.woken.store(false, Ordering::Release);
                if let Poll::Ready(next) = execution.poll_next_unpin(&mut Context::from_waker(&inner)) {
                    return Poll::Ready(next);
                }
                // It only paused: more may be asked for before anything is read.
                if wakes.woken.load(Ordering::Acquire) {
                    again += 1;
                    if again > MAX_AGAIN {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    continue;
                }
                let wanted = std::mem::take(&mut *loader.0.lock());
                if wanted.is_empty() {
                    return Poll::Pending;
                }
                for call in Arc::clone(&self).calls(wanted) {
                    calls.push(call);
                }
            }
        });
        driven.boxed()
    }

    fn calls(self: Arc<Self>, wanted: Vec<(Key, Waiting)>) -> Vec<InFlight> {
        let mut groups: HashMap<(usize, i32), HashMap<String, Vec<Waiting>>> = HashMap::new();
        for (key, waiting) in wanted {
            let group = groups.entry((key.batched, key.limit)).or_default();
            group.entry(key.id).or_default().push(waiting);
        }
        let mut calls: Vec<InFlight> = Vec::with_capacity(groups.len());
        for ((batched, limit), group) in groups {
            let most = if self.methods[batched].key.is_some() {
                SINGLES
            } else {
                OWNERS
            };
            let mut rest = group.into_iter().peekable();
            while rest.peek().is_some() {
                let chunk: HashMap<String, Vec<Waiting>> = rest.by_ref().take(most).collect();
                let this = Arc::clone(&self);
                calls.push(Box::pin(async move {
                    let ids: Vec<String> = chunk.keys().cloned().collect();
                    let answered = this.call(&this.methods[batched], limit, &ids).await;
                    (chunk, answered)
                }));
            }
        }
        calls
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
            address: self.who.address.clone(),
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

/// One service that is away fails what was to be read there, and nothing else.
fn deliver(waiting: HashMap<String, Vec<Waiting>>, answered: &ById) {
    for (id, waiting) in waiting {
        let found = match answered {
            Ok(by_id) => by_id.get(&id).cloned().map(Ok),
            Err(error) => Some(Err(error.clone())),
        };
        for one in waiting {
            // Whoever does not wait any more needs no answer.
            drop(one.send(found.clone()));
        }
    }
}

/// Nothing found, for lists.
pub fn none() -> Arc<Json> {
    Arc::new(json!([]))
}
