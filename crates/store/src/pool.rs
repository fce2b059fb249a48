//! Connections of one role: made, checked out, given back, thrown away.
//!
//! The rule that guards against both faults of sqlx 0.9's own pool (`README.md`): a connection goes back only after a
//! commit or a rollback that Postgres confirmed, and giving back does no I/O. In every other case (error, cancelled
//! future, panic, forgotten transaction) the socket is closed, which ends the server's transaction, and its place in
//! the pool is free at once.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics as Age, Object, Pool, PoolError, RecycleError, RecycleResult};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use telemetry::{Histogram, IntCounter, IntGauge, Metrics, SECONDS_BUCKETS};
use tokio::sync::Notify;

use crate::error::is_connection_loss;
use crate::settings::Role;
use crate::tx::Limits;
use crate::{DbSettings, StoreError, Tx};

/// First and longest pause between attempts to connect within one acquire.
const CONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// The connect options of a role: who logs in, and the server-side limits of its sessions.
pub(crate) fn connect_options(settings: &DbSettings, role: Role) -> PgConnectOptions {
    let (password, statement_factor) = match role {
        Role::App => (&settings.app_password, 1),
        Role::Pipeline => (&settings.pipeline_password, 1),
        // Migrations and partition maintenance move whole tables.
        Role::Owner => (&settings.owner_password, 12),
    };
    let schema = settings.schema.as_str();
    PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .database(&settings.database)
        .username(&format!("{schema}_{}", role.suffix()))
        .password(password.expose())
        .application_name(&format!("{schema}-{}", role.suffix()))
        .options([
            ("search_path", schema),
            ("timezone", "UTC"),
            ("jit", "off"),
            ("synchronous_commit", "on"),
        ])
        .options([
            (
                "statement_timeout",
                settings.statement_timeout_ms * statement_factor,
            ),
            ("lock_timeout", settings.lock_timeout_ms),
            (
                "idle_in_transaction_session_timeout",
                settings.idle_in_transaction_timeout_ms,
            ),
            // The server notices within a second that the client went away, also in the middle of a statement.
            ("client_connection_check_interval", 1_000),
            ("tcp_keepalives_idle", 10),
            ("tcp_keepalives_interval", 5),
            ("tcp_user_timeout", 15_000),
        ])
}

/// Makes connections for the pool.
pub(crate) struct Connector {
    options: PgConnectOptions,
    lifetime: Duration,
}

impl Manager for Connector {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options).await
    }

    /// Asks only for the age: whether the connection still works is found out by the `BEGIN` that follows.
    async fn recycle(&self, _: &mut PgConnection, age: &Age) -> RecycleResult<sqlx::Error> {
        if age.created.elapsed() < self.lifetime {
            Ok(())
        } else {
            Err(RecycleError::message("beyond its lifetime"))
        }
    }
}

/// A checked-out connection. Dropping it closes the socket; only [`Checkout::give_back`] returns it to the pool.
pub(crate) struct Checkout(Option<Object<Connector>>);

impl Checkout {
    /// Returns the connection to the pool. To be called when the server has no transaction open on it.
    pub(crate) fn give_back(mut self) {
        drop(self.0.take());
    }

    /// Whether it has served before, so that its peer may be long gone.
    fn is_used(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|object| Object::metrics(object).recycle_count > 0)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

impl Deref for Checkout {
    type Target = PgConnection;

    #[expect(
        clippy::expect_used,
        reason = "taken only by give_back and drop, after which nobody holds it"
    )]
    fn deref(&self) -> &PgConnection {
        self.0.as_deref().expect("the connection was taken")
    }
}

impl DerefMut for Checkout {
    #[expect(
        clippy::expect_used,
        reason = "taken only by give_back and drop, after which nobody holds it"
    )]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().expect("the connection was taken")
    }
}

/// What the pool tells to Prometheus.
struct PoolMetrics {
    open: IntGauge,
    waited: Histogram,
    discarded: IntCounter,
    failed: IntCounter,
}

/// The connections of one role. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RolePool {
    pool: Pool<Connector>,
    limits: Limits,
    acquire_timeout: Duration,
    metrics: Arc<PoolMetrics>,
    poke: Arc<Notify>,
}

