//! `devsignal.crm.v1.ContactService`.

use ::store::list::ListRequest;
use contracts::crm::v1 as crm;
use contracts::crm::v1::contact_service_server::ContactService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::{answer, enter, filters, id};
use crate::domain::edit::{ContactEdit, Problems};
use crate::domain::text;
use crate::error::CrmError;
use crate::store::Records;
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "contacts";

/// The known people.
pub struct ContactApi {
    records: Records,
}

impl ContactApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListContactsRequest>,
    ) -> Result<crm::ListContactsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let list = ListRequest {
            limit: asked.limit,
            cursor: asked.cursor.as_deref(),
            sort: asked.sort.as_deref(),
            filters: filters(asked.filter),
            include: asked.include.as_deref(),
        };
        let page = self.records.list_contacts(&scope, &list).await?;
        Ok(crm::ListContactsResponse {
            data: page.items.iter().map(wire::contact).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(
        &self,
        request: Request<crm::GetContactRequest>,
    ) -> Result<crm::GetContactResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let contact = self
            .records
            .contact(&scope, id("contactId", &request.get_ref().contact_id)?)
            .await?;
        Ok(crm::GetContactResponse {
            contact: Some(wire::contact(&contact)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateContactRequest>,
    ) -> Result<crm::UpdateContactResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Write, RESOURCE)?;
        let asked = request.into_inner();
        let contact_id = id("contactId", &asked.contact_id)?;
        let if_version = asked.if_version;
        let edit = edit(asked)?;
        let contact = self
            .records
            .edit_contact(&scope, contact_id, &edit, if_version)
            .await?;
        Ok(crm::UpdateContactResponse {
            contact: Some(wire::contact(&contact)),
        })
    }
}

fn edit(asked: crm::UpdateContactRequest) -> Result<ContactEdit, CrmError> {
    let mut problems = Problems::default();
    let edit = ContactEdit {
        name: problems.name("/name", asked.name),
        title: problems.removable("/title", asked.title, text::MAX_TITLE),
        company: problems.removable("/company", asked.company, text::MAX_TITLE),
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

#[tonic::async_trait]
impl ContactService for ContactApi {
    async fn list_contacts(
        &self,
        request: Request<crm::ListContactsRequest>,
    ) -> Result<Response<crm::ListContactsResponse>, Status> {
        self.list(request).await.map(Response::new).map_err(answer)
    }

    async fn get_contact(
        &self,
        request: Request<crm::GetContactRequest>,
    ) -> Result<Response<crm::GetContactResponse>, Status> {
        self.get(request).await.map(Response::new).map_err(answer)
    }

    async fn update_contact(
        &self,
        request: Request<crm::UpdateContactRequest>,
    ) -> Result<Response<crm::UpdateContactResponse>, Status> {
        self.update(request).await.map(Response::new).map_err(answer)
    }
}
