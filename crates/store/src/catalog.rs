//! What the catalogue must not show: ways around the walls between tenants. Used by tests of every service.

use sqlx::PgConnection;

use crate::StoreError;

/// The violations in `schema`, each as a sentence that names its object; empty when there are none.
///
/// Checked: tables with `org_id` without forced row-level security or without a policy of both directions; views
/// without `security_invoker`; foreign keys between tables with `org_id` that leave it out; `SECURITY DEFINER`
/// functions; service roles that are superuser, may bypass row-level security or own tables as app or pipeline;
/// `TRUNCATE` or `CREATE` granted to them; partitions that they can reach directly.
///
/// # Errors
/// The catalogue cannot be read.
pub async fn violations(_connection: &mut PgConnection, _schema: &str) -> Result<Vec<String>, StoreError> {
    todo!()
}
