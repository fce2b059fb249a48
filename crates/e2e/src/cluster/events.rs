//! Follows the event stream, over lost connections and restarts, as a client would: with the id of the last event.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::task::JoinSet;

use super::Api;

/// The gateway sends a comment every ten seconds.
const SILENCE: Duration = Duration::from_secs(25);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// What was told so far.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// The events, once each, in the order of their first arrival.
    pub events: Vec<Value>,
    /// How many came again.
    pub repeats: u64,
    /// An event came twice with different content, or a line could not be read.
    pub faults: Vec<String>,
    /// How often a connection was made.
    pub connections: u32,
    /// Place in `events`, by id.
    known: HashMap<String, usize>,
}

/// A client that follows the stream until it is dropped.
#[derive(Debug)]
pub struct Follower {
    told: Arc<RwLock<Told>>,
    /// The place where it began.
    pub begin: String,
    _task: JoinSet<()>,
}

impl Follower {
    /// Follows from now on; what happens after this returns is seen.
    ///
    /// # Errors
    /// The stream cannot be opened.
    pub async fn start(api: &Api) -> anyhow::Result<Self> {
        Self::open(api, None).await
    }

    /// Follows from a place on.
    ///
    /// # Errors
    /// The stream cannot be opened there.
    pub async fn after(api: &Api, place: &str) -> anyhow::Result<Self> {
        Self::open(api, Some(place.to_owned())).await
    }

    async fn open(api: &Api, place: Option<String>) -> anyhow::Result<Self> {
        let told = Arc::new(RwLock::new(Told::default()));
        let mut reader = Reader {
            api: api.clone(),
            place,
            told: Arc::clone(&told),
            buffer: Vec::new(),
            connection: None,
        };
        while reader.place.is_none() || reader.connection.is_none() {
            reader.step().await?;
        }
        let begin = reader.place.clone().context("no id in the greeting")?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                if reader.step().await.is_err() {
                    reader.connection = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Ok(Self {
            told,
            begin,
            _task: task,
        })
    }

    /// What was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first event told that `matches`.
    pub fn find(&self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
        told.events.iter().find(|event| matches(event)).cloned()
    }
}

impl Told {
    /// Ids of the signals of all `signal.received`, in order.
    #[must_use]
    pub fn signals(&self) -> Vec<&str> {
        let received = self
            .events
            .iter()
            .filter(|event| event["type"] == "signal.received");
        received
            .filter_map(|event| event.pointer("/data/signal/id")?.as_str())
            .collect()
    }

    fn add(&mut self, event: Value) {
        let Some(id) = event["id"].as_str().map(str::to_owned) else {
            return self.faults.push(format!("an event without id: {event}"));
        };
        match self.known.get(&id) {
            None => {
                self.known.insert(id, self.events.len());
                self.events.push(event);
            }
            Some(at) if self.events[*at]["type"] == event["type"] => self.repeats += 1,
            Some(_) => self.faults.push(format!("the id of another event: {event}")),
        }
    }
}

struct Reader {
    api: Api,
    place: Option<String>,
    told: Arc<RwLock<Told>>,
    buffer: Vec<u8>,
    connection: Option<Response>,
}

impl Reader {
    /// Connects, or reads the next piece.
    async fn step(&mut self) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connection else {
            return self.connect().await;
        };
        let chunk = tokio::time::timeout(SILENCE, connection.chunk())
            .await
            .context("silence")??;
        self.buffer
            .extend_from_slice(&chunk.context("the stream has ended")?);
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            self.block(&String::from_utf8(block)?)?;
        }
        Ok(())
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        self.buffer.clear();
        // The usual time limit would end the stream.
        let mut request = self
            .api
            .bare(Method::GET, "/api/v1/events")
            .bearer_auth(self.api.key());
        if let Some(place) = &self.place {
            request = request.header("last-event-id", place);
        }
        let response = request.send().await?;
        if !response.status().is_success() {
            bail!("{}: {}", response.status(), response.text().await?);
        }
        self.connection = Some(response);
        self.told
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .connections += 1;
        Ok(())
    }

    fn block(&mut self, block: &str) -> anyhow::Result<()> {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(data) = field("data") {
            match serde_json::from_str(data) {
                Ok(event) => told.add(event),
                Err(error) => told.faults.push(format!("{error}: {data}")),
            }
        }
        if let Some(id) = field("id") {
            ensure!(!id.is_empty(), "an empty id");
            self.place = Some(id.to_owned());
        }
        Ok(())
    }
}
