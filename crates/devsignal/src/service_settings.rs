//! The database settings of the services, for the commands that look into a schema: from a local installation's secrets, or
//! from the services' own settings.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;
use sqlx::migrate::Migrator;
use store::DbSettings;

use crate::endpoints::Endpoints;
use crate::secrets::Secrets;
use crate::wiring::{self, SERVICES};

/// A service and its schema.
pub struct Schema {
    /// Its name.
    pub service: &'static str,
    /// Where its schema is.
    pub database: DbSettings,
    /// Its migrations.
    pub migrator: &'static Migrator,
}

/// All services, or the one that is named. With `config_dir`, `<service>.toml` there is read if it exists, then the
/// environment; without, the local installation in `data_dir`.
pub fn schemas(
    service: Option<&str>,
    config_dir: Option<&Path>,
    data_dir: &Path,
) -> anyhow::Result<Vec<Schema>> {
    if let Some(name) = service
        && !SERVICES.contains(&name)
    {
        bail!(
            "there is no service {name}: the services are {}",
            SERVICES.join(", ")
        );
    }
    let local = if config_dir.is_some() {
        None
    } else {
        Some(Local::read(data_dir)?)
    };
    let wanted = SERVICES.iter().filter(|name| service.is_none_or(|s| s == **name));
    wanted
        .map(|name| load(name, config_dir, local.as_ref()).with_context(|| format!("settings of {name}")))
        .collect()
}

struct Local {
    secrets: Secrets,
    postgres_port: u16,
}

impl Local {
    fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let endpoints = Endpoints::read(data_dir)?;
        let port = endpoints
            .postgres
            .rsplit_once(':')
            .and_then(|(_, tail)| tail.split('/').next()?.parse().ok());
        let postgres_port = port.context("endpoints.json names no port of Postgres")?;
        Ok(Self {
            secrets: Secrets::read(data_dir)?,
            postgres_port,
        })
    }

    fn overrides(&self, service: &str) -> serde_json::Value {
        let database = wiring::database(
            ("127.0.0.1", self.postgres_port),
            &self.secrets,
            &service.replace('-', "_"),
        );
        // Keys that the service would need to start, and these commands do not.
        match service {
            "gateway" => json!({
                "database": database,
                "security": {"signing_key": self.secrets.principal_key, "secret_key": self.secrets.cursor_key},
            }),
            "signal-ingest" => json!({
                "database": database,
                "security": {"principal_keys": [self.secrets.principal_public_key]},
                "secrets": {"kek": self.secrets.sealing_key},
            }),
            _ => json!({
                "database": database,
                "security": {"principal_keys": [self.secrets.principal_public_key]},
            }),
        }
    }
}

fn load(service: &'static str, config_dir: Option<&Path>, local: Option<&Local>) -> anyhow::Result<Schema> {
    let file = config_dir
        .map(|dir| dir.join(format!("{service}.toml")))
        .filter(|path| path.exists());
    let (file, env) = (file.as_deref(), settings::process_env());
    let overrides = local.map(|local| local.overrides(service));
    let (database, migrator) = match service {
        "gateway" => (
            gateway::config::Settings::load(file, env, overrides)?.database,
            &gateway::MIGRATOR,
        ),
        "signal-ingest" => (
            signal_ingest::config::Settings::load(file, env, overrides)?.database,
            &signal_ingest::MIGRATOR,
        ),
        "identity-resolver" => (
            identity_resolver::config::Settings::load(file, env, overrides)?.database,
            &identity_resolver::MIGRATOR,
        ),
        "crm" => (
            crm::config::Settings::load(file, env, overrides)?.database,
            &crm::MIGRATOR,
        ),
        _ => (
            scoring::config::Settings::load(file, env, overrides)?.database,
            &scoring::MIGRATOR,
        ),
    };
    Ok(Schema {
        service,
        database,
        migrator,
    })
}
