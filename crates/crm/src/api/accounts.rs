//! `devsignal.crm.v1.AccountService`.

use std::sync::Arc;

use contracts::crm::v1 as crm;
use contracts::crm::v1::account_service_server::AccountService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{check_batch, extras, list_of, tree, verdict, writing};
use super::{answer, enter, id, serve};
use crate::domain::account::Account;
use crate::domain::edit::{AccountEdit, Problems};
use crate::domain::text;
use crate::error::CrmError;
use crate::signals::SignalSource;
use crate::store::{About, AccountDraft, Did, Records, Write};
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "accounts";

/// The companies that are tracked.
pub struct AccountApi {
    records: Records,
    signals: Arc<dyn SignalSource>,
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
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let page = self
            .records
            .list_accounts(&scope, &list_of!(asked), tree.as_ref())
            .await?;
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
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let account_id = id("accountId", &asked.account_id)?;
        let account = match asked.as_of {
            None => wire::account(&self.records.account(&scope, account_id).await?),
            Some(at) => {
                // It shows contacts and deals too.
                for resource in ["contacts", "deals"] {
                    caller.require(Access::Read, resource)?;
                }
                let at = contracts::convert::from_timestamp(&at).ok_or_else(|| {
                    let message = "asOf is a time such as 2026-01-31T12:00:00Z".to_owned();
                    CrmError::Api(::store::paging::invalid_parameter("?asOf", "invalid", message))
                })?;
                self.records.account_as_of(&scope, account_id, at).await?
            }
        };
        Ok(crm::GetAccountResponse {
            account: Some(account),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateAccountRequest>,
    ) -> Result<crm::CreateAccountResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let (account, _) = self.records.create_account(&write, &draft(asked)?, false).await?;
        Ok(crm::CreateAccountResponse {
            account: Some(wire::account(&account)),
        })
    }

    async fn upsert(
        &self,
        request: Request<crm::UpsertAccountRequest>,
    ) -> Result<crm::UpsertAccountResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        problems.matches("/match", &asked.r#match, "domain", asked.domain.is_some());
        problems.unless(()).map_err(CrmError::Invalid)?;
        let asked = crm::CreateAccountRequest {
            name: asked.name,
            domain: asked.domain,
            github_org: asked.github_org,
            employees: asked.employees,
            industry: asked.industry,
            country: asked.country,
            funding_stage: asked.funding_stage,
            owner_id: asked.owner_id,
            tags: asked.tags,
            custom_fields: asked.custom_fields,
            dry_run: None,
        };
        let (account, did) = self.records.create_account(&write, &draft(asked)?, true).await?;
        Ok(crm::UpsertAccountResponse {
            account: Some(wire::account(&account)),
            outcome: did.name().to_owned(),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateAccountRequest>,
    ) -> Result<crm::UpdateAccountResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let (account, _) = self.update_one(&write, asked).await?;
        Ok(crm::UpdateAccountResponse {
            account: Some(wire::account(&account)),
        })
    }

    async fn update_one(
        &self,
        write: &Write,
        asked: crm::UpdateAccountRequest,
    ) -> Result<(Account, Did), CrmError> {
        let account_id = id("accountId", &asked.account_id)?;
        let if_version = asked.if_version;
        let draft = draft_of_change(asked)?;
        self.records
            .edit_account(write, account_id, &draft, if_version)
            .await
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteAccountRequest>,
    ) -> Result<crm::DeleteAccountResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let account_id = id("accountId", &asked.account_id)?;
        self.records
            .delete_account(&write.tried(asked.dry_run), account_id, asked.if_version)
            .await?;
        Ok(crm::DeleteAccountResponse {})
    }

    async fn batch_create(
        &self,
        request: Request<crm::BatchCreateAccountsRequest>,
    ) -> Result<crm::BatchCreateAccountsResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        check_batch(asked.items.len(), "items")?;
        let upsert = !asked.r#match.is_empty();
        let mut results = Vec::with_capacity(asked.items.len());
        for (index, item) in asked.items.into_iter().enumerate() {
            let done = async {
                if upsert {
                    let mut problems = Problems::default();
                    problems.matches("/match", &asked.r#match, "domain", item.domain.is_some());
                    problems.unless(()).map_err(CrmError::Invalid)?;
                }
                self.records.create_account(&write, &draft(item)?, upsert).await
            };
            let done = done
                .await
                .map(|(account, did)| (Some(account.id.to_string()), did));
            results.push(verdict(index, done)?);
        }
        Ok(crm::BatchCreateAccountsResponse { results })
    }

