//! Database, roles, schemas and grants, made with the superuser's login before any service starts.

use settings::Secret;

use crate::{DbSettings, StoreError};

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
    _superuser_url: &Secret<String>,
    _database: &str,
    _services: &[ServiceRoles],
) -> Result<(), StoreError> {
    todo!()
}
