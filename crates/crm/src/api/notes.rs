//! `devsignal.crm.v1.NoteService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::note_service_server::NoteService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{links, list_of, plain_id, tree, writing};
use super::{answer, enter, serve};
use crate::domain::edit::Problems;
use crate::domain::work::{Note, NoteEdit};
use crate::error::CrmError;
use crate::store::Records;
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "notes";

/// Texts about accounts, contacts and deals.
pub struct NoteApi {
    records: Records,
}

impl NoteApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListNotesRequest>,
    ) -> Result<crm::ListNotesResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let page = self
            .records
            .list_work::<Note>(&scope, &list_of!(asked), tree.as_ref())
            .await?;
        Ok(crm::ListNotesResponse {
            data: page.items.iter().map(wire::note).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetNoteRequest>) -> Result<crm::GetNoteResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("noteId", &request.get_ref().note_id)?;
        let note: Note = self.records.work(&scope, id).await?;
        Ok(crm::GetNoteResponse {
            note: Some(wire::note(&note)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateNoteRequest>,
    ) -> Result<crm::CreateNoteResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        if asked.body.is_none() {
            problems.add("/body", "required", "a note has a text".to_owned());
        }
        let asked = crm::UpdateNoteRequest {
            body: asked.body,
            account_id: asked.account_id,
            contact_id: asked.contact_id,
            deal_id: asked.deal_id,
            ..crm::UpdateNoteRequest::default()
        };
        let edit = edit(problems, asked)?;
        let note = self.records.create_work::<Note>(&write, &edit).await?;
        Ok(crm::CreateNoteResponse {
            note: Some(wire::note(&note)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateNoteRequest>,
    ) -> Result<crm::UpdateNoteResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("noteId", &asked.note_id)?;
        let (if_version, dry_run) = (asked.if_version, asked.dry_run);
        let edit = edit(Problems::default(), asked)?;
        let note = self
            .records
            .edit_work::<Note>(&write.tried(dry_run), id, &edit, if_version)
            .await?;
        Ok(crm::UpdateNoteResponse {
            note: Some(wire::note(&note)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteNoteRequest>,
    ) -> Result<crm::DeleteNoteResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("noteId", &asked.note_id)?;
        self.records
            .delete_work::<Note>(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeleteNoteResponse {})
    }
}

fn edit(mut problems: Problems, asked: crm::UpdateNoteRequest) -> Result<NoteEdit, CrmError> {
    let body = problems.body("/body", asked.body);
    if body == Some(None) {
        problems.add("/body", "required", "a note has a text".to_owned());
    }
    let edit = NoteEdit {
        body: body.flatten(),
        links: links(
            &mut problems,
            asked.account_id.as_deref(),
            asked.contact_id.as_deref(),
            asked.deal_id.as_deref(),
        ),
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

serve!(NoteApi, NoteService {
    list_notes => list(ListNotesRequest) -> ListNotesResponse;
    get_note => get(GetNoteRequest) -> GetNoteResponse;
    create_note => create(CreateNoteRequest) -> CreateNoteResponse;
    update_note => update(UpdateNoteRequest) -> UpdateNoteResponse;
    delete_note => delete(DeleteNoteRequest) -> DeleteNoteResponse;
});
