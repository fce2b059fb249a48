//! crm's settings, one struct per concern; `default.toml` is their reference.

use std::path::Path;
use std::time::Duration;

use ::store::DbSettings;
use admin::AdminSettings;
use eventbus::{BusSettings, Grouping};
use rpc::{ChannelSettings, ServerSettings};
use serde::Deserialize;
use settings::{SettingsError, Validate};
use telemetry::TelemetryConfig;

use crate::SERVICE;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../default.toml");

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
    /// Where the signals of a timeline are read.
    pub signal_ingest: ChannelSettings,
    /// The events taken in.
    pub consumers: ConsumerSettings,
    /// What is kept for how long.
    pub retention: RetentionSettings,
    /// Imports of files.
    pub imports: ImportSettings,
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
    /// Ed25519 public keys (32 bytes each, base64) of the gateway that signs who calls. Two while a key is replaced.
    pub principal_keys: Vec<String>,
}

/// The events taken in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// Handlers at once, for each type of event that is handled by itself.
    pub concurrency: usize,
    /// How the others share transactions.
    pub groups: GroupSettings,
}

/// Events that share transactions: the most frequent ones.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSettings {
    /// Most events of a type in one transaction, and in hand at once.
    pub events: usize,
    /// The least time between the beginnings of two transactions, in milliseconds.
    pub breath_ms: u64,
}

impl GroupSettings {
    /// As the groups need it.
    #[must_use]
    pub fn grouping(&self) -> Grouping {
        Grouping {
            lanes: 1,
            max_items: self.events,
            max_weight: usize::MAX,
            breath: Duration::from_millis(self.breath_ms),
        }
    }
}

/// What is kept for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// Moves of scores, in days.
    pub score_changes_days: u32,
}

/// Imports of files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportSettings {
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Rows in one chunk: what is done at once, and what is lost at most when a worker is killed.
    pub chunk_rows: usize,
    /// Transactions of a chunk of contacts at once.
    pub lanes: usize,
    /// Imports at once, in this process.
    pub workers: usize,
    /// How long a worker that went silent keeps its turn.
    pub lease_secs: f64,
    /// How often to look for imports that another process was told of.
    pub poll_ms: u64,
}

impl ImportSettings {
    fn check(&self) -> Result<(), SettingsError> {
        let bounds = [
            ("imports.chunk_rows", self.chunk_rows, 1..=20_000),
            ("imports.lanes", self.lanes, 1..=16),
            ("imports.workers", self.workers, 0..=16),
        ];
        for (name, value, bound) in bounds {
            if !bound.contains(&value) {
                let message = format!("it must be from {} to {}", bound.start(), bound.end());
                return Err(SettingsError::invalid(name, message));
            }
        }
        if !(1.0..=3_600.0).contains(&self.lease_secs) {
            return Err(SettingsError::invalid(
                "imports.lease_secs",
                "it must be from 1 to 3600",
            ));
        }
        if !(1 << 10..=1 << 34).contains(&self.max_bytes) {
            return Err(SettingsError::invalid(
                "imports.max_bytes",
                "it must be from 1 KiB to 16 GiB",
            ));
        }
        Ok(())
    }
}

impl Settings {
    /// Defaults, then `file`, then `DEVSIGNAL_CRM__SECTION__KEY` of `env`, then `overrides`.
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

impl Validate for Settings {
    fn validate(&self) -> Result<(), SettingsError> {
        self.database.validate()?;
        self.bus.validate()?;
        self.telemetry
            .check()
            .map_err(|error| SettingsError::invalid("telemetry.log_filter", error.to_string()))?;
        if self.security.principal_keys.is_empty() {
            return Err(SettingsError::invalid(
                "security.principal_keys",
                "at least one key is needed, or no call could be believed",
            ));
        }
        if !(1..=256).contains(&self.consumers.concurrency) {
            return Err(SettingsError::invalid(
                "consumers.concurrency",
                "it must be from 1 to 256",
            ));
        }
        if !(1..=1_024).contains(&self.consumers.groups.events) {
            return Err(SettingsError::invalid(
                "consumers.groups.events",
                "it must be from 1 to 1024",
            ));
        }
        if self.consumers.groups.breath_ms > 1_000 {
            return Err(SettingsError::invalid(
                "consumers.groups.breath_ms",
                "it must be at most 1000",
            ));
        }
        if !(7..=36_500).contains(&self.retention.score_changes_days) {
            return Err(SettingsError::invalid(
                "retention.score_changes_days",
                "it must be from 7 to 36500",
            ));
        }
        self.imports.check()?;
        if self.imports.lanes * self.imports.workers
            > self.database.app_connections.saturating_sub(2) as usize
        {
            return Err(SettingsError::contradiction(
                "imports.lanes",
                "database.app_connections",
                "imports would leave no connection to those who wait for an answer",
            ));
        }
        if self.signal_ingest.call_timeout_ms >= self.grpc.deadline_ms {
            return Err(SettingsError::contradiction(
                "signal_ingest.call_timeout_ms",
                "grpc.deadline_ms",
                "a call of ours would end before the call that it needs",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn load(overrides: serde_json::Value) -> Result<Settings, SettingsError> {
        Settings::load(None, std::iter::empty(), Some(overrides))
    }

    #[test]
    fn the_defaults_need_only_a_key() {
        assert!(
            load(json!({}))
                .unwrap_err()
                .to_string()
                .contains("security.principal_keys")
        );
        let settings = load(json!({"security": {"principal_keys": ["k"]}})).unwrap();
        assert_eq!(settings.database.schema, "crm");
    }

    #[test]
    fn contradictions_and_unknown_keys_refuse_to_boot() {
        let key = json!({"principal_keys": ["k"]});
        let slow = json!({"security": key, "signal_ingest": {"call_timeout_ms": 60_000}});
        let error = load(slow).unwrap_err().to_string();
        assert!(
            error.contains("signal_ingest.call_timeout_ms") && error.contains("grpc.deadline_ms"),
            "{error}"
        );
        assert!(load(json!({"security": key, "consumers": {"concurrency": 0}})).is_err());
        assert!(load(json!({"security": key, "grpc": {"listne": "x"}})).is_err());
    }
}