    async fn batch_update(
        &self,
        request: Request<crm::BatchUpdateAccountsRequest>,
    ) -> Result<crm::BatchUpdateAccountsResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        check_batch(asked.items.len(), "items")?;
        let mut results = Vec::with_capacity(asked.items.len());
        for (index, item) in asked.items.into_iter().enumerate() {
            let done = self.update_one(&write, item).await;
            let done = done.map(|(account, did)| (Some(account.id.to_string()), did));
            results.push(verdict(index, done)?);
        }
        Ok(crm::BatchUpdateAccountsResponse { results })
    }

    async fn timeline(
        &self,
        request: Request<crm::ListAccountTimelineRequest>,
    ) -> Result<crm::ListAccountTimelineResponse, CrmError> {
        let entered = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let about = About::Account(id("accountId", &asked.account_id)?);
        let page = super::timeline::page(
            &self.records,
            &*self.signals,
            entered,
            about,
            asked.limit,
            asked.cursor,
        )
        .await?;
        Ok(crm::ListAccountTimelineResponse {
            data: page.data,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }
}

fn draft(asked: crm::CreateAccountRequest) -> Result<AccountDraft, CrmError> {
    let mut problems = Problems::default();
    if asked.name.is_none() && asked.domain.as_deref().unwrap_or_default().is_empty() {
        problems.add("/name", "required", "a name or a domain is needed".to_owned());
    }
    let github_org = problems.removable("/githubOrg", asked.github_org, 100);
    let change = crm::UpdateAccountRequest {
        name: asked.name,
        domain: asked.domain,
        employees: asked.employees,
        industry: asked.industry,
        country: asked.country,
        funding_stage: asked.funding_stage,
        owner_id: asked.owner_id,
        tags: asked.tags,
        custom_fields: asked.custom_fields,
        ..crm::UpdateAccountRequest::default()
    };
    let mut draft = checked(&mut problems, change);
    draft.edit.github_org = github_org;
    problems.unless(draft).map_err(CrmError::Invalid)
}

pub(super) fn draft_of_change(asked: crm::UpdateAccountRequest) -> Result<AccountDraft, CrmError> {
    let mut problems = Problems::default();
    let draft = checked(&mut problems, asked);
    problems.unless(draft).map_err(CrmError::Invalid)
}

fn checked(problems: &mut Problems, asked: crm::UpdateAccountRequest) -> AccountDraft {
    let edit = AccountEdit {
        name: problems.name("/name", asked.name),
        employees: problems.employees("/employees", asked.employees),
        industry: problems.removable("/industry", asked.industry, text::MAX_INDUSTRY),
        country: problems.country("/country", asked.country),
        funding_stage: problems.removable("/fundingStage", asked.funding_stage, text::MAX_FUNDING_STAGE),
        domain: problems.domain("/domain", asked.domain.as_deref()),
        github_org: None,
        extras: None,
    };
    AccountDraft {
        edit,
        extras: extras(
            problems,
            asked.owner_id.as_deref(),
            asked.tags,
            asked.custom_fields.as_ref(),
        ),
    }
}

serve!(AccountApi, AccountService {
    list_accounts => list(ListAccountsRequest) -> ListAccountsResponse;
    get_account => get(GetAccountRequest) -> GetAccountResponse;
    create_account => create(CreateAccountRequest) -> CreateAccountResponse;
    upsert_account => upsert(UpsertAccountRequest) -> UpsertAccountResponse;
    update_account => update(UpdateAccountRequest) -> UpdateAccountResponse;
    delete_account => delete(DeleteAccountRequest) -> DeleteAccountResponse;
    batch_create_accounts => batch_create(BatchCreateAccountsRequest) -> BatchCreateAccountsResponse;
    batch_update_accounts => batch_update(BatchUpdateAccountsRequest) -> BatchUpdateAccountsResponse;
    list_account_timeline => timeline(ListAccountTimelineRequest) -> ListAccountTimelineResponse;
});
