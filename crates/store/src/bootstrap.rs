//! Database, roles, schemas and grants, made with the superuser's login before any service starts.
//!
//! Must not: be called by a service in production, which has no superuser's login; there an operator runs it once.

use std::str::FromStr as _;

use ::settings::Secret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::settings::is_plain_name;
use crate::{DbSettings, StoreError};

/// Key of the advisory lock in the maintenance database: one bootstrap at a time per cluster, since roles belong to
/// the cluster.
const LOCK: i64 = 0x6465_7673_6967_6e61;

/// A service's schema and the passwords of its three roles.
#[derive(Debug, Clone)]
pub struct ServiceRoles {
    /// The schema.
    pub schema: String,
    /// Password of `<schema>_owner`.
    pub owner_password: Secret<String>,
    /// Password of `<schema>_app`.
    pub app_password: Secret<String>,
    /// Password of `<schema>_pipeline`.
    pub pipeline_password: Secret<String>,
}

impl From<&DbSettings> for ServiceRoles {
    fn from(settings: &DbSettings) -> Self {
        Self {
            schema: settings.schema.clone(),
            owner_password: settings.owner_password.clone(),
            app_password: settings.app_password.clone(),
            pipeline_password: settings.pipeline_password.clone(),
        }
    }
}

/// Makes what is missing: the database, and per service its roles (with these passwords), its schema and its grants.
/// Idempotent, and safe when run by several processes at once.
///
/// `superuser_url` is a `postgres://` URL; its own database is not used.
///
/// # Errors
/// The login is refused or not a superuser's; a schema's name is not of the allowed form.
pub async fn bootstrap(
    superuser_url: &Secret<String>,
    database: &str,
    services: &[ServiceRoles],
) -> Result<(), StoreError> {
    if let Some(bad) = services.iter().find(|service| !is_plain_name(&service.schema)) {
        return Err(StoreError::Misuse(format!(
            "{:?} cannot be a schema's name",
            bad.schema
        )));
    }
    let options = PgConnectOptions::from_str(superuser_url.expose())?
        // Nothing of this session goes into the server's log: it carries passwords.
        .options([("log_statement", "none"), ("log_min_duration_statement", "-1")])
        .application_name("devsignal-bootstrap")
        .disable_statement_logging();
    let mut cluster = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut cluster)
        .await?;
    create_database(&mut cluster, database).await?;
    for service in services {
        for (suffix, password) in [
            ("owner", &service.owner_password),
            ("app", &service.app_password),
            ("pipeline", &service.pipeline_password),
        ] {
            ensure_role(&mut cluster, &format!("{}_{suffix}", service.schema), password).await?;
        }
    }
    let mut inside = PgConnection::connect_with(&options.database(database)).await?;
    inside.execute(AssertSqlSafe(grants(database, services))).await?;
    inside.close().await?;
    // Ends the session, and with it the lock.
    cluster.close().await?;
    Ok(())
}

async fn create_database(cluster: &mut PgConnection, database: &str) -> Result<(), StoreError> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(&mut *cluster)
        .await?;
    if !exists {
        // template0: nobody is ever connected to it, and it has no objects of others.
        let create = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'",
            quoted(database)
        );
        cluster.execute(AssertSqlSafe(create)).await?;
    }
    Ok(())
}

/// Makes the role if it is missing, and sets its attributes and password anew. The password travels as a parameter,
/// so that it is in no statement's text.
async fn ensure_role(
    cluster: &mut PgConnection,
    role: &str,
    password: &Secret<String>,
) -> Result<(), StoreError> {
    sqlx::query(
        "SELECT set_config('devsignal.role', $1, false), set_config('devsignal.password', $2, false)",
    )
    .bind(role)
    .bind(password.expose())
    .execute(&mut *cluster)
    .await?;
    cluster
        .execute(
            "DO $$
             DECLARE
                 role text := current_setting('devsignal.role');
             BEGIN
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                     EXECUTE format('CREATE ROLE %I', role);
                 END IF;
                 EXECUTE format('ALTER ROLE %I WITH LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION'
                                ' NOINHERIT PASSWORD %L', role, current_setting('devsignal.password'));
             END $$",
        )
        .await?;
    Ok(())
}

/// One statement string, and so one transaction. Schema names are plain ([`is_plain_name`]).
fn grants(database: &str, services: &[ServiceRoles]) -> String {
    let database = quoted(database);
    let mut sql = format!(
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC;\n\
         REVOKE ALL ON SCHEMA public FROM PUBLIC;\n"
    );
    for service in services {
        let s = &service.schema;
        sql.push_str(&format!(
            "GRANT CONNECT ON DATABASE {database} TO {s}_owner, {s}_app, {s}_pipeline;\n\
             CREATE SCHEMA IF NOT EXISTS {s} AUTHORIZATION {s}_owner;\n\
             REVOKE ALL ON SCHEMA {s} FROM PUBLIC;\n\
             GRANT USAGE ON SCHEMA {s} TO {s}_app, {s}_pipeline;\n\
             ALTER DEFAULT PRIVILEGES FOR ROLE {s}_owner IN SCHEMA {s}\n\
                 GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {s}_app, {s}_pipeline;\n\
             ALTER DEFAULT PRIVILEGES FOR ROLE {s}_owner IN SCHEMA {s}\n\
                 GRANT USAGE, SELECT ON SEQUENCES TO {s}_app, {s}_pipeline;\n"
        ));
    }
    sql
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
