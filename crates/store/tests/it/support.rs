//! What the tests share.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ids::{IdGen as _, OrgId, SystemIds};
use local_stack::{Postgres, PostgresOptions};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};
use store::bootstrap::{ServiceRoles, bootstrap};
use store::{DbSettings, OrgScope};
use tempfile::TempDir;
use test_kit::{TestDatabase, TestStores, database_settings};
use uuid::Uuid;

pub(crate) const SCHEMA: &str = "workshop";
pub(crate) static MIGRATOR: Migrator = store::migrator!("tests/migrations");

pub(crate) async fn stores() -> TestStores {
    TestStores::create(SCHEMA, &MIGRATOR).await
}

pub(crate) fn new_id() -> Uuid {
    SystemIds.next()
}

pub(crate) fn org() -> OrgScope {
    OrgScope::new(OrgId(new_id()))
}

/// The superuser, to look behind the walls.
pub(crate) async fn superuser(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(&database.url()).await.unwrap()
}

/// A Postgres of the test's own, to be stopped, killed or frozen.
pub(crate) struct PrivatePostgres {
    // Dropped in this order.
    pub(crate) server: Postgres,
    pub(crate) settings: DbSettings,
    _directory: TempDir,
}

impl PrivatePostgres {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = PostgresOptions::new(directory.path().join("postgres"));
        options.durable = false;
        let server = Postgres::start(options).await.unwrap();
        let url = server.superuser_url("devsignal");
        let settings = database_settings(&url, SCHEMA).unwrap();
        bootstrap(&url.into(), "devsignal", &[ServiceRoles::from(&settings)])
            .await
            .unwrap();
        store::migrate(&settings, &MIGRATOR).await.unwrap();
        Self {
            server,
            settings,
            _directory: directory,
        }
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.server.superuser_url("devsignal"))
            .await
            .unwrap()
    }
}

/// Runs a future up to its `suspensions`th suspension and drops it there: a cancellation at a chosen await.
/// `Some` when it completed before.
pub(crate) async fn cancel_at<F: Future>(suspensions: usize, future: F) -> Option<F::Output> {
    CancelAt {
        future: Box::pin(future),
        left: suspensions,
    }
    .await
}

struct CancelAt<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for CancelAt<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.left <= 1 => Poll::Ready(None),
            Poll::Pending => {
                self.left -= 1;
                Poll::Pending
            }
        }
    }
}
