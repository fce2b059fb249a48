//! signal-ingest's settings, one struct per concern; `default.toml` is their reference.

use std::path::Path;

use ::store::DbSettings;
use admin::AdminSettings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventbus::BusSettings;
use rpc::ServerSettings;
use serde::Deserialize;
use settings::{Secret, SettingsError, Validate};
use telemetry::TelemetryConfig;

use crate::SERVICE;
use crate::domain::limits::Limits;
use crate::domain::seal::Sealer;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Connections of the pipeline role besides those of lanes and of the record stage: relay, identity changes, upkeep.
const SPARE_CONNECTIONS: usize = 4;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The gRPC server.
    pub grpc: ServerSettings,
    /// The operators' port, where the service is a process of its own.
    pub admin: AdminSettings,
    /// Whom to believe.
    pub security: SecuritySettings,
    /// The key of sealed secrets.
    pub secrets: SecretSettings,
    /// What is accepted.
    pub limits: Limits,
    /// The accepting stage.
    pub accept: AcceptSettings,
    /// The recording stage.
    pub record: RecordSettings,
    /// Corrections because of identities.
    pub identity: StageSettings,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// Sources.
    pub sources: SourceSettings,
    /// GitHub's webhooks.
    pub github: GithubSettings,
    /// The schema.
    pub database: DbSettings,
    /// The bus.
    pub bus: BusSettings,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Whom to believe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecuritySettings {
    /// Ed25519 public keys (32 bytes each, base64) of the gateway that signs who calls.
    pub principal_keys: Vec<String>,
}

/// The key of sealed secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSettings {
    /// 32 bytes, base64.
    pub kek: Secret<String>,
}

/// The accepting stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptSettings {
    /// Transactions at once.
    pub lanes: usize,
    /// Signals in one transaction.
    pub group_signals: usize,
    /// Calls that may wait.
    pub queued_calls: usize,
    /// Signals that may wait.
    pub queued_signals: usize,
    /// Longest time for which a burst of small requests holds back the stages behind, in seconds; 0 for never.
    pub burst_secs: u64,
}

/// A consuming stage.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSettings {
    /// Messages handled at once.
    pub concurrency: usize,
    /// Longest time for one message.
    pub timeout_ms: u64,
}

/// The recording stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSettings {
    /// Batches in hand at once.
    pub concurrency: usize,
    /// Longest time for one batch.
    pub timeout_ms: u64,
    /// Transactions at once.
    pub lanes: usize,
    /// Most batches in one transaction.
    pub group_batches: usize,
    /// Most signals in one transaction; a larger batch goes alone.
    pub group_signals: usize,
    /// Least time between the beginnings of a lane's transactions.
    pub breath_ms: u64,
}

impl RecordSettings {
    /// As the consumer needs it.
    #[must_use]
    pub fn stage(&self) -> StageSettings {
        StageSettings {
            concurrency: self.concurrency,
            timeout_ms: self.timeout_ms,
        }
    }
}

/// How long things are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// Recorded signals and their idempotency keys.
    pub signals_days: u32,
    /// Accepted batches.
    pub batches_days: u32,
    /// Deliveries without a mapping.
    pub raw_deliveries_days: u32,
}

/// Sources.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// How long the state of a source is remembered.
    pub cache_ms: u64,
    /// How often the times of last signals are written.
    pub last_seen_ms: u64,
    /// Sources of one organization.
    pub max_per_organization: u32,
}

/// GitHub's webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubSettings {
    /// Bytes of one delivery.
    pub max_body_bytes: usize,
}

impl Settings {
    /// Defaults, then `file`, then `DEVSIGNAL_SIGNAL_INGEST__SECTION__KEY` of `env`, then `overrides`.
    ///
    /// # Errors
    /// A layer that cannot be read, an unknown key, a value that is not allowed.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Option<serde_json::Value>,
    ) -> Result<Self, SettingsError> {
        settings::load(SERVICE, DEFAULTS, file, env, overrides)
    }
}

impl SecretSettings {
    /// What seals and opens secrets.
    ///
    /// # Errors
    /// The key is missing or not 32 bytes in base64.
    pub fn sealer(&self) -> Result<Sealer, SettingsError> {
        let bytes = STANDARD
            .decode(self.kek.expose())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let refuse = || {
            SettingsError::invalid(
                "secrets.kek",
                "it must be 32 bytes in base64, from a random source",
            )
        };
        bytes.map(|key| Sealer::new(&key)).ok_or_else(refuse)
    }
}

impl Validate for Settings {
    fn validate(&self) -> Result<(), SettingsError> {
        self.database.validate()?;
        self.bus.validate()?;
        self.telemetry
            .check()
            .map_err(|error| SettingsError::invalid("telemetry.log_filter", error.to_string()))?;
        self.secrets.sealer()?;
        let keys = !self.security.principal_keys.is_empty();
        rule(
            keys,
            "security.principal_keys",
            "at least one key is needed, or no call could be believed",
        )?;
        self.limits_hold()?;
        self.stages_hold()?;
        self.contradictions()
    }
}

