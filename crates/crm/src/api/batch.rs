//! `devsignal.crm.v1.BatchService`.

use std::str::FromStr;

use contracts::crm::v1 as crm;
use contracts::crm::v1::batch_service_server::BatchService;
use errors::ApiError;
use ids::{AccountId, ContactId};
use rpc::Access;
use tonic::{Request, Response, Status};

use super::{answer, enter};
use crate::error::CrmError;
use crate::store::Records;
use crate::wire;

/// Most ids of one call that names single records.
const MAX_IDS: usize = 1_000;
/// Most ids of one call that lists records of each.
const MAX_OWNERS: usize = 200;
/// Most records of each.
const MAX_OF_EACH: i32 = 200;

/// Reads many records at once.
pub struct BatchApi {
    records: Records,
}

impl BatchApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn accounts(
        &self,
        request: Request<crm::BatchGetAccountsRequest>,
    ) -> Result<crm::BatchGetAccountsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, "accounts")?;
        let ids: Vec<AccountId> = parsed(&request.get_ref().ids, MAX_IDS)?;
        let found = self.records.accounts_of_ids(&scope, &ids).await?;
        Ok(crm::BatchGetAccountsResponse {
            data: found.iter().map(wire::account).collect(),
        })
    }

    async fn contacts(
        &self,
        request: Request<crm::BatchGetContactsRequest>,
    ) -> Result<crm::BatchGetContactsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, "contacts")?;
        let ids: Vec<ContactId> = parsed(&request.get_ref().ids, MAX_IDS)?;
        let found = self.records.contacts_of_ids(&scope, &ids).await?;
        Ok(crm::BatchGetContactsResponse {
            data: found.iter().map(wire::contact).collect(),
        })
    }

    async fn of_accounts(
        &self,
        request: Request<crm::BatchListContactsRequest>,
    ) -> Result<crm::BatchListContactsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, "contacts")?;
        let asked = request.into_inner();
        let ids: Vec<AccountId> = parsed(&asked.ids, MAX_OWNERS)?;
        if !(1..=MAX_OF_EACH).contains(&asked.limit) {
            let message = format!("a limit is from 1 to {MAX_OF_EACH}");
            return Err(CrmError::Api(ApiError::invalid(
                "/limit",
                "out_of_range",
                message,
            )));
        }
        let found = self
            .records
            .contacts_of_accounts(&scope, &ids, asked.limit)
            .await?;
        let mut groups: Vec<crm::ContactGroup> = Vec::new();
        for contact in &found {
            let Some(account) = contact.account_id() else {
                continue;
            };
            let id = account.to_string();
            match groups.last_mut().filter(|group| group.id == id) {
                Some(group) => group.data.push(wire::contact(contact)),
                None => groups.push(crm::ContactGroup {
                    id,
                    data: vec![wire::contact(contact)],
                }),
            }
        }
        Ok(crm::BatchListContactsResponse { groups })
    }
}

fn parsed<T: FromStr>(ids: &[String], most: usize) -> Result<Vec<T>, CrmError> {
    if ids.len() > most {
        let message = format!("one call may have at most {most} ids");
        return Err(CrmError::Api(ApiError::invalid("/ids", "too_many", message)));
    }
    let invalid = |n| {
        ApiError::invalid(
            format!("/ids/{n}"),
            "invalid_id",
            "an id is a UUID in canonical form",
        )
    };
    ids.iter()
        .enumerate()
        .map(|(n, id)| id.parse().map_err(|_| CrmError::Api(invalid(n))))
        .collect()
}

#[tonic::async_trait]
impl BatchService for BatchApi {
    async fn batch_get_accounts(
        &self,
        request: Request<crm::BatchGetAccountsRequest>,
    ) -> Result<Response<crm::BatchGetAccountsResponse>, Status> {
        self.accounts(request).await.map(Response::new).map_err(answer)
    }

    async fn batch_get_contacts(
        &self,
        request: Request<crm::BatchGetContactsRequest>,
    ) -> Result<Response<crm::BatchGetContactsResponse>, Status> {
        self.contacts(request).await.map(Response::new).map_err(answer)
    }

    async fn batch_list_contacts(
        &self,
        request: Request<crm::BatchListContactsRequest>,
    ) -> Result<Response<crm::BatchListContactsResponse>, Status> {
        self.of_accounts(request).await.map(Response::new).map_err(answer)
    }
}
