//! The resolver's settings, one struct per concern; `default.toml` is their reference.

use std::path::Path;

use ::store::DbSettings;
use admin::AdminSettings;
use eventbus::BusSettings;
use rpc::ServerSettings;
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
    /// The batches taken in.
    pub consumer: ConsumerSettings,
    /// Units of work and memory.
    pub resolver: ResolverSettings,
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

/// The batches taken in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// Batches in hand at once.
    pub concurrency: usize,
}

/// Units of work and memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverSettings {
    /// Signals of one organization that are resolved in one transaction; a batch above it still is, alone.
    pub max_unit_signals: usize,
    /// Least time between the beginnings of an organization's units.
    pub breath_ms: u64,
    /// Persons and visitors that are kept in memory, over all organizations.
    pub memory_actors: u64,
    /// Accounts that are kept in memory, over all organizations.
    pub memory_accounts: u64,
}

impl Settings {
    /// Defaults, then `file`, then `DEVSIGNAL_IDENTITY_RESOLVER__SECTION__KEY` of `env`, then `overrides`.
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
        let rule = |holds: bool, key: &str, reason: &str| {
            if holds {
                Ok(())
            } else {
                Err(SettingsError::invalid(key, reason))
            }
        };
        rule(
            !self.security.principal_keys.is_empty(),
            "security.principal_keys",
            "at least one key is needed, or no call could be believed",
        )?;
        rule(
            (1..=256).contains(&self.consumer.concurrency),
            "consumer.concurrency",
            "it must be from 1 to 256",
        )?;
        rule(
            (1..=16_384).contains(&self.resolver.max_unit_signals),
            "resolver.max_unit_signals",
            "it must be from 1 to 16384",
        )?;
        rule(
            self.resolver.breath_ms <= 1_000,
            "resolver.breath_ms",
            "it must be at most 1000",
        )?;
        rule(
            self.resolver.memory_actors >= 1_000,
            "resolver.memory_actors",
            "it must be at least 1000",
        )?;
        rule(
            self.resolver.memory_accounts >= 1_000,
            "resolver.memory_accounts",
            "it must be at least 1000",
        )
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
        assert_eq!(settings.database.schema, crate::SCHEMA);
    }

    #[test]
    fn unknown_keys_and_senseless_values_refuse_to_boot() {
        let key = json!({"principal_keys": ["k"]});
        assert!(load(json!({"security": key, "consumer": {"concurrency": 0}})).is_err());
        assert!(load(json!({"security": key, "resolver": {"max_unit_signals": 0}})).is_err());
        assert!(load(json!({"security": key, "resolver": {"memory_actors": 1}})).is_err());
        assert!(load(json!({"security": key, "resolver": {"memry": 1}})).is_err());
    }
}
