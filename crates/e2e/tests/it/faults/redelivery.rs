//! Forced redelivery: messages come again that the broker cannot know for repeats.
//!
//! A row of an outbox is copied under a new event id, and the relay publishes the copy. Its message id is new, so the
//! broker's duplicate window does not catch it, and the consumer gets the batch a second time. For the three events of the
//! pipeline the batch id inside is the unit of idempotency, whatever message carries it, so such a copy is exactly what
//! a redelivery outside of the window is. (For other events the event's own id is that unit; those are delivered again
//! with the same id when the broker's store is wiped and the outbox repairs it, see `broker`.)

use ids::{IdGen as _, OrgId, SystemIds};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{PROGRESS, Trial};

/// The share of the batches that comes again.
pub const SHARE: f64 = 0.05;

/// Copies a share of the published batches; at least one of each kind. Returns how many.
pub async fn force(sql: &mut PgConnection, org: OrgId, share: f64) -> u64 {
    let mut copied = 0;
    for (schema, kind) in [
        ("signal_ingest", "signals.accepted"),
        ("identity_resolver", "signals.resolved"),
        ("signal_ingest", "signals.recorded"),
    ] {
        let choose = format!(
            "SELECT id FROM {schema}.outbox WHERE org_id = $1 AND published_at IS NOT NULL AND subject LIKE '%.' || $2 \
             ORDER BY random() LIMIT (SELECT greatest(1, ceil(count(*) * $3))::bigint FROM {schema}.outbox \
                                      WHERE org_id = $1 AND subject LIKE '%.' || $2)"
        );
        let chosen: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(choose))
            .bind(org.uuid())
            .bind(kind)
            .bind(share)
            .fetch_all(&mut *sql)
            .await
            .unwrap();
        let copies: Vec<Uuid> = chosen.iter().map(|_| SystemIds.next()).collect();
        let copy = format!(
            "INSERT INTO {schema}.outbox (id, org_id, subject, about, source, encoding, traceparent, payload, occurred_at) \
             SELECT copy, org_id, subject, about, source, encoding, traceparent, payload, occurred_at \
             FROM unnest($1::uuid[], $2::uuid[]) AS pairs (original, copy) JOIN {schema}.outbox ON id = original"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(copy))
            .bind(&chosen)
            .bind(&copies)
            .execute(&mut *sql)
            .await
            .unwrap();
        copied += done.rows_affected();
    }
    copied
}

#[tokio::test(flavor = "multi_thread")]
async fn every_twentieth_batch_delivered_again_changes_nothing() {
    let trial = Trial::start().await;
    let mut sql = trial.cluster.sql().await.unwrap();
    let mut copied = 0;
    for _ in 0..10 {
        trial.ledger.progress(PROGRESS).await;
        copied += force(&mut sql, trial.api.org, SHARE).await;
    }
    assert!(copied >= 30, "{copied}");
    trial.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_batches_delivered_again_later_change_nothing() {
    let trial = Trial::start().await;
    trial.ledger.progress(10 * PROGRESS).await;
    let (mut sql, org) = (trial.cluster.sql().await.unwrap(), trial.api.org);
    assert!(force(&mut sql, org, 1.0).await > 10);
    trial.judge().await;
}
