//! The settings of scoring, one struct per concern; `default.toml` is their reference.

use std::path::Path;
use std::time::Duration;

use ::store::DbSettings;
use admin::AdminSettings;
use eventbus::{BusSettings, Grouping};
use jiff::SignedDuration;
use rpc::ServerSettings;
use serde::Deserialize;
use settings::{SettingsError, Validate};
use telemetry::TelemetryConfig;

use crate::SERVICE;
use crate::domain::pacing::Pacing;

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
    /// Adding signals up.
    pub rollup: RollupSettings,
    /// The other events taken in.
    pub consumers: ConsumerSettings,
    /// Scoring.
    pub scoring: ScoringSettings,
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

/// Adding signals up.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupSettings {
    /// Batches in hand at once.
    pub concurrency: usize,
    /// Transactions at once.
    pub lanes: usize,
    /// Most batches of one transaction.
    pub group_batches: usize,
    /// Most signals of one transaction; a larger batch goes alone.
    pub group_signals: usize,
    /// Least time between the beginnings of a lane's transactions.
    pub breath_ms: u64,
}

impl RollupSettings {
    /// How batches share transactions.
    #[must_use]
    pub fn grouping(&self) -> Grouping {
        Grouping {
            lanes: self.lanes,
            max_items: self.group_batches,
            max_weight: self.group_signals,
            breath: Duration::from_millis(self.breath_ms),
        }
    }
}

/// The other events taken in.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// Handlers at once, for each type of event that is taken in one by one.
    pub concurrency: usize,
    /// Most events of one transaction where they share one, and handlers at once for each type of them.
    pub group_events: usize,
    /// Least time between the beginnings of such transactions, in milliseconds.
    pub breath_ms: u64,
}

impl ConsumerSettings {
    /// How events share transactions. One lane: what comes while its transaction runs is the next group, and no group
    /// waits for another's rows.
    #[must_use]
    pub fn grouping(&self) -> Grouping {
        Grouping {
            lanes: 1,
            max_items: self.group_events,
            max_weight: usize::MAX,
            breath: Duration::from_millis(self.breath_ms),
        }
    }
}

/// Scoring.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringSettings {
    /// The least time between two scores of an account, in milliseconds.
    pub pause_ms: u32,
    /// Roll-up rows per pause.
    pub rows_per_pause: u32,
    /// Accounts per round.
    pub round_accounts: u32,
    /// The least time between two rounds, in milliseconds.
    pub breath_ms: u64,
    /// The longest sleep when nothing is due, in milliseconds.
    pub poll_ms: u64,
    /// How long a worker may hold accounts, in milliseconds.
    pub lease_ms: u32,
    /// The time after which an account is scored again without signals, in seconds.
    pub ageing_secs: u32,
    /// How long changes of scores are kept, in days.
    pub history_days: u32,
}

impl ScoringSettings {
    /// How often accounts are scored.
    #[must_use]
    pub fn pacing(&self) -> Pacing {
        Pacing {
            pause: SignedDuration::from_millis(self.pause_ms.into()),
            rows_per_pause: self.rows_per_pause.into(),
            ageing: SignedDuration::from_secs(self.ageing_secs.into()),
        }
    }

    /// How long a worker may hold accounts.
    #[must_use]
    pub fn lease(&self) -> SignedDuration {
        SignedDuration::from_millis(self.lease_ms.into())
    }

    /// How long changes of scores are kept.
    #[must_use]
    pub fn history_retention(&self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.history_days) * 24)
    }
}

impl Settings {
    /// Defaults, then `file`, then `DEVSIGNAL_SCORING__SECTION__KEY` of `env`, then `overrides`.
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
        self.consumers.validate()?;
        self.rollup.validate()?;
        self.scoring.validate()?;
        if u64::from(self.scoring.lease_ms) <= self.database.statement_timeout_ms {
            return Err(SettingsError::contradiction(
                "scoring.lease_ms",
                "database.statement_timeout_ms",
                "accounts would be given to another worker while a statement may still run",
            ));
        }
        Ok(())
    }
}

impl Validate for RollupSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        within("rollup.concurrency", self.concurrency, 1, 256)?;
        within("rollup.lanes", self.lanes, 1, 64)?;
        within("rollup.group_batches", self.group_batches, 1, 256)?;
        within("rollup.group_signals", self.group_signals, 1, 100_000)?;
        within("rollup.breath_ms", self.breath_ms, 0, 1_000)
    }
}

impl Validate for ConsumerSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        within("consumers.concurrency", self.concurrency, 1, 256)?;
        within("consumers.group_events", self.group_events, 1, 256)?;
        within("consumers.breath_ms", self.breath_ms, 0, 1_000)
    }
}

impl Validate for ScoringSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        within("scoring.pause_ms", self.pause_ms, 1, 3_600_000)?;
        within("scoring.rows_per_pause", self.rows_per_pause, 1, u32::MAX)?;
        within("scoring.round_accounts", self.round_accounts, 1, 10_000)?;
        within("scoring.breath_ms", self.breath_ms, 1, 10_000)?;
        within("scoring.poll_ms", self.poll_ms, 1, 60_000)?;
        within("scoring.ageing_secs", self.ageing_secs, 1, 86_400)?;
        within("scoring.history_days", self.history_days, 8, 36_500)
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), SettingsError> {
    if (&min..=&max).contains(&&value) {
        return Ok(());
    }
    Err(SettingsError::invalid(
        key,
        format!("{value} is not from {min} to {max}"),
    ))
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
        assert_eq!(settings.database.schema, "scoring");
        assert_eq!(
            settings.scoring.pacing().pause,
            SignedDuration::from_millis(1_000)
        );
    }

    #[test]
    fn contradictions_and_unknown_keys_refuse_to_boot() {
        let key = json!({"principal_keys": ["k"]});
        let error = load(json!({"security": key, "scoring": {"lease_ms": 100}}))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("scoring.lease_ms") && error.contains("database.statement_timeout_ms"),
            "{error}"
        );
        assert!(load(json!({"security": key, "rollup": {"lanes": 0}})).is_err());
        assert!(load(json!({"security": key, "consumers": {"group_events": 0}})).is_err());
        assert!(load(json!({"security": key, "consumers": {"breath_ms": 1_001}})).is_err());
        assert!(load(json!({"security": key, "scoring": {"history_days": 2}})).is_err());
        assert!(load(json!({"security": key, "grpc": {"listne": "x"}})).is_err());
    }
}
