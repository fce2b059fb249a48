//! Running the migrations of this crate and of a service as one history.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::pool::connect_options;
use crate::settings::{Role, is_plain_name};
use crate::{DbSettings, StoreError};

/// Tenancy helpers, outbox, inbox, dead letters.
static SHARED: Migrator = sqlx::migrate!("../../migrations/store");

/// First version of a service's own migrations.
const FIRST_OWN: i64 = 100;
/// How long to wait for another process that is migrating.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks at the lock.
const PAUSE: Duration = Duration::from_millis(25);

/// Brings the schema up to date, logged in as its owner: this crate's migrations (versions 1 to 99), then the
/// service's own (from 100). Several processes may do it at once; each migration runs once. Versions in the database
/// that are not known here are left alone: an older release keeps working on a newer schema.
///
/// # Errors
/// [`StoreError::Migrate`], also when a migration that already ran was changed; [`StoreError::Misuse`] for a version
/// below 100 in the service's own.
pub async fn migrate(settings: &DbSettings, own: &Migrator) -> Result<(), StoreError> {
    if !is_plain_name(&settings.schema) {
        return Err(StoreError::Misuse(format!(
            "{:?} cannot be a schema's name",
            settings.schema
        )));
    }
    let migrator = merged(own)?;
    let mut connection = PgConnection::connect_with(&connect_options(settings, Role::Owner)).await?;
    lock(&mut connection, &settings.schema).await?;
    // A statement that rewrites a big table takes its time; one that waits for a lock holds up everyone behind it.
    connection
        .execute("SET statement_timeout = '30min'; SET lock_timeout = '5s'")
        .await?;
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|source| StoreError::Migrate {
            schema: settings.schema.clone(),
            source,
        })?;
    let schema = &settings.schema;
    connection
        .execute(AssertSqlSafe(format!(
            "REVOKE ALL ON _sqlx_migrations FROM {schema}_app, {schema}_pipeline"
        )))
        .await?;
    connection.close().await?;
    Ok(())
}

/// One lock per schema, given back when the connection closes. Asked for again and again: a session that waits for an
/// advisory lock holds a snapshot, and `CREATE INDEX CONCURRENTLY` of its holder would wait for that.
async fn lock(connection: &mut PgConnection, schema: &str) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(format!("{schema}/migrate"))
            .fetch_one(&mut *connection)
            .await?;
        if taken {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(StoreError::Misuse(format!(
                "another process has been migrating schema {schema} for too long"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn merged(own: &Migrator) -> Result<Migrator, StoreError> {
    if let Some(low) = own.iter().find(|migration| migration.version < FIRST_OWN) {
        return Err(StoreError::Misuse(format!(
            "migration {} must have a version of at least {FIRST_OWN}: those below are the store's",
            low.version
        )));
    }
    let mut all: Vec<Migration> = SHARED.iter().chain(own.iter()).cloned().collect();
    all.sort();
    Ok(Migrator {
        migrations: Cow::Owned(all),
        ignore_missing: true,
        // Ours is taken already; sqlx's would make all services of the database wait for one another.
        locking: false,
        ..Migrator::DEFAULT
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_own_versions_are_below_those_of_services() {
        assert!(
            SHARED
                .iter()
                .all(|migration| (1..FIRST_OWN).contains(&migration.version))
        );
    }

    #[test]
    fn a_service_cannot_take_a_version_of_the_stores() {
        assert!(merged(&SHARED).is_err());
    }
}