fn rule(holds: bool, key: &str, reason: &str) -> Result<(), SettingsError> {
    if holds {
        Ok(())
    } else {
        Err(SettingsError::invalid(key, reason))
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    key: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), SettingsError> {
    rule(
        value >= least && value <= most,
        key,
        &format!("it must be from {least} to {most}"),
    )
}

impl Settings {
    fn limits_hold(&self) -> Result<(), SettingsError> {
        const MIB: usize = 1024 * 1024;
        let limits = &self.limits;
        within("limits.max_items", limits.max_items, 1, 10_000)?;
        within("limits.max_body_bytes", limits.max_body_bytes, 1, 16 * MIB)?;
        // A larger signal may not fit into a message of the bus.
        within("limits.max_signal_bytes", limits.max_signal_bytes, 1, 65_536)?;
        within("limits.max_age_days", limits.max_age_days, 1, 36_500)?;
        within("limits.max_ahead_secs", limits.max_ahead_secs, 0, 86_400)?;
        within("github.max_body_bytes", self.github.max_body_bytes, 1, 31 * MIB)
    }

    fn stages_hold(&self) -> Result<(), SettingsError> {
        let accept = &self.accept;
        within("accept.lanes", accept.lanes, 1, 64)?;
        within("accept.group_signals", accept.group_signals, 1, 20_000)?;
        within("accept.queued_calls", accept.queued_calls, 1, 1_000_000)?;
        within("accept.burst_secs", accept.burst_secs, 0, 600)?;
        for (name, stage) in [("record", self.record.stage()), ("identity", self.identity)] {
            within(&format!("{name}.concurrency"), stage.concurrency, 1, 64)?;
            within(&format!("{name}.timeout_ms"), stage.timeout_ms, 100, 600_000)?;
        }
        within("record.lanes", self.record.lanes, 1, 16)?;
        within("record.group_batches", self.record.group_batches, 1, 1_000)?;
        within("record.group_signals", self.record.group_signals, 1, 20_000)?;
        within("record.breath_ms", self.record.breath_ms, 0, 1_000)?;
        let kept = &self.retention;
        within("retention.signals_days", kept.signals_days, 1, 36_500)?;
        within("retention.batches_days", kept.batches_days, 1, 36_500)?;
        within(
            "retention.raw_deliveries_days",
            kept.raw_deliveries_days,
            1,
            36_500,
        )?;
        within("sources.cache_ms", self.sources.cache_ms, 0, 600_000)?;
        within("sources.last_seen_ms", self.sources.last_seen_ms, 10, 3_600_000)
    }

    fn contradictions(&self) -> Result<(), SettingsError> {
        if self.limits.max_signal_bytes > self.limits.max_body_bytes {
            return Err(SettingsError::contradiction(
                "limits.max_signal_bytes",
                "limits.max_body_bytes",
                "a signal of that size could not be sent",
            ));
        }
        if self.accept.queued_signals < self.limits.max_items {
            return Err(SettingsError::contradiction(
                "accept.queued_signals",
                "limits.max_items",
                "a batch of that size would wait for an empty queue",
            ));
        }
        let needed = self.accept.lanes + self.record.lanes + SPARE_CONNECTIONS;
        if usize::try_from(self.database.pipeline_connections).unwrap_or(usize::MAX) < needed {
            return Err(SettingsError::contradiction(
                "database.pipeline_connections",
                "accept.lanes",
                "lanes, recording and the relay need a connection each",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn load(mut overrides: Value) -> Result<Settings, SettingsError> {
        let needed =
            json!({"security": {"principal_keys": ["k"]}, "secrets": {"kek": STANDARD.encode([7; 32])}});
        for (section, value) in needed.as_object().unwrap() {
            overrides
                .as_object_mut()
                .unwrap()
                .entry(section)
                .or_insert(value.clone());
        }
        Settings::load(None, std::iter::empty(), Some(overrides))
    }

    #[test]
    fn the_defaults_need_only_keys_and_are_the_shipped_limits() {
        let settings = load(json!({})).unwrap();
        assert_eq!(settings.limits, Limits::default());
        assert_eq!(settings.database.schema, crate::SCHEMA);
    }

    #[test]
    fn without_a_sealing_key_nothing_starts() {
        for kek in ["", "abc", &STANDARD.encode([7; 31]), "not base64!"] {
            let error = load(json!({"secrets": {"kek": kek}})).unwrap_err().to_string();
            assert!(error.contains("secrets.kek"), "{error}");
            assert!(kek.is_empty() || !error.contains(kek), "{error}");
        }
    }

    #[test]
    fn contradictions_name_both_keys() {
        for (overrides, keys) in [
            (
                json!({"database": {"pipeline_connections": 5}}),
                ["database.pipeline_connections", "accept.lanes"],
            ),
            (
                json!({"limits": {"max_body_bytes": 1000}}),
                ["limits.max_signal_bytes", "limits.max_body_bytes"],
            ),
            (
                json!({"accept": {"queued_signals": 10}}),
                ["accept.queued_signals", "limits.max_items"],
            ),
        ] {
            let error = load(overrides).unwrap_err().to_string();
            assert!(keys.iter().all(|key| error.contains(key)), "{error}");
        }
        assert!(load(json!({"accept": {"lane": 1}})).is_err());
        assert!(load(json!({"limits": {"max_signal_bytes": 65_537}})).is_err());
    }
}
