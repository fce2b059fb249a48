//! The gateway's settings, one struct per concern; `default.toml` is their reference.

use std::path::Path;
use std::time::Duration;

use admin::AdminSettings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventbus::BusSettings;
use eventbus::partners::PartnerSettings;
use rpc::ChannelSettings;
use serde::Deserialize;
use settings::{Secret, SettingsError, Validate};
use store::DbSettings;
use telemetry::TelemetryConfig;

use crate::mail::MailSettings;
use crate::webhooks::WebhookSettings;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// What this process does.
    pub roles: RoleSettings,
    /// Public HTTP.
    pub http: HttpSettings,
    /// Public gRPC.
    pub grpc: GrpcSettings,
    /// The operators' port, where the gateway is a process of its own.
    pub admin: AdminSettings,
    /// Where the services are.
    pub backends: BackendSettings,
    /// API keys.
    pub access: AccessSettings,
    /// Mail.
    pub mail: MailSettings,
    /// Rate limits.
    pub limits: LimitSettings,
    /// The ingest path.
    pub ingest: IngestSettings,
    /// Idempotency keys of writes.
    pub idempotency: IdempotencySettings,
    /// The event stream.
    pub events: EventSettings,
    /// GraphQL.
    pub graphql: GraphqlSettings,
    /// Webhooks.
    pub webhooks: WebhookSettings,
    /// Partners who read events from the broker directly.
    pub partners: PartnerSettings,
    /// Keys.
    pub security: SecuritySettings,
    /// The gateway's schema.
    pub database: DbSettings,
    /// The bus, read for the event stream.
    pub bus: BusSettings,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// What this process does. The roles scale apart: processes of either or of both.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct RoleSettings {
    /// Whether it serves clients.
    pub edge: bool,
    /// Whether it delivers webhooks.
    pub deliver: bool,
}

/// Public HTTP.
#[derive(Debug, Clone, Deserialize)]
pub struct HttpSettings {
    /// `address:port`.
    pub listen: String,
    /// Serving threads; 0 takes one per core.
    pub workers: usize,
    /// Connections per worker.
    pub max_connections: usize,
    /// Time for a request's head, in milliseconds.
    pub head_timeout_ms: u64,
    /// Time for a request's body (per MiB begun), in milliseconds.
    pub body_timeout_ms: u64,
    /// Largest body of ingest, after decoding.
    pub max_body_bytes: usize,
    /// Largest body of other REST calls, after decoding.
    pub max_rest_body_bytes: usize,
    /// Largest body of a webhook delivery.
    pub max_hook_body_bytes: usize,
    /// Largest file of an import; it passes through, and is never held.
    pub max_import_bytes: u64,
    /// How long an idle connection is kept, in seconds.
    pub keep_alive_secs: u64,
    /// Time for requests in flight at shutdown, in seconds.
    pub drain_secs: u64,
}

/// Public gRPC.
#[derive(Debug, Clone, Deserialize)]
pub struct GrpcSettings {
    /// `address:port`.
    pub listen: String,
    /// Longest time of a call, in milliseconds.
    pub deadline_ms: u64,
    /// Calls at the same time on one connection.
    pub max_concurrent_streams: u32,
    /// Whether reflection is served.
    pub reflection: bool,
}

/// Where the services are.
#[derive(Debug, Clone, Deserialize)]
pub struct BackendSettings {
    /// `devsignal.signals.v1`.
    pub signal_ingest: ChannelSettings,
    /// Only its stages are asked for.
    pub identity_resolver: ChannelSettings,
    /// `devsignal.crm.v1`.
    pub crm: ChannelSettings,
    /// `devsignal.scores.v1`.
    pub scoring: ChannelSettings,
}

/// API keys.
#[derive(Debug, Clone, Deserialize)]
pub struct AccessSettings {
    /// Second part of new keys' text.
    pub environment: String,
    /// How long a known key is trusted, in milliseconds.
    pub key_cache_ms: u64,
    /// How long an unknown id is remembered, in milliseconds.
    pub unknown_key_cache_ms: u64,
    /// Keys remembered.
    pub cached_keys: u64,
    /// Ed25519 seeds in base64: the first signs access tokens, all verify them.
    pub token_keys: Vec<Secret<String>>,
    /// Tries to come in, per address and person; an address has ten times that.
    pub logins: Rate,
    /// Tries per person from addresses that are strange for them.
    pub strangers: Rate,
}

