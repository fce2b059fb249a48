//! `devsignal migrate`: roles, schemas and migrations in a Postgres that is not ours to start.

use anyhow::Context;
use settings::Secret;

use crate::cli::MigrateArgs;
use crate::service_settings::schemas;

/// Brings every schema up to date. Safe to repeat, and to run from several places at once.
pub async fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    // Without a folder the environment alone decides.
    let nowhere = std::path::PathBuf::from(".");
    let config_dir = args.config_dir.as_deref().unwrap_or(&nowhere);
    let all = schemas(None, Some(config_dir), &nowhere)?;
    let name = all
        .first()
        .map(|schema| schema.database.database.clone())
        .context("there are no services")?;
    anyhow::ensure!(
        all.iter().all(|schema| schema.database.database == name),
        "all services must name the same database.database"
    );
    let roles: Vec<_> = all.iter().map(|schema| (&schema.database).into()).collect();
    store::bootstrap::bootstrap(&Secret::new(args.admin_url.clone()), &name, &roles).await?;
    for schema in &all {
        store::migrate(&schema.database, schema.migrator)
            .await
            .with_context(|| format!("cannot migrate schema {}", schema.database.schema))?;
        crate::say(&format!("{} is up to date", schema.service));
    }
    Ok(())
}
