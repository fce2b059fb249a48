//! What the services have in common.

use std::sync::Arc;

use errors::{ApiError, ErrorCode, ErrorDomain as _};
use ids::{Clock, EventId, IdGen, OrgId};
use jiff::Timestamp;
use outbound::Policy;
use store::{OrgScope, StoreError, Stores, Transient, Tx};
use tokio::sync::Notify;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::events::Catalogue;
use crate::secrets::Sealer;

/// Dependencies. Shared by the services.
pub struct Parts {
    /// The gateway's schema.
    pub stores: Stores,
    /// Seals secrets and headers.
    pub sealer: Sealer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// The types of events.
    pub catalogue: Catalogue,
    /// Which URLs may be given.
    pub policy: Policy,
    /// Most webhooks of an organization.
    pub most: i64,
    /// Wakes the delivery role, when it is in this process.
    pub poke: Arc<Notify>,
}

/// Both services. Cheap to clone.
#[derive(Clone)]
pub struct Api(pub Arc<Parts>);

/// Why a call fails.
#[derive(Debug)]
pub enum Fault {
    /// The database.
    Store(StoreError),
    /// What was asked.
    Api(ApiError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl Transient for Fault {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Api(error) => error.to_status(),
            Fault::Store(error) => {
                let told = error.to_api();
                if told.code != ErrorCode::Conflict {
                    tracing::error!(%error, source = ?std::error::Error::source(&error), "a call failed");
                }
                told.to_status()
            }
        }
    }
}

/// The caller's organization.
pub fn enter<T>(request: &Request<T>) -> Result<OrgScope, Status> {
    Ok(OrgScope::new(rpc::caller(request)?.org()?))
}

/// An id of the path.
pub fn path_id(text: &str, what: &str) -> Result<Uuid, ApiError> {
    text.parse::<OrgId>()
        .map(OrgId::uuid)
        .map_err(|_| ApiError::new(ErrorCode::InvalidId, format!("the id of a {what} is a UUID")))
}

/// `If-Match`.
pub fn if_match(asked: Option<i64>, version: i64) -> Result<(), ApiError> {
    if asked.is_none_or(|asked| asked == version) {
        return Ok(());
    }
    let detail = format!("the webhook has version {version} by now");
    Err(ApiError::new(ErrorCode::PreconditionFailed, detail))
}

impl Parts {
    /// Keeps what was done, or undoes it when it was a trial.
    pub async fn finish(&self, tx: Tx, dry_run: Option<bool>) -> Result<(), Fault> {
        if dry_run == Some(true) {
            tx.rollback().await;
            return Ok(());
        }
        tx.commit().await?;
        self.poke.notify_one();
        Ok(())
    }

    /// Writes an event about a webhook into the outbox.
    pub async fn tell<E: contracts::Event>(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        webhook: Uuid,
        now: Timestamp,
        event: &E,
    ) -> Result<(), StoreError> {
        let id = EventId(self.ids.next());
        let envelope = contracts::Envelope::wrap(event, id, scope.org(), webhook.to_string(), now);
        eventbus::enqueue(tx, &envelope).await
    }
}
