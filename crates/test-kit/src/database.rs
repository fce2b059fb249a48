//! A database per test on the shared Postgres.
//! Must not migrate or make roles by itself: the caller's closure fills a template.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{TestStack, unique_prefix};

/// Serialises the building of templates between test processes; an arbitrary constant.
const TEMPLATE_LOCK: i64 = 0x6465_7673_6967;

/// An empty or cloned database of its own, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    stack: Arc<TestStack>,
}

impl TestDatabase {
    /// A fresh, empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn create() -> Self {
        // template0: nobody can be connected to it, which would stop the copy.
        Self::from_template("template0").await
    }

    /// A copy of a template made by [`ensure_template`]: tens of milliseconds instead of running
    /// all migrations.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn from_template(template: &str) -> Self {
        let stack = TestStack::shared().await;
        let name = unique_prefix();
        let made = async {
            let mut admin = connect(&stack).await?;
            execute(
                &mut admin,
                format!("CREATE DATABASE {name} TEMPLATE {}", checked(template)?),
            )
            .await?;
            anyhow::Ok(admin.close().await?)
        };
        match made.await {
            Ok(()) => Self { name, stack },
            Err(error) => panic!("no test database: {error:#}"),
        }
    }

    /// The superuser's URL for this database.
    #[must_use]
    pub fn url(&self) -> String {
        self.stack.postgres_url(&self.name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The servers it lives on.
    #[must_use]
    pub fn stack(&self) -> &Arc<TestStack> {
        &self.stack
    }
}

impl Drop for TestDatabase {
    /// Best effort. A private stack goes away as a whole, and so do a shared one's left-overs.
    fn drop(&mut self) {
        if self.stack.is_private() {
            return;
        }
        let (stack, name) = (Arc::clone(&self.stack), std::mem::take(&mut self.name));
        // A test's runtime cannot be waited for from within, and may be ending.
        let dropping = std::thread::spawn(move || -> Result<()> {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(async {
                    let mut admin = connect(&stack).await?;
                    execute(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
                })
        });
        let _ = dropping.join();
    }
}

/// Makes the template database `name` once per stack, by all test processes together: the first one
/// runs `build` with the superuser's URL of the new database, the others wait. Put what the
/// template's content depends on (a hash of the migrations) into the name.
///
/// # Panics
/// When it cannot be made, or `build` fails; a later call starts afresh.
pub async fn ensure_template(name: &str, build: impl AsyncFnOnce(String) -> Result<()>) -> Arc<TestStack> {
    let stack = TestStack::shared().await;
    if let Err(error) = build_template(&stack, name, build).await {
        panic!("no template database {name}: {error:#}");
    }
    stack
}

async fn build_template(
    stack: &TestStack,
    name: &str,
    build: impl AsyncFnOnce(String) -> Result<()>,
) -> Result<()> {
    let name = checked(name)?;
    let unfinished = format!("{name}_unfinished");
    let mut admin = connect(stack).await?;
    // Released with the connection, whatever happens.
    execute(&mut admin, format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut admin)
        .await?;
    if !there {
        execute(
            &mut admin,
            format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await?;
        execute(
            &mut admin,
            format!("CREATE DATABASE {unfinished} TEMPLATE template0"),
        )
        .await?;
        build(stack.postgres_url(&unfinished)).await?;
        // A database with connections can be neither renamed nor copied.
        execute(
            &mut admin,
            format!("ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false"),
        )
        .await?;
        sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1")
            .bind(&unfinished)
            .execute(&mut admin)
            .await?;
        execute(
            &mut admin,
            format!("ALTER DATABASE {unfinished} RENAME TO {name}"),
        )
        .await?;
    }
    admin.close().await.context("closing")
}

/// Names are written into statements, which take no parameters there.
fn checked(name: &str) -> Result<&str> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !plain || name.is_empty() || name.len() > 50 {
        bail!("{name:?} is not 1 to 50 lower-case letters, digits and underscores");
    }
    Ok(name)
}

async fn connect(stack: &TestStack) -> Result<PgConnection> {
    PgConnection::connect(&stack.postgres_url("postgres"))
        .await
        .context("connecting to the test stack's Postgres")
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    let what = statement.clone();
    // Our own text; its names went through `checked` or come from `unique_prefix`.
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .with_context(|| what)?;
    Ok(())
}
