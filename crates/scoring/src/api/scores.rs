//! `devsignal.scores.v1.ScoreService`.

use ::store::OrgScope;
use contracts::scores::v1::score_service_server::ScoreService;
use contracts::scores::v1::{GetAccountScoreRequest, GetAccountScoreResponse};
use errors::{ApiError, ErrorCode, ErrorDomain as _};
use ids::AccountId;
use rpc::Access;
use tonic::{Request, Response, Status};

use crate::worker::{Scorer, chain};

/// Explains scores.
pub struct ScoreApi {
    scorer: Scorer,
}

impl ScoreApi {
    /// Reads, and where need be computes, by this scorer.
    #[must_use]
    pub fn new(scorer: Scorer) -> Self {
        Self { scorer }
    }
}

#[tonic::async_trait]
impl ScoreService for ScoreApi {
    async fn get_account_score(
        &self,
        request: Request<GetAccountScoreRequest>,
    ) -> Result<Response<GetAccountScoreResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller
            .require(Access::Read, "accounts")
            .map_err(|error| error.to_status())?;
        let scope = OrgScope::new(caller.org().map_err(|error| error.to_status())?);
        let account: AccountId = request
            .get_ref()
            .account_id
            .parse()
            .map_err(|_| ApiError::new(ErrorCode::InvalidId, "account_id is not a UUID").to_status())?;
        match self.scorer.current(&scope, account).await {
            Ok(score) => Ok(Response::new(GetAccountScoreResponse { score: Some(score) })),
            Err(error) => {
                let api = error.to_api();
                if api.code != ErrorCode::NotFound {
                    tracing::error!(request = caller.request_id(), error = %chain(&error), "a score cannot be read");
                }
                Err(api.to_status())
            }
        }
    }
}
