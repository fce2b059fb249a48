//! Where the service's schema is and how its connections behave.

use ::settings::{Secret, SettingsError};
use serde::Deserialize;

/// The `[database]` section of a service. Three roles log in: `<schema>_app`, `<schema>_pipeline`, `<schema>_owner`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DbSettings {
    /// Host name, address, or the folder of a Unix socket (begins with `/`).
    pub host: String,
    /// Port, also with a socket (it is part of the socket's file name).
    pub port: u16,
    /// Database; all services share one, each in its own schema.
    pub database: String,
    /// The service's schema, and the stem of its roles' names.
    pub schema: String,
    /// Password of `<schema>_app`: the request path, under row-level security of one organization.
    pub app_password: Secret<String>,
    /// Password of `<schema>_pipeline`: workers that serve many organizations.
    pub pipeline_password: Secret<String>,
    /// Password of `<schema>_owner`: migrations and partitions.
    pub owner_password: Secret<String>,
    /// Connections of the request path. All pools of all services together stay below Postgres' `max_connections`.
    #[serde(default = "defaults::app_connections")]
    pub app_connections: u32,
    /// Connections of the workers and the relay.
    #[serde(default = "defaults::pipeline_connections")]
    pub pipeline_connections: u32,
    /// How long to wait for a usable connection. Short: waiting longer only hides an overload.
    #[serde(default = "defaults::acquire_timeout_ms")]
    pub acquire_timeout_ms: u64,
    /// Server-side limit of one statement of app and pipeline; the owner has twelve times as long.
    #[serde(default = "defaults::statement_timeout_ms")]
    pub statement_timeout_ms: u64,
    /// Server-side limit of waiting for one lock.
    #[serde(default = "defaults::lock_timeout_ms")]
    pub lock_timeout_ms: u64,
    /// Server-side limit of a transaction that does nothing.
    #[serde(default = "defaults::idle_in_transaction_timeout_ms")]
    pub idle_in_transaction_timeout_ms: u64,
    /// After this time a connection is replaced, so that server-side caches do not grow without bound.
    #[serde(default = "defaults::connection_lifetime_secs")]
    pub connection_lifetime_secs: u64,
    /// Published outbox rows are kept at least so long, to publish again what the broker forgot.
    #[serde(default = "defaults::outbox_retention_days")]
    pub outbox_retention_days: u32,
    /// Inbox rows are kept so long; must exceed the age of the oldest message that can still be delivered.
    #[serde(default = "defaults::inbox_retention_days")]
    pub inbox_retention_days: u32,
}

mod defaults {
    pub(super) fn app_connections() -> u32 {
        8
    }
    pub(super) fn pipeline_connections() -> u32 {
        8
    }
    pub(super) fn acquire_timeout_ms() -> u64 {
        2_000
    }
    pub(super) fn statement_timeout_ms() -> u64 {
        5_000
    }
    pub(super) fn lock_timeout_ms() -> u64 {
        2_000
    }
    pub(super) fn idle_in_transaction_timeout_ms() -> u64 {
        10_000
    }
    pub(super) fn connection_lifetime_secs() -> u64 {
        1_800
    }
    pub(super) fn outbox_retention_days() -> u32 {
        1
    }
    pub(super) fn inbox_retention_days() -> u32 {
        31
    }
}

/// A login role of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    App,
    Pipeline,
    Owner,
}

impl Role {
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Pipeline => "pipeline",
            Self::Owner => "owner",
        }
    }
}

/// Schema and role names go into statements that take no parameters, so only these forms are allowed.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl ::settings::Validate for DbSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        let rule = |holds: bool, key: &str, reason: &str| {
            if holds {
                Ok(())
            } else {
                Err(SettingsError::invalid(format!("database.{key}"), reason))
            }
        };
        rule(!self.host.is_empty(), "host", "must not be empty")?;
        rule(self.port != 0, "port", "must not be 0")?;
        rule(!self.database.is_empty(), "database", "must not be empty")?;
        rule(
            is_plain_name(&self.schema),
            "schema",
            "must be 1 to 48 of a-z, 0-9 and _, beginning with a letter",
        )?;
        rule(
            (1..=200).contains(&self.app_connections),
            "app_connections",
            "must be 1 to 200",
        )?;
        rule(
            (1..=200).contains(&self.pipeline_connections),
            "pipeline_connections",
            "must be 1 to 200",
        )?;
        rule(
            self.acquire_timeout_ms >= 10,
            "acquire_timeout_ms",
            "must be at least 10",
        )?;
        rule(
            self.statement_timeout_ms >= 10,
            "statement_timeout_ms",
            "must be at least 10",
        )?;
        rule(
            self.lock_timeout_ms >= 10,
            "lock_timeout_ms",
            "must be at least 10",
        )?;
        rule(
            self.connection_lifetime_secs >= 1,
            "connection_lifetime_secs",
            "must be at least 1",
        )?;
        rule(
            self.outbox_retention_days >= 1,
            "outbox_retention_days",
            "must be at least 1",
        )?;
        rule(
            self.inbox_retention_days >= 1,
            "inbox_retention_days",
            "must be at least 1",
        )?;
        if self.lock_timeout_ms > self.statement_timeout_ms {
            return Err(SettingsError::contradiction(
                "database.lock_timeout_ms",
                "database.statement_timeout_ms",
                "a statement would end before its wait for a lock does",
            ));
        }
        rule(
            self.idle_in_transaction_timeout_ms >= self.statement_timeout_ms,
            "idle_in_transaction_timeout_ms",
            "must be at least statement_timeout_ms",
        )
    }
}
