//! Running the migrations of this crate and of a service as one history.

use sqlx::migrate::Migrator;

use crate::{DbSettings, StoreError};

/// Brings the schema up to date, logged in as its owner: this crate's migrations (versions 1 to 99), then the
/// service's own (from 100). Several processes may do it at once; each migration runs once.
///
/// # Errors
/// [`StoreError::Migrate`], also when a migration that already ran was changed; [`StoreError::Misuse`] for a version
/// below 100 in the service's own.
pub async fn migrate(_settings: &DbSettings, _own: &Migrator) -> Result<(), StoreError> {
    todo!()
}
