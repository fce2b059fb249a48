//! `devsignal.scores.v1.BatchService`.

use ::store::OrgScope;
use contracts::scores::v1::batch_service_server::BatchService;
use contracts::scores::v1::{BatchGetAccountScoresRequest, BatchGetAccountScoresResponse};
use errors::{ApiError, ErrorDomain as _};
use ids::AccountId;
use rpc::Access;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::worker::{Scorer, chain};

/// Most ids of one call.
const MAX_IDS: usize = 1_000;

/// Reads many scores at once.
pub struct BatchApi {
    scorer: Scorer,
}

impl BatchApi {
    /// Reads where this scorer writes.
    #[must_use]
    pub fn new(scorer: Scorer) -> Self {
        Self { scorer }
    }
}

#[tonic::async_trait]
impl BatchService for BatchApi {
    async fn batch_get_account_scores(
        &self,
        request: Request<BatchGetAccountScoresRequest>,
    ) -> Result<Response<BatchGetAccountScoresResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller.require(Access::Read, "accounts")?;
        let scope = OrgScope::new(caller.org()?);
        let ids = &request.get_ref().ids;
        if ids.len() > MAX_IDS {
            let message = format!("one call may have at most {MAX_IDS} ids");
            return Err(ApiError::invalid("/ids", "too_many", message).into());
        }
        let parsed: Result<Vec<Uuid>, _> = ids
            .iter()
            .map(|id| id.parse::<AccountId>().map(|id| id.uuid()))
            .collect();
        let parsed = parsed.map_err(|_| ApiError::invalid("/ids", "invalid_id", "an id is a UUID"))?;
        match self.scorer.stored(&scope, &parsed).await {
            Ok(data) => Ok(Response::new(BatchGetAccountScoresResponse { data })),
            Err(error) => {
                tracing::error!(request = caller.request_id(), error = %chain(&error), "scores cannot be read");
                Err(error.to_api().to_status())
            }
        }
    }
}
