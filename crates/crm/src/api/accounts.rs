//! `devsignal.crm.v1.AccountService`.

use std::sync::Arc;

use ::store::list::ListRequest;
use contracts::crm::v1 as crm;
use contracts::crm::v1::account_service_server::AccountService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::{answer, enter, filters, id};
use crate::domain::edit::{AccountEdit, Problems};
use crate::domain::text;
use crate::error::CrmError;
use crate::signals::SignalSource;
use crate::store::Records;
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "accounts";

/// The companies that are tracked.
pub struct AccountApi {
    pub(super) records: Records,
    pub(super) signals: Arc<dyn SignalSource>,
}

impl AccountApi {
    /// The service over these records; timelines take their signals from `signals`.
    #[must_use]
    pub fn new(records: Records, signals: Arc<dyn SignalSource>) -> Self {
        Self { records, signals }
    }

    async fn list(
        &self,
        request: Request<crm::ListAccountsRequest>,
    ) -> Result<crm::ListAccountsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let list = ListRequest {
            limit: asked.limit,
            cursor: asked.cursor.as_deref(),
            sort: asked.sort.as_deref(),
            filters: filters(asked.filter),
            include: asked.include.as_deref(),
        };
        let page = self.records.list_accounts(&scope, &list).await?;
        Ok(crm::ListAccountsResponse {
            data: page.items.iter().map(wire::account).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(
        &self,
        request: Request<crm::GetAccountRequest>,
    ) -> Result<crm::GetAccountResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let account = self
            .records
            .account(&scope, id("accountId", &request.get_ref().account_id)?)
            .await?;
        Ok(crm::GetAccountResponse {
            account: Some(wire::account(&account)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateAccountRequest>,
    ) -> Result<crm::UpdateAccountResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Write, RESOURCE)?;
        let asked = request.into_inner();
        let account_id = id("accountId", &asked.account_id)?;
        let if_version = asked.if_version;
        let edit = edit(asked)?;
        let account = self
            .records
            .edit_account(&scope, account_id, &edit, if_version)
            .await?;
        Ok(crm::UpdateAccountResponse {
            account: Some(wire::account(&account)),
        })
    }
}

fn edit(asked: crm::UpdateAccountRequest) -> Result<AccountEdit, CrmError> {
    let mut problems = Problems::default();
    let edit = AccountEdit {
        name: problems.name("/name", asked.name),
        employees: problems.employees("/employees", asked.employees),
        industry: problems.removable("/industry", asked.industry, text::MAX_INDUSTRY),
        country: problems.country("/country", asked.country),
        funding_stage: problems.removable("/fundingStage", asked.funding_stage, text::MAX_FUNDING_STAGE),
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

#[tonic::async_trait]
impl AccountService for AccountApi {
    async fn list_accounts(
        &self,
        request: Request<crm::ListAccountsRequest>,
    ) -> Result<Response<crm::ListAccountsResponse>, Status> {
        self.list(request).await.map(Response::new).map_err(answer)
    }

    async fn get_account(
        &self,
        request: Request<crm::GetAccountRequest>,
    ) -> Result<Response<crm::GetAccountResponse>, Status> {
        self.get(request).await.map(Response::new).map_err(answer)
    }

    async fn update_account(
        &self,
        request: Request<crm::UpdateAccountRequest>,
    ) -> Result<Response<crm::UpdateAccountResponse>, Status> {
        self.update(request).await.map(Response::new).map_err(answer)
    }

    async fn list_account_timeline(
        &self,
        request: Request<crm::ListAccountTimelineRequest>,
    ) -> Result<Response<crm::ListAccountTimelineResponse>, Status> {
        let entered = enter(&request, Access::Read, RESOURCE).map_err(answer)?;
        self.timeline(entered, request.into_inner())
            .await
            .map(Response::new)
            .map_err(answer)
    }
}
