//! The end of connections that may not be: of credentials that were revoked or expired, and of those above a quota.
//!
//! Owns what is asked of the broker's system account. Looks every second, takes no input and can be killed anywhere; of
//! several processes each does the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use futures::StreamExt as _;
use jiff::Timestamp;
use lifecycle::{Shutdown, TaskError};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use settings::Secret;
use uuid::Uuid;

use super::directory::Directory;

/// A revoked credential's connections end within five seconds.
const PAUSE: Duration = Duration::from_secs(1);
/// After the first server's answer, how long others of the cluster are waited for.
const OTHERS: Duration = Duration::from_millis(100);
const FIRST: Duration = Duration::from_secs(2);
/// Connections of one answer: a kilobyte each, below the broker's largest message.
const PAGE: usize = 512;

/// Connections of each credential at the last look.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<Mutex<HashMap<Uuid, u32>>>);

impl Counts {
    pub(super) fn of(&self, credential: Uuid) -> u32 {
        self.0.lock().get(&credential).copied().unwrap_or(0)
    }
}

pub(super) struct Watch<D> {
    pub(super) system_url: Secret<String>,
    pub(super) account: String,
    pub(super) directory: Arc<D>,
    pub(super) counts: Counts,
}

#[derive(Deserialize)]
struct Answer {
    server: Server,
    #[serde(default)]
    data: Page,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize, Default)]
struct Page {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    cid: u64,
    start: Timestamp,
    /// The name it came with: a credential's id.
    #[serde(default)]
    authorized_user: String,
}

/// A connection of a partner.
struct Open {
    server: String,
    cid: u64,
    start: Timestamp,
    credential: Option<Uuid>,
}

impl<D: Directory> Watch<D> {
    pub(super) async fn run(self: Arc<Self>, shutdown: Shutdown) -> Result<(), TaskError> {
        let system = crate::bus::open_plainly(&self.system_url, "partners").await?;
        loop {
            if let Err(error) = self.look(&system).await {
                tracing::warn!(%error, "partners' connections could not be looked at");
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn look(&self, system: &Client) -> anyhow::Result<()> {
        let mut open = self.open(system).await?;
        let mut credentials: Vec<Uuid> = open.iter().filter_map(|o| o.credential).collect();
        credentials.sort_unstable();
        credentials.dedup();
        let standing = if credentials.is_empty() {
            HashMap::new()
        } else {
            self.directory.standing(&credentials).await?
        };
        // The oldest stay.
        open.sort_by_key(|connection| (connection.start, connection.cid));
        let mut counts: HashMap<Uuid, u32> = HashMap::new();
        for connection in &open {
            let allowed = connection
                .credential
                .and_then(|id| standing.get(&id))
                .copied()
                .unwrap_or(0);
            let count = connection
                .credential
                .map_or(0, |id| *counts.get(&id).unwrap_or(&0));
            if count < allowed {
                counts.extend(connection.credential.map(|id| (id, count + 1)));
            } else {
                self.end(system, connection).await?;
            }
        }
        *self.counts.0.lock() = counts;
        Ok(())
    }

    async fn end(&self, system: &Client, connection: &Open) -> anyhow::Result<()> {
        tracing::info!(credential = ?connection.credential, cid = connection.cid, "ending a partner's connection");
        let subject = format!("$SYS.REQ.SERVER.{}.KICK", connection.server);
        let body = json!({"cid": connection.cid}).to_string();
        system.request(subject, body.into()).await?;
        Ok(())
    }

    async fn open(&self, system: &Client) -> anyhow::Result<Vec<Open>> {
        let mut open = Vec::new();
        for offset in (0..).step_by(PAGE) {
            let answers = self.page(system, offset).await?;
            anyhow::ensure!(!answers.is_empty(), "no server answered");
            let more = answers.iter().any(|a| a.data.total > offset + PAGE);
            for answer in answers {
                let server = answer.server.id;
                open.extend(answer.data.connections.into_iter().map(|connection| Open {
                    server: server.clone(),
                    cid: connection.cid,
                    start: connection.start,
                    credential: Uuid::try_parse(&connection.authorized_user).ok(),
                }));
            }
            if !more {
                break;
            }
        }
        Ok(open)
    }

    /// One page of every server's connections.
    async fn page(&self, system: &Client, offset: usize) -> anyhow::Result<Vec<Answer>> {
        let inbox = system.new_inbox();
        let mut answers = system.subscribe(inbox.clone()).await?;
        let body = json!({"acc": self.account, "auth": true, "limit": PAGE, "offset": offset}).to_string();
        let asked = system.publish_with_reply("$SYS.REQ.SERVER.PING.CONNZ", inbox, body.into());
        asked.await?;
        let mut pages = Vec::new();
        let mut wait = FIRST;
        while let Ok(Some(message)) = tokio::time::timeout(wait, answers.next()).await {
            pages.push(serde_json::from_slice(&message.payload)?);
            wait = OTHERS;
        }
        Ok(pages)
    }
}
