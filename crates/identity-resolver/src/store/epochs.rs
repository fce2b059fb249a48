//! The one row per organization that orders decisions and tells what changed.

use ::store::{StoreError, Tx};
use ids::OrgId;
use uuid::Uuid;

/// Rows that were changed since an epoch.
#[derive(Debug, Default)]
pub struct Revised {
    /// Actors.
    pub actors: Vec<Uuid>,
    /// Accounts.
    pub accounts: Vec<Uuid>,
    /// There are more: whoever asks should forget everything about the organization.
    pub too_many: bool,
}

/// Changed rows that are worth naming one by one.
const MAX_REVISED: i64 = 5_000;

/// The organization's epoch; 0 before anything was revised.
///
/// # Errors
/// The database failed.
pub async fn read(tx: &mut Tx, org: OrgId) -> Result<i64, StoreError> {
    let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM org_epochs WHERE org_id = $1")
        .bind(org.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(epoch.unwrap_or(0))
}

/// Waits until no other transaction decides for the organization, and keeps others from it until the end of this one.
/// Answers the epoch. What is read after this is what all decisions before left.
///
/// # Errors
/// The wait exceeded the lock timeout; the database failed.
pub async fn lock(tx: &mut Tx, org: OrgId) -> Result<i64, StoreError> {
    const LOCK: &str = "SELECT epoch FROM org_epochs WHERE org_id = $1 FOR UPDATE";
    let locked: Option<i64> = sqlx::query_scalar(LOCK)
        .bind(org.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(epoch) = locked {
        return Ok(epoch);
    }
    sqlx::query("INSERT INTO org_epochs (org_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(org.uuid())
        .execute(&mut **tx)
        .await?;
    Ok(sqlx::query_scalar(LOCK)
        .bind(org.uuid())
        .fetch_one(&mut **tx)
        .await?)
}

/// Begins the next epoch. The caller holds the lock, and marks what it changes with this number.
///
/// # Errors
/// The database failed.
pub async fn advance(tx: &mut Tx, org: OrgId, epoch: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE org_epochs SET epoch = $2 WHERE org_id = $1")
        .bind(org.uuid())
        .bind(epoch)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What was changed after `epoch`.
///
/// # Errors
/// The database failed.
pub async fn revised_since(tx: &mut Tx, org: OrgId, epoch: i64) -> Result<Revised, StoreError> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "(SELECT id, true FROM actors WHERE org_id = $1 AND epoch > 0 AND epoch > $2 LIMIT $3)
         UNION ALL
         (SELECT id, false FROM accounts WHERE org_id = $1 AND epoch > 0 AND epoch > $2 LIMIT $3)",
    )
    .bind(org.uuid())
    .bind(epoch)
    .bind(MAX_REVISED)
    .fetch_all(&mut **tx)
    .await?;
    let too_many = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= MAX_REVISED;
    let (actors, accounts): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, is_actor)| *is_actor);
    let ids = |rows: Vec<(Uuid, bool)>| rows.into_iter().map(|(id, _)| id).collect();
    Ok(Revised {
        actors: ids(actors),
        accounts: ids(accounts),
        too_many,
    })
}
