//! The statements on `idempotency_records`.

use jiff::Timestamp;
use sqlx::Row as _;
use store::{Db, OrgScope, PipelineDb, StoreError, ToSqlx, Ts};
use uuid::Uuid;

use super::Try;

/// What the table holds for a key.
pub(super) enum Found {
    /// Nothing before: it is ours now, under this attempt.
    Ours,
    /// Another request is running under this key.
    Running {
        /// SHA-256 of the other request.
        request_sha256: Vec<u8>,
        /// When it is taken to be lost.
        locked_until: Timestamp,
    },
    /// A request was answered under this key.
    Answered {
        /// SHA-256 of that request.
        request_sha256: Vec<u8>,
        /// Its answer, sealed.
        answer: Vec<u8>,
    },
}

/// When locks begin and end, and what is too old.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) now: Timestamp,
    pub(super) locked_until: Timestamp,
    pub(super) expired_before: Timestamp,
}

/// Claims the key for `attempt`, unless somebody else has it.
pub(super) async fn claim(db: &Db, tried: &Try, attempt: Uuid, times: Times) -> Result<Found, StoreError> {
    let mut tx = db.begin(&OrgScope::new(tried.org)).await?;
    // A record that is too old, or whose gateway died over the same request, is as good as none.
    let claimed = sqlx::query(
        "INSERT INTO idempotency_records AS r \
             (org_id, key, request_sha256, attempt, locked_until, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (org_id, key) DO UPDATE SET \
             request_sha256 = excluded.request_sha256, attempt = excluded.attempt, \
             locked_until = excluded.locked_until, created_at = excluded.created_at, \
             completed_at = NULL, answer_sealed = NULL \
         WHERE r.created_at < $7 \
            OR (r.completed_at IS NULL AND r.locked_until < $6 AND r.request_sha256 = excluded.request_sha256)",
    )
    .bind(tried.org.uuid())
    .bind(&tried.key)
    .bind(&tried.request_sha256[..])
    .bind(attempt)
    .bind(times.locked_until.to_sqlx())
    .bind(times.now.to_sqlx())
    .bind(times.expired_before.to_sqlx())
    .execute(&mut *tx)
    .await?;
    if claimed.rows_affected() == 1 {
        tx.commit().await?;
        return Ok(Found::Ours);
    }
    let row = sqlx::query(
        "SELECT request_sha256, locked_until, answer_sealed FROM idempotency_records WHERE org_id = $1 AND key = $2",
    )
    .bind(tried.org.uuid())
    .bind(&tried.key)
    .fetch_optional(&mut *tx)
    .await?;
    tx.rollback().await;
    let Some(row) = row else {
        // Released between the two statements: the client may come again at once.
        return Ok(Found::Running {
            request_sha256: tried.request_sha256.to_vec(),
            locked_until: times.now,
        });
    };
    let request_sha256 = row.try_get("request_sha256")?;
    Ok(match row.try_get::<Option<Vec<u8>>, _>("answer_sealed")? {
        Some(answer) => Found::Answered {
            request_sha256,
            answer,
        },
        None => Found::Running {
            request_sha256,
            locked_until: row.try_get::<Ts, _>("locked_until")?.to_jiff(),
        },
    })
}

/// Stores the answer; `false` when the record was taken over meanwhile.
pub(super) async fn complete(
    db: &Db,
    tried: &Try,
    attempt: Uuid,
    now: Timestamp,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let mut tx = db.begin(&OrgScope::new(tried.org)).await?;
    let done = sqlx::query(
        "UPDATE idempotency_records SET completed_at = $4, answer_sealed = $5 \
         WHERE org_id = $1 AND key = $2 AND attempt = $3 AND completed_at IS NULL",
    )
    .bind(tried.org.uuid())
    .bind(&tried.key)
    .bind(attempt)
    .bind(now.to_sqlx())
    .bind(sealed)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the key back: nothing lasting came of the attempt.
pub(super) async fn release(db: &Db, tried: &Try, attempt: Uuid) -> Result<(), StoreError> {
    let mut tx = db.begin(&OrgScope::new(tried.org)).await?;
    sqlx::query(
        "DELETE FROM idempotency_records WHERE org_id = $1 AND key = $2 AND attempt = $3 AND completed_at IS NULL",
    )
    .bind(tried.org.uuid())
    .bind(&tried.key)
    .bind(attempt)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Deletes some records older than `before`; returns how many.
pub(super) async fn delete_before(db: &PipelineDb, before: Timestamp) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let done = sqlx::query(
        "DELETE FROM idempotency_records WHERE (org_id, key) IN \
         (SELECT org_id, key FROM idempotency_records WHERE created_at < $1 ORDER BY created_at LIMIT 1000)",
    )
    .bind(before.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
