//! The settings of identity-resolver, one struct per concern; `default.toml` is their reference.

use std::path::Path;

use ::store::DbSettings;
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
    /// Whom to believe.
    pub security: SecuritySettings,
    /// Resolving.
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

/// Resolving.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverSettings {
    /// Batches in hand at once.
    pub concurrency: usize,
    /// Actors kept in memory.
    pub cached_actors: u64,
    /// Accounts kept in memory.
    pub cached_accounts: u64,
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
        if self.security.principal_keys.is_empty() {
            return Err(SettingsError::invalid(
                "security.principal_keys",
                "at least one key is needed, or no call could be believed",
            ));
        }
        if !(1..=256).contains(&self.resolver.concurrency) {
            return Err(SettingsError::invalid(
                "resolver.concurrency",
                "must be from 1 to 256",
            ));
        }
        if self.resolver.cached_actors == 0 || self.resolver.cached_accounts == 0 {
            return Err(SettingsError::invalid(
                "resolver.cached_actors",
                "the caches must hold something",
            ));
        }
        Ok(())
    }
}
