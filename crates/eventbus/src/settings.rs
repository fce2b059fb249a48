//! The settings of the bus. One section (`bus`) of every service's settings document.

use serde::Deserialize;
use settings::{Secret, SettingsError, Validate};

/// How to reach the broker and what its streams look like. Every key has a default, so a document names only what
/// differs.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusSettings {
    /// Servers, separated by commas: `nats://host:port`. User and password may be part of it, for development.
    pub url: String,
    /// User name; empty when the address has one, or for a broker without authentication.
    pub user: String,
    /// Password of the user.
    pub password: Secret<String>,
    /// Name of this client in the broker's lists, and of its inbox: the service's. Letters, digits, dashes and underscores.
    pub client_name: String,
    /// Put before every subject and stream name, so that tests can share a broker; empty in production.
    /// Letters, digits and dashes.
    pub namespace: String,
    /// Copies of each stream: 1 on a single node, 3 in a cluster.
    pub replicas: usize,
    /// Size of the stream of public events. When it is full, publishing waits in the outbox.
    pub events_max_bytes: i64,
    /// Age after which a public event leaves the stream.
    pub events_max_age_secs: u64,
    /// Size of the stream between pipeline stages. When it is full, publishing waits in the outbox.
    pub pipeline_max_bytes: i64,
    /// Age after which a pipeline message leaves the stream.
    pub pipeline_max_age_secs: u64,
    /// Size of the stream of the broker's advisories about messages given up on.
    pub advisories_max_bytes: i64,
    /// How long the broker recognises a message published twice. Must be longer than any retry of the relay.
    pub duplicate_window_secs: u64,
    /// How long a publish waits for the broker's acknowledgement before it is repeated.
    pub ack_timeout_ms: u64,
    /// How long a start waits for the broker before it goes on without (the outbox holds what is written meanwhile).
    pub connect_wait_ms: u64,
    /// Most rows that the relay has in flight at once.
    pub relay_batch_rows: u32,
    /// Most payload that the relay has in flight at once; one row above it still travels, alone.
    pub relay_batch_bytes: u32,
    /// How often the consumers of a service look for dead letters to run again.
    pub redrive_poll_ms: u64,
}

impl Default for BusSettings {
    fn default() -> Self {
        const GIB: i64 = 1 << 30;
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            user: String::new(),
            password: Secret::new(String::new()),
            client_name: "devsignal".to_owned(),
            namespace: String::new(),
            replicas: 1,
            events_max_bytes: 8 * GIB,
            events_max_age_secs: 30 * 24 * 3600,
            pipeline_max_bytes: 4 * GIB,
            pipeline_max_age_secs: 7 * 24 * 3600,
            advisories_max_bytes: 64 << 20,
            duplicate_window_secs: 30 * 60,
            ack_timeout_ms: 2_000,
            connect_wait_ms: 5_000,
            relay_batch_rows: 256,
            relay_batch_bytes: 4 << 20,
            redrive_poll_ms: 2_000,
        }
    }
}

/// Leaves out what an address may hold: user and password.
impl std::fmt::Debug for BusSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<&str> = self
            .url
            .split(',')
            .map(|url| url.rsplit('@').next().unwrap_or_default())
            .collect();
        f.debug_struct("BusSettings")
            .field("hosts", &hosts)
            .field("user", &self.user)
            .field("client_name", &self.client_name)
            .field("namespace", &self.namespace)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

impl Validate for BusSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        let refuse = |key: &str, reason: &str| Err(SettingsError::invalid(format!("bus.{key}"), reason));
        if self.url.is_empty() {
            return refuse("url", "it must name at least one server");
        }
        if !self
            .namespace
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-')
        {
            return refuse("namespace", "only letters, digits and dashes are allowed");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.client_name.is_empty() || !self.client_name.chars().all(plain) {
            return refuse(
                "client_name",
                "only letters, digits, dashes and underscores are allowed",
            );
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return refuse("replicas", "it must be 1, 3 or 5");
        }
        for (key, bytes) in [
            ("events_max_bytes", self.events_max_bytes),
            ("pipeline_max_bytes", self.pipeline_max_bytes),
            ("advisories_max_bytes", self.advisories_max_bytes),
        ] {
            if bytes < 1 << 20 {
                return refuse(key, "it must be at least 1 MiB");
            }
        }
        if self.relay_batch_rows == 0 || self.relay_batch_bytes == 0 {
            return refuse("relay_batch_rows", "the relay's batch must hold something");
        }
        if !(100..=60_000).contains(&self.ack_timeout_ms) {
            return refuse("ack_timeout_ms", "it must be between 100 ms and 60 s");
        }
        if !(10..=600_000).contains(&self.redrive_poll_ms) {
            return refuse("redrive_poll_ms", "it must be between 10 ms and 10 minutes");
        }
        let shortest = self.events_max_age_secs.min(self.pipeline_max_age_secs);
        if self.duplicate_window_secs == 0 || self.duplicate_window_secs > shortest {
            return Err(SettingsError::contradiction(
                "bus.duplicate_window_secs",
                "bus.pipeline_max_age_secs",
                "the window must be above zero and at most the age of the shortest-lived stream",
            ));
        }
        Ok(())
    }
}
