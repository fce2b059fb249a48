//! A service's stores on a database of its own.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Deref;

use anyhow::{Context as _, Result};
use lifecycle::Lifecycle;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use store::bootstrap::{ServiceRoles, bootstrap};
use store::{DbSettings, Stores};
use telemetry::Metrics;

use crate::{TestDatabase, ensure_template};

/// Password of every service role on test servers. Roles belong to the whole server, so that all tests must agree.
pub const TEST_PASSWORD: &str = "test";

/// The stores of one service on a fresh, migrated database. Its tasks end and the database goes with this value.
#[derive(Debug)]
pub struct TestStores {
    // Dropped in this order: what uses the database before the database.
    stores: Stores,
    settings: DbSettings,
    lifecycle: Lifecycle,
    metrics: Metrics,
    database: TestDatabase,
}

impl TestStores {
    /// A fresh database with the service's roles and schema, migrated; and its stores, connected.
    ///
    /// # Panics
    /// When any of it fails.
    pub async fn create(schema: &str, migrator: &Migrator) -> Self {
        let template = template_name(schema, migrator);
        // Kept until the database, too, holds the stack: a private one ends with its last user.
        let _stack = ensure_template(&template, async |url| prepare(&url, schema, migrator).await).await;
        let database = TestDatabase::from_template(&template).await;
        match Self::on(database, schema).await {
            Ok(stores) => stores,
            Err(error) => panic!("no stores of {schema}: {error:#}"),
        }
    }

    async fn on(database: TestDatabase, schema: &str) -> Result<Self> {
        let settings = database_settings(&database.url(), schema)?;
        let (lifecycle, metrics) = (Lifecycle::new(), Metrics::new(schema));
        let stores = Stores::connect(&settings, &lifecycle, &metrics).await?;
        Ok(Self {
            stores,
            settings,
            lifecycle,
            metrics,
            database,
        })
    }

    /// The stores.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// How they log in; for another set of stores on the same database, as another replica would have.
    #[must_use]
    pub fn settings(&self) -> &DbSettings {
        &self.settings
    }

    /// The life in which the stores' tasks run.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The metrics of the stores.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }
}

impl Deref for TestStores {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.stores
    }
}

impl Drop for TestStores {
    fn drop(&mut self) {
        // The tasks end with the test's runtime, or when somebody runs this life to its end.
        self.lifecycle.shutdown();
    }
}

/// The settings of a service's schema in the database of a `postgres://` URL, with small pools.
///
/// # Errors
/// The URL is not one.
pub fn database_settings(url: &str, schema: &str) -> Result<DbSettings> {
    let options: PgConnectOptions = url.parse().context("the database's URL")?;
    Ok(serde_json::from_value(serde_json::json!({
        "host": options.get_host(),
        "port": options.get_port(),
        "database": options.get_database().context("a URL with a database")?,
        "schema": schema,
        "app_password": TEST_PASSWORD,
        "pipeline_password": TEST_PASSWORD,
        "owner_password": TEST_PASSWORD,
        "app_connections": 4,
        "pipeline_connections": 4,
        // A test machine is often busy with other tests.
        "acquire_timeout_ms": 10_000,
    }))?)
}

/// Fills a template: roles, schema, migrations, and today's partitions of the outbox.
async fn prepare(url: &str, schema: &str, migrator: &Migrator) -> Result<()> {
    let settings = database_settings(url, schema)?;
    bootstrap(
        &url.to_owned().into(),
        &settings.database,
        &[ServiceRoles::from(&settings)],
    )
    .await?;
    store::migrate(&settings, migrator).await?;
    let lifecycle = Lifecycle::new();
    Stores::connect(&settings, &lifecycle, &Metrics::new(schema)).await?;
    Ok(lifecycle.stop(std::time::Duration::from_secs(5)).await?)
}

/// Another set of migrations is another template. The store's own are part of it by the version of this program: the
/// servers of a test run do not outlive a build.
fn template_name(schema: &str, migrator: &Migrator) -> String {
    let mut hasher = DefaultHasher::new();
    for migration in migrator.iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    let stem: String = schema.chars().take(24).collect();
    format!("tpl_{stem}_{:016x}", hasher.finish())
}