/// GraphQL.
#[derive(Debug, Clone, Deserialize)]
pub struct GraphqlSettings {
    /// Largest text of a query, in bytes.
    pub max_query_bytes: usize,
    /// Deepest nesting of fields.
    pub max_depth: usize,
    /// Most records that a query may ask for.
    pub max_cost: u64,
    /// Most aliases in a query.
    pub max_aliases: usize,
    /// Time for a query, in milliseconds.
    pub timeout_ms: u64,
    /// Whether the schema can be asked for.
    pub introspection: bool,
}

/// Rate limits.
#[derive(Debug, Clone, Deserialize)]
pub struct LimitSettings {
    /// An organization has this times the limits of a key.
    pub organization_factor: u32,
    /// GET and HEAD.
    pub read: Rate,
    /// POST, PATCH, DELETE.
    pub write: Rate,
    /// Signals.
    pub ingest: Rate,
}

/// One rate.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Rate {
    /// Requests per minute in the long run.
    pub per_minute: u32,
    /// Requests at once.
    pub burst: u32,
}

/// The ingest path.
#[derive(Debug, Clone, Deserialize)]
pub struct IngestSettings {
    /// Bulk calls in flight.
    pub lanes: usize,
    /// Most requests in one bulk call.
    pub group_items: usize,
    /// Most bytes of bodies in one bulk call (a single larger body goes alone).
    pub group_bytes: usize,
    /// Least time between the beginnings of a lane's bulk calls, in milliseconds.
    pub breath_ms: u64,
    /// So many waiting requests do not wait for it.
    pub crowd: usize,
    /// Most requests waiting.
    pub queue_items: usize,
    /// Most bytes waiting.
    pub queue_bytes: usize,
}

/// Idempotency keys of writes.
#[derive(Debug, Clone, Deserialize)]
pub struct IdempotencySettings {
    /// How long an answer is kept, in hours.
    pub keep_hours: u32,
    /// How long a running request holds its record, in seconds.
    pub lock_secs: u32,
}

/// The event stream.
#[derive(Debug, Clone, Deserialize)]
pub struct EventSettings {
    /// Memory for the newest events.
    pub buffer_bytes: usize,
    /// Streams that read from the broker at the same time.
    pub max_catching_up: usize,
    /// Streams at the same time.
    pub max_streams: usize,
    /// Pause between comments, in seconds.
    pub heartbeat_secs: u64,
    /// What clients wait before they come back, in milliseconds.
    pub retry_ms: u64,
    /// Time for a WebSocket's client to read or to acknowledge, in seconds.
    pub patience_secs: u64,
}

/// Keys.
#[derive(Debug, Clone, Deserialize)]
pub struct SecuritySettings {
    /// Ed25519 seed in base64.
    pub signing_key: Secret<String>,
    /// 32 bytes in base64.
    pub secret_key: Secret<String>,
}

impl SecuritySettings {
    /// The bytes of `secret_key`.
    ///
    /// # Errors
    /// It is not 32 bytes in base64.
    pub fn secret_bytes(&self) -> Result<[u8; 32], SettingsError> {
        let bytes = STANDARD.decode(self.secret_key.expose()).unwrap_or_default();
        bytes
            .try_into()
            .map_err(|_| SettingsError::invalid("security.secret_key", "it must be 32 bytes in base64"))
    }
}

impl Settings {
    /// The keys of access tokens: those of the settings, or one derived from the secret.
    #[must_use]
    pub fn token_keys(&self, secret: &[u8; 32]) -> Vec<Secret<String>> {
        if self.access.token_keys.is_empty() {
            let derived = crate::secrets::derive(secret, "access-token-key");
            return vec![Secret::new(STANDARD.encode(derived))];
        }
        self.access.token_keys.clone()
    }
}

impl HttpSettings {
    /// The time that a body of this size may take.
    #[must_use]
    pub fn body_timeout(&self, bytes: u64) -> Duration {
        Duration::from_millis(self.body_timeout_ms.saturating_mul(1 + bytes / (1 << 20)))
    }
}

