//! `IntakeService`: what the gateway hands over.

use std::sync::Arc;

use contracts::signals::v1::intake_service_server::IntakeService;
use contracts::signals::v1::{
    AcceptJsonRequest, AcceptJsonResponse, JsonIntake, ReceiveGithubRequest, ReceiveGithubResponse,
};
use errors::{ApiError, FieldError};
use ids::{Clock, OrgId};
use jiff::Timestamp;
use rpc::Access;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{status, verdicts};
use crate::domain::json::{Item, read_batch, read_single};
use crate::domain::limits::Limits;
use crate::domain::validate::{request_key, validate};
use crate::github::Receiver;
use crate::intake::{Draft, Intake};

/// The service. Its callers are our own services: the principal has the system role.
pub struct IntakeApi {
    /// Where signals go.
    pub intake: Intake,
    /// Where webhooks go.
    pub receiver: Receiver,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is accepted.
    pub limits: Limits,
}

#[tonic::async_trait]
impl IntakeService for IntakeApi {
    async fn accept_json(
        &self,
        request: Request<AcceptJsonRequest>,
    ) -> Result<Response<AcceptJsonResponse>, Status> {
        rpc::caller(&request)?.require(Access::System, "signals")?;
        let now = self.clock.now();
        let mut drafts = Vec::new();
        // Per item: whether it is a batch, and why it was refused, if it was.
        let mut items: Vec<(bool, Option<ApiError>)> = Vec::new();
        for item in request.into_inner().items {
            let batch = item.batch;
            items.push(match self.draft(item, now) {
                Ok(draft) => {
                    drafts.push(draft);
                    (batch, None)
                }
                Err(refusal) => (batch, Some(refusal)),
            });
        }
        let mut accepted = self.intake.accept(drafts).await.into_iter();
        let mut outcome = |refusal: Option<ApiError>| match refusal {
            Some(refusal) => Err(refusal),
            None => accepted.next().unwrap_or_else(|| Err(ApiError::internal())),
        };
        let results = items
            .into_iter()
            .map(|(batch, refusal)| verdicts::http_result(outcome(refusal), batch))
            .collect();
        Ok(Response::new(AcceptJsonResponse { results }))
    }

    async fn receive_github(
        &self,
        request: Request<ReceiveGithubRequest>,
    ) -> Result<Response<ReceiveGithubResponse>, Status> {
        rpc::caller(&request)?.require(Access::System, "signals")?;
        let received = self
            .receiver
            .receive(request.into_inner())
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(ReceiveGithubResponse {
            status: received.status().to_owned(),
            signal_id: received.signal().map(|id| id.to_string()),
        }))
    }
}

impl IntakeApi {
    fn draft(&self, item: JsonIntake, now: Timestamp) -> Result<Draft, ApiError> {
        let org = Uuid::from_slice(&item.organization_id).map(OrgId).map_err(|_| {
            ApiError::invalid("/organizationId", "invalid_id", "must be the 16 bytes of a UUID")
        })?;
        if let Some(key) = &item.idempotency_key {
            request_key(key)
                .map_err(|fault| ApiError::invalid("Idempotency-Key", fault.code, fault.message))?;
        }
        let read = if item.batch {
            read_batch(&item.body, &self.limits)?
        } else {
            vec![read_single(&item.body, &self.limits)?]
        };
        let check = |item: Item| -> Result<_, Vec<FieldError>> { validate(item?, &self.limits, now) };
        Ok(Draft {
            org,
            items: read.into_iter().map(check).collect(),
            key: item.idempotency_key,
        })
    }
}
