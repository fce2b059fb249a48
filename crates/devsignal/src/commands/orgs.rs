//! `devsignal orgs`: organizations, made beside the public API because no credentials exist before the first one.

use anyhow::Context;
use lifecycle::Lifecycle;
use store::Stores;
use telemetry::Metrics;

use crate::cli::OrgsCommand;
use crate::service_settings::schemas;
use crate::wiring::GATEWAY;

/// Does what was asked for.
pub async fn run(command: OrgsCommand) -> anyhow::Result<()> {
    let OrgsCommand::Create {
        name,
        data,
        config_dir,
    } = command;
    anyhow::ensure!(
        (1..=200).contains(&name.trim().chars().count()),
        "a name has 1 to 200 characters"
    );
    let all = schemas(Some(GATEWAY), config_dir.as_deref(), &data.data_dir)?;
    let gateway = all.into_iter().next().context("there is no gateway")?;
    let lifecycle = Lifecycle::new();
    let stores = Stores::connect(&gateway.database, &lifecycle, &Metrics::new("cli")).await?;
    let (org, key) = crate::organizations::create(&stores, name.trim()).await?;
    crate::say(
        &serde_json::json!({"orgId": org.to_string(), "name": name.trim(), "apiKey": key}).to_string(),
    );
    Ok(())
}