impl Settings {
    /// Loads the layers, see [`settings::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Option<serde_json::Value>,
    ) -> Result<Self, SettingsError> {
        settings::load("gateway", include_str!("../default.toml"), file, env, overrides)
    }
}

/// A revoked key must be refused within five seconds; an open stream looks at its key every 0.8.
const MAX_KEY_CACHE_MS: u64 = 4_000;

impl Validate for Settings {
    fn validate(&self) -> Result<(), SettingsError> {
        self.database.validate()?;
        self.bus.validate()?;
        self.partners.validate()?;
        self.telemetry
            .check()
            .map_err(|error| SettingsError::invalid("telemetry", error.to_string()))?;
        self.security.secret_bytes()?;
        rpc::KeyPair::public_of(&self.security.signing_key)
            .map_err(|_| SettingsError::invalid("security.signing_key", "it must be 32 bytes in base64"))?;
        self.check_access()?;
        self.mail.check()?;
        rule(
            self.roles.edge || self.roles.deliver,
            "roles",
            "a process that does nothing is none",
        )?;
        self.webhooks.check()?;
        self.check_bounds()
    }
}

fn rule(holds: bool, key: &str, reason: &str) -> Result<(), SettingsError> {
    if holds {
        Ok(())
    } else {
        Err(SettingsError::invalid(key, reason))
    }
}

impl Settings {
    fn check_access(&self) -> Result<(), SettingsError> {
        let access = &self.access;
        rule(
            (1..=MAX_KEY_CACHE_MS).contains(&access.key_cache_ms),
            "access.key_cache_ms",
            "a revocation must take effect within five seconds: 1 to 4000",
        )?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        rule(
            (1..=16).contains(&access.environment.len()) && access.environment.bytes().all(plain),
            "access.environment",
            "it must be 1 to 16 of a-z and 0-9",
        )?;
        for (key, rate) in [
            ("limits.read", self.limits.read),
            ("limits.write", self.limits.write),
            ("limits.ingest", self.limits.ingest),
            ("access.logins", access.logins),
            ("access.strangers", access.strangers),
        ] {
            rule(
                rate.per_minute > 0 && rate.burst > 0,
                key,
                "rate and burst must be above zero",
            )?;
        }
        rule(
            self.limits.organization_factor > 0,
            "limits.organization_factor",
            "it must be above zero",
        )
    }

    fn check_bounds(&self) -> Result<(), SettingsError> {
        rule(
            self.http.max_body_bytes >= 4 << 20,
            "http.max_body_bytes",
            "a batch may have 4 MiB",
        )?;
        // actix reads its clock twice a second: a shorter timeout can be over before it begins.
        rule(
            self.http.head_timeout_ms >= 1_000,
            "http.head_timeout_ms",
            "it must be at least 1000",
        )?;
        rule((1..=64).contains(&self.ingest.lanes), "ingest.lanes", "1 to 64")?;
        rule(self.ingest.breath_ms <= 1_000, "ingest.breath_ms", "at most 1000")?;
        rule(self.ingest.crowd >= 1, "ingest.crowd", "at least 1")?;
        rule(
            (1 << 20..=24 << 20).contains(&self.ingest.group_bytes),
            "ingest.group_bytes",
            "1 MiB to 24 MiB: a group is one message to signal-ingest",
        )?;
        rule(
            (1..=30).contains(&self.graphql.max_depth),
            "graphql.max_depth",
            "1 to 30: the parser and the resolvers recurse",
        )?;
        rule(
            (1..=15).contains(&self.events.heartbeat_secs),
            "events.heartbeat_secs",
            "1 to 15",
        )?;
        rule(
            (1..=300).contains(&self.events.patience_secs),
            "events.patience_secs",
            "1 to 300",
        )?;
        if u64::from(self.idempotency.lock_secs) * 1000 <= self.slowest_call_ms() {
            return Err(SettingsError::contradiction(
                "idempotency.lock_secs",
                "backends.*.call_timeout_ms",
                "a call that still runs must not be taken for lost",
            ));
        }
        Ok(())
    }

    fn slowest_call_ms(&self) -> u64 {
        let b = &self.backends;
        let all = [&b.signal_ingest, &b.identity_resolver, &b.crm, &b.scoring];
        all.iter().map(|c| c.call_timeout_ms).max().unwrap_or(0)
    }
}