impl RolePool {
    pub(crate) fn new(
        settings: &DbSettings,
        role: Role,
        connections: u32,
        metrics: &Metrics,
        poke: Arc<Notify>,
    ) -> Result<Self, StoreError> {
        let connector = Connector {
            options: connect_options(settings, role),
            lifetime: Duration::from_secs(settings.connection_lifetime_secs),
        };
        let pool = Pool::builder(connector)
            .max_size(usize::try_from(connections).unwrap_or(usize::MAX))
            // The last one used has the warmest caches; the others can grow old.
            .queue_mode(deadpool::managed::QueueMode::Lifo)
            .build()
            .map_err(|error| StoreError::Misuse(format!("the pool cannot be built: {error}")))?;
        let name = role.suffix();
        Ok(Self {
            pool,
            limits: Limits::new(settings, role),
            acquire_timeout: Duration::from_millis(settings.acquire_timeout_ms),
            metrics: Arc::new(PoolMetrics {
                open: metrics.gauge(&format!("db_{name}_connections"), "Open connections of the role")?,
                waited: metrics.histogram(
                    &format!("db_{name}_acquire_seconds"),
                    "Time until a transaction was open",
                    SECONDS_BUCKETS,
                )?,
                discarded: metrics.counter(
                    &format!("db_{name}_discarded_total"),
                    "Connections that did not answer when they were taken, and were closed",
                )?,
                failed: metrics.counter(
                    &format!("db_{name}_acquire_failed_total"),
                    "Transactions that could not be opened within the acquire timeout",
                )?,
            }),
            poke,
        })
    }

    pub(crate) fn poke(&self) -> &Arc<Notify> {
        &self.poke
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Opens a transaction with `opening` (`BEGIN` and what belongs to it, in one round trip). Connections that turn
    /// out dead or frozen are closed and the next one is tried, until the acquire timeout: `BEGIN` changes nothing,
    /// so that trying again is safe. Cancellation-safe at every await.
    pub(crate) async fn begin(&self, opening: &str) -> Result<Tx, StoreError> {
        let checkout = self.open(Some(opening)).await?;
        Ok(Tx::new(checkout, self.limits, Arc::clone(&self.poke)))
    }

    /// A connection without a transaction. It may be dead: nothing has been asked of it.
    pub(crate) async fn checkout(&self) -> Result<Checkout, StoreError> {
        self.open(None).await
    }

    /// Closes the idle connections, because one of their siblings turned out dead. Returns how many.
    pub(crate) fn forget_idle(&self) -> usize {
        let idle = self.pool.retain(|_, _| false).removed.len();
        self.metrics
            .discarded
            .inc_by(u64::try_from(idle).unwrap_or(u64::MAX));
        idle
    }

    async fn open(&self, opening: Option<&str>) -> Result<Checkout, StoreError> {
        let started = Instant::now();
        let mut last = None;
        let result = tokio::time::timeout(self.acquire_timeout, self.try_open(opening, &mut last)).await;
        self.metrics
            .open
            .set(i64::try_from(self.pool.status().size).unwrap_or(i64::MAX));
        self.metrics.waited.observe(started.elapsed().as_secs_f64());
        match result {
            Ok(Ok(checkout)) => Ok(checkout),
            Ok(Err(error)) => Err(StoreError::Sql(error)),
            Err(_) => {
                self.metrics.failed.inc();
                let waited_ms = u64::try_from(self.acquire_timeout.as_millis()).unwrap_or(u64::MAX);
                Err(StoreError::Acquire {
                    waited_ms,
                    source: last.map(Box::new),
                })
            }
        }
    }

    async fn try_open(
        &self,
        opening: Option<&str>,
        last: &mut Option<sqlx::Error>,
    ) -> Result<Checkout, sqlx::Error> {
        let mut pause = CONNECT_PAUSE.0;
        loop {
            let mut checkout = match self.pool.get().await {
                Ok(object) => Checkout(Some(object)),
                Err(PoolError::Backend(error)) if is_connection_loss(&error) => {
                    *last = Some(error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(CONNECT_PAUSE.1);
                    continue;
                }
                Err(PoolError::Backend(error)) => return Err(error),
                // The pool has no timeouts or hooks of its own and is never closed before its last user is gone.
                Err(_) => return Err(sqlx::Error::PoolClosed),
            };
            let Some(opening) = opening else {
                return Ok(checkout);
            };
            let used = checkout.is_used();
            let begun = checkout.execute(AssertSqlSafe(opening));
            match tokio::time::timeout(self.acquire_timeout / 2, begun).await {
                Ok(Ok(_)) => return Ok(checkout),
                Ok(Err(error)) if is_connection_loss(&error) => {
                    *last = Some(error);
                    self.metrics.discarded.inc();
                    if !used {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(CONNECT_PAUSE.1);
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    // A peer that is silent for so long is frozen or cut off, and its siblings likely are too.
                    let idle = self.forget_idle();
                    self.metrics.discarded.inc();
                    tracing::warn!(
                        idle,
                        "a database connection did not answer; closed it and the idle ones"
                    );
                }
            }
        }
    }
}
