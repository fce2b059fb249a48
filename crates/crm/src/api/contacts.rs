//! `devsignal.crm.v1.ContactService`.

use std::sync::Arc;

use contracts::crm::v1 as crm;
use contracts::crm::v1::contact_service_server::ContactService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{check_batch, extras, list_of, tree, verdict, writing};
use super::{answer, enter, id, serve};
use crate::domain::contact::Contact;
use crate::domain::edit::{ContactEdit, Problems};
use crate::domain::text;
use crate::error::CrmError;
use crate::signals::SignalSource;
use crate::store::{About, ContactDraft, Did, Records, Write};
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "contacts";

/// The known people.
pub struct ContactApi {
    records: Records,
    signals: Arc<dyn SignalSource>,
}

impl ContactApi {
    /// The service over these records; timelines take their signals from `signals`.
    #[must_use]
    pub fn new(records: Records, signals: Arc<dyn SignalSource>) -> Self {
        Self { records, signals }
    }

    async fn list(
        &self,
        request: Request<crm::ListContactsRequest>,
    ) -> Result<crm::ListContactsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let page = self
            .records
            .list_contacts(&scope, &list_of!(asked), tree.as_ref())
            .await?;
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

    async fn create(
        &self,
        request: Request<crm::CreateContactRequest>,
    ) -> Result<crm::CreateContactResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let (contact, _) = self.records.create_contact(&write, &draft(asked)?, false).await?;
        Ok(crm::CreateContactResponse {
            contact: Some(wire::contact(&contact)),
        })
    }

    async fn upsert(
        &self,
        request: Request<crm::UpsertContactRequest>,
    ) -> Result<crm::UpsertContactResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        problems.matches("/match", &asked.r#match, "email", asked.email.is_some());
        problems.unless(()).map_err(CrmError::Invalid)?;
        let asked = crm::CreateContactRequest {
            email: asked.email,
            name: asked.name,
            github: asked.github,
            phone: asked.phone,
            title: asked.title,
            company: asked.company,
            account_id: asked.account_id,
            owner_id: asked.owner_id,
            tags: asked.tags,
            custom_fields: asked.custom_fields,
            dry_run: None,
        };
        let (contact, did) = self.records.create_contact(&write, &draft(asked)?, true).await?;
        Ok(crm::UpsertContactResponse {
            contact: Some(wire::contact(&contact)),
            outcome: did.name().to_owned(),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateContactRequest>,
    ) -> Result<crm::UpdateContactResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let (contact, _) = self.update_one(&write, asked).await?;
        Ok(crm::UpdateContactResponse {
            contact: Some(wire::contact(&contact)),
        })
    }

    async fn update_one(
        &self,
        write: &Write,
        asked: crm::UpdateContactRequest,
    ) -> Result<(Contact, Did), CrmError> {
        let contact_id = id("contactId", &asked.contact_id)?;
        let if_version = asked.if_version;
        let draft = draft_of_change(asked)?;
        self.records
            .edit_contact(write, contact_id, &draft, if_version)
            .await
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteContactRequest>,
    ) -> Result<crm::DeleteContactResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let contact_id = id("contactId", &asked.contact_id)?;
        self.records
            .delete_contact(&write.tried(asked.dry_run), contact_id, asked.if_version)
            .await?;
        Ok(crm::DeleteContactResponse {})
    }

    async fn batch_create(
        &self,
        request: Request<crm::BatchCreateContactsRequest>,
    ) -> Result<crm::BatchCreateContactsResponse, CrmError> {
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
                    problems.matches("/match", &asked.r#match, "email", item.email.is_some());
                    problems.unless(()).map_err(CrmError::Invalid)?;
                }
                self.records.create_contact(&write, &draft(item)?, upsert).await
            };
            let done = done
                .await
                .map(|(contact, did)| (Some(contact.id.to_string()), did));
            results.push(verdict(index, done)?);
        }
        Ok(crm::BatchCreateContactsResponse { results })
    }

    async fn batch_update(
        &self,
        request: Request<crm::BatchUpdateContactsRequest>,
    ) -> Result<crm::BatchUpdateContactsResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        check_batch(asked.items.len(), "items")?;
        let mut results = Vec::with_capacity(asked.items.len());
        for (index, item) in asked.items.into_iter().enumerate() {
            let done = self.update_one(&write, item).await;
            let done = done.map(|(contact, did)| (Some(contact.id.to_string()), did));
            results.push(verdict(index, done)?);
        }
        Ok(crm::BatchUpdateContactsResponse { results })
    }

    async fn timeline(
        &self,
        request: Request<crm::ListContactTimelineRequest>,
    ) -> Result<crm::ListContactTimelineResponse, CrmError> {
        let entered = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let about = About::Contact(id("contactId", &asked.contact_id)?);
        let page = super::timeline::page(
            &self.records,
            &*self.signals,
            entered,
            about,
            asked.limit,
            asked.cursor,
        )
        .await?;
        Ok(crm::ListContactTimelineResponse {
            data: page.data,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }
}

fn draft(asked: crm::CreateContactRequest) -> Result<ContactDraft, CrmError> {
    let mut problems = Problems::default();
    let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().is_empty();
    if empty(&asked.email) && empty(&asked.github) && empty(&asked.phone) && empty(&asked.name) {
        let message = "an email, a github login, a phone number or a name is needed";
        problems.add("/email", "required", message.to_owned());
    }
    let github = problems.login("/github", asked.github.as_deref());
    let phone = problems.phone("/phone", asked.phone.as_deref());
    let change = crm::UpdateContactRequest {
        name: asked.name,
        title: asked.title,
        company: asked.company,
        email: asked.email.filter(|email| !email.trim().is_empty()),
        account_id: asked.account_id,
        owner_id: asked.owner_id,
        tags: asked.tags,
        custom_fields: asked.custom_fields,
        ..crm::UpdateContactRequest::default()
    };
    let mut draft = checked(&mut problems, change);
    draft.github = github;
    draft.phone = phone;
    problems.unless(draft).map_err(CrmError::Invalid)
}

pub(super) fn draft_of_change(asked: crm::UpdateContactRequest) -> Result<ContactDraft, CrmError> {
    let mut problems = Problems::default();
    let draft = checked(&mut problems, asked);
    problems.unless(draft).map_err(CrmError::Invalid)
}

fn checked(problems: &mut Problems, asked: crm::UpdateContactRequest) -> ContactDraft {
    let email = problems.email("/email", asked.email.as_deref());
    if email == Some(None) {
        let message = "an address that is known stays known; give another to replace it";
        problems.add("/email", "required", message.to_owned());
    }
    ContactDraft {
        email: email.flatten(),
        github: None,
        phone: None,
        account: problems.id("/accountId", asked.account_id.as_deref()),
        edit: ContactEdit {
            name: problems.name("/name", asked.name),
            title: problems.removable("/title", asked.title, text::MAX_TITLE),
            company: problems.removable("/company", asked.company, text::MAX_TITLE),
            ..ContactEdit::default()
        },
        extras: extras(
            problems,
            asked.owner_id.as_deref(),
            asked.tags,
            asked.custom_fields.as_ref(),
        ),
    }
}

serve!(ContactApi, ContactService {
    list_contacts => list(ListContactsRequest) -> ListContactsResponse;
    get_contact => get(GetContactRequest) -> GetContactResponse;
    create_contact => create(CreateContactRequest) -> CreateContactResponse;
    upsert_contact => upsert(UpsertContactRequest) -> UpsertContactResponse;
    update_contact => update(UpdateContactRequest) -> UpdateContactResponse;
    delete_contact => delete(DeleteContactRequest) -> DeleteContactResponse;
    batch_create_contacts => batch_create(BatchCreateContactsRequest) -> BatchCreateContactsResponse;
    batch_update_contacts => batch_update(BatchUpdateContactsRequest) -> BatchUpdateContactsResponse;
    list_contact_timeline => timeline(ListContactTimelineRequest) -> ListContactTimelineResponse;
});
