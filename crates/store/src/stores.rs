//! The databases of one service, by role.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Lifecycle;
use parking_lot::Mutex;
use settings::Validate as _;
use sqlx::PgConnection;
use telemetry::Metrics;
use tokio::sync::Notify;

use crate::error::is_connection_loss;
use crate::partitions::PartitionSpec;
use crate::pool::RolePool;
use crate::settings::Role;
use crate::{DbSettings, Leadership, OrgScope, StoreError, Tx, leader, maintenance, outbox, partitions, tx};

/// The request path: role `<schema>_app`, every transaction for one organization.
#[derive(Clone)]
pub struct Db(RolePool);

/// The workers' path: role `<schema>_pipeline`, which sees all organizations in the tables that were opened to it by
/// `CALL pipeline_table('…')` in a migration, and fails on the others.
#[derive(Clone)]
pub struct PipelineDb(RolePool);

/// Maintenance: role `<schema>_owner`. Not for requests and not for events: row-level security shows it no rows.
#[derive(Clone)]
pub struct OwnerDb {
    pool: RolePool,
    settings: Arc<DbSettings>,
}

impl Db {
    /// Opens a transaction for one organization: `BEGIN` and its context in one round trip. Cancellation-safe.
    ///
    /// # Errors
    /// [`StoreError::Acquire`] when no connection could be had in time; nothing was changed.
    pub async fn begin(&self, scope: &OrgScope) -> Result<Tx, StoreError> {
        self.0.begin(&opening(scope)).await
    }
}

impl PipelineDb {
    /// Opens a transaction over all organizations. Cancellation-safe.
    ///
    /// # Errors
    /// [`StoreError::Acquire`] when no connection could be had in time; nothing was changed.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.begin("BEGIN").await
    }

    /// Runs one statement that is a transaction by itself and enqueues events: no `BEGIN` and `COMMIT` around it, one round
    /// trip. Wakes the relay.
    ///
    /// # Errors
    /// [`StoreError::CommitUnknown`] when the connection is lost or silent: unlike with [`Self::begin`], it may have been
    /// dead before. With every other error nothing was stored.
    pub async fn tell_at_once<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut checkout = self.0.checkout().await?;
        let limit = self.0.limits().statement;
        match tokio::time::timeout(limit, statement(&mut checkout)).await {
            Ok(Ok(done)) => {
                checkout.give_back();
                self.0.poke().notify_one();
                Ok(done)
            }
            Ok(Err(error)) if is_connection_loss(&error) => {
                self.0.forget_idle();
                Err(StoreError::CommitUnknown(error))
            }
            Ok(Err(error)) => Err(StoreError::Sql(error)),
            Err(_) => {
                self.0.forget_idle();
                Err(StoreError::CommitUnknown(tx::timed_out(limit)))
            }
        }
    }

    /// Runs `work` in a transaction of its own, bounded in time also when the server stops answering.
    pub(crate) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tx = self.begin().await?;
        let limit = self.0.limits().statement;
        let done = tokio::time::timeout(limit, work(&mut tx))
            .await
            .map_err(|_| StoreError::Sql(tx::timed_out(limit)))??;
        tx.commit().await?;
        Ok(done)
    }
}

impl OwnerDb {
    /// Opens a transaction as the owner of the schema. Cancellation-safe.
    ///
    /// # Errors
    /// [`StoreError::Acquire`] when no connection could be had in time; nothing was changed.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.pool.begin("BEGIN").await
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.settings.schema
    }

    pub(crate) fn settings(&self) -> &DbSettings {
        &self.settings
    }
}

/// `SET LOCAL` is `set_config(…, true)` without a result to send. It takes no parameters; the text of a UUID has only
/// hexadecimal digits and hyphens.
fn opening(scope: &OrgScope) -> String {
    format!("BEGIN; SET LOCAL devsignal.org_id = '{}'", scope.uuid())
}

/// Everything a service has in Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    /// The request path.
    pub db: Db,
    /// The workers' path.
    pub pipeline: PipelineDb,
    /// Maintenance.
    pub owner: OwnerDb,
    kept: Arc<Mutex<Vec<PartitionSpec>>>,
}

impl Stores {
    /// Logs in with all three roles, makes the outbox's partitions, and starts the tasks `store-health` (the readiness
    /// check `postgres`) and `store-maintenance` (partitions, old inbox rows; hourly).
    ///
    /// Waits for a Postgres that is not there yet until `lifecycle` stops.
    ///
    /// # Errors
    /// Settings that are not valid, a refused login, a schema that was not migrated ([`crate::migrate`]).
    pub async fn connect(
        settings: &DbSettings,
        lifecycle: &Lifecycle,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        settings
            .validate()
            .map_err(|error| StoreError::Misuse(error.to_string()))?;
        let poke = Arc::new(Notify::new());
        let pool = |role, connections| RolePool::new(settings, role, connections, metrics, Arc::clone(&poke));
        let stores = Self {
            db: Db(pool(Role::App, settings.app_connections)?),
            pipeline: PipelineDb(pool(Role::Pipeline, settings.pipeline_connections)?),
            // One for maintenance, one for the readiness check.
            owner: OwnerDb {
                pool: pool(Role::Owner, 2)?,
                settings: Arc::new(settings.clone()),
            },
            kept: Arc::default(),
        };
        stores.wait_until_reachable(lifecycle).await?;
        stores
            .keep_partitions(outbox::partitions(settings.outbox_retention_days))
            .await?;
        maintenance::spawn(&stores, lifecycle);
        Ok(stores)
    }

    /// Makes the partitions of `spec`'s table now, and keeps making and dropping them hourly.
    ///
    /// # Errors
    /// As [`partitions::ensure`].
    pub async fn keep_partitions(&self, spec: PartitionSpec) -> Result<(), StoreError> {
        partitions::ensure(&self.owner, &spec, ids::SystemClock::shared().now()).await?;
        let mut kept = self.kept.lock();
        kept.retain(|known| known.table != spec.table);
        kept.push(spec);
        Ok(())
    }

    pub(crate) fn kept(&self) -> Vec<PartitionSpec> {
        self.kept.lock().clone()
    }

    /// Woken after every commit that enqueued events, and by whoever calls `notify_one`. One waiter: the relay.
    #[must_use]
    pub fn outbox_poke(&self) -> Arc<Notify> {
        Arc::clone(self.pipeline.0.poke())
    }

    /// Tries to become the one leader named `name` in this schema, on a connection of its own.
    ///
    /// # Errors
    /// Postgres cannot be reached.
    pub async fn lead(&self, name: &str) -> Result<Option<Leadership>, StoreError> {
        leader::acquire(&self.owner.settings, name).await
    }

    async fn wait_until_reachable(&self, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        loop {
            let tried = async {
                // Both places of the owner's, one for maintenance and one for the readiness check.
                let (one, other) = tokio::try_join!(self.owner.begin(), self.owner.begin())?;
                one.rollback().await;
                other.rollback().await;
                self.pipeline.begin().await?.rollback().await;
                self.db.0.begin("BEGIN").await?.rollback().await;
                Ok::<_, StoreError>(())
            };
            match tried.await {
                Ok(()) => return Ok(()),
                Err(error @ StoreError::Acquire { .. }) if !lifecycle.readiness().shutting_down => {
                    tracing::warn!(error = %error, "waiting for Postgres");
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = lifecycle.stopping() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores")
            .field("schema", &self.owner.schema())
            .finish_non_exhaustive()
    }
}
