//! `devsignal.crm.v1.TagService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::tag_service_server::TagService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{check_batch, list_of, plain_id, verdict, writing};
use super::{answer, enter, serve};
use crate::domain::edit::Problems;
use crate::domain::extras::{MAX_TAG, Object};
use crate::error::CrmError;
use crate::store::{Records, TagEdit, Write};
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "tags";

/// The words that records are marked with.
pub struct TagApi {
    records: Records,
}

impl TagApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(&self, request: Request<crm::ListTagsRequest>) -> Result<crm::ListTagsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let page = self.records.list_tags(&scope, &list_of!(asked)).await?;
        Ok(crm::ListTagsResponse {
            data: page.items.iter().map(wire::tag).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetTagRequest>) -> Result<crm::GetTagResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("tagId", &request.get_ref().tag_id)?;
        let found = self.records.tag(&scope, id).await?;
        Ok(crm::GetTagResponse {
            tag: Some(wire::tag(&found)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteTagRequest>,
    ) -> Result<crm::DeleteTagResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("tagId", &asked.tag_id)?;
        self.records
            .delete_tag(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeleteTagResponse {})
    }

    async fn create(
        &self,
        request: Request<crm::CreateTagRequest>,
    ) -> Result<crm::CreateTagResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        let name = problems.line("/name", Some(asked.name.unwrap_or_default()), MAX_TAG);
        let color = color(&mut problems, asked.color).flatten();
        let name = problems
            .unless(name)
            .map_err(CrmError::Invalid)?
            .unwrap_or_default();
        let tag = self.records.create_tag(&write, &name, color.as_deref()).await?;
        Ok(crm::CreateTagResponse {
            tag: Some(wire::tag(&tag)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateTagRequest>,
    ) -> Result<crm::UpdateTagResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let id = plain_id("tagId", &asked.tag_id)?;
        let mut problems = Problems::default();
        let edit = TagEdit {
            name: problems.line("/name", asked.name, MAX_TAG),
            color: color(&mut problems, asked.color),
        };
        let edit = problems.unless(edit).map_err(CrmError::Invalid)?;
        let tag = self.records.edit_tag(&write, id, &edit, asked.if_version).await?;
        Ok(crm::UpdateTagResponse {
            tag: Some(wire::tag(&tag)),
        })
    }

    async fn assign(
        &self,
        request: Request<crm::AssignTagRequest>,
    ) -> Result<crm::AssignTagResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let results = self
            .mark(&write, &asked.tag_id, &asked.object, &asked.ids, true)
            .await?;
        Ok(crm::AssignTagResponse { results })
    }

    async fn unassign(
        &self,
        request: Request<crm::UnassignTagRequest>,
    ) -> Result<crm::UnassignTagResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let results = self
            .mark(&write, &asked.tag_id, &asked.object, &asked.ids, false)
            .await?;
        Ok(crm::UnassignTagResponse { results })
    }

    async fn mark(
        &self,
        write: &Write,
        tag: &str,
        object: &str,
        ids: &[String],
        on: bool,
    ) -> Result<Vec<crm::BatchResult>, CrmError> {
        let tag = plain_id("tagId", tag)?;
        check_batch(ids.len(), "ids")?;
        let mut problems = Problems::default();
        let object = Object::parse(object);
        if object.is_none() {
            let message = "it is account, contact or deal".to_owned();
            problems.add("/object", "unknown_value", message);
        }
        let parsed: Vec<uuid::Uuid> = ids
            .iter()
            .enumerate()
            .filter_map(|(index, text)| {
                let id: Option<ids::ActorId> = problems
                    .id(
                        &format!("/ids/{index}"),
                        Some(text.as_str()).filter(|text| !text.is_empty()),
                    )
                    .flatten();
                if id.is_none() && text.is_empty() {
                    problems.add(
                        &format!("/ids/{index}"),
                        "invalid_id",
                        "an id is a UUID".to_owned(),
                    );
                }
                id.map(ids::ActorId::uuid)
            })
            .collect();
        let object = problems.unless(object).map_err(CrmError::Invalid)?;
        let object = object.ok_or(CrmError::NotFound("object"))?;
        let done = self.records.mark(write, tag, object, &parsed, on).await?;
        done.into_iter()
            .zip(ids)
            .enumerate()
            .map(|(index, (done, id))| verdict(index, done.map(|did| (Some(id.clone()), did))))
            .collect()
    }
}

fn color(problems: &mut Problems, given: Option<String>) -> Option<Option<String>> {
    let given = given?;
    if given.is_empty() {
        return Some(None);
    }
    let fits = given
        .strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if fits {
        return Some(Some(given.to_ascii_lowercase()));
    }
    problems.add(
        "/color",
        "invalid_color",
        "a colour is written #rrggbb".to_owned(),
    );
    None
}

serve!(TagApi, TagService {
    list_tags => list(ListTagsRequest) -> ListTagsResponse;
    get_tag => get(GetTagRequest) -> GetTagResponse;
    create_tag => create(CreateTagRequest) -> CreateTagResponse;
    update_tag => update(UpdateTagRequest) -> UpdateTagResponse;
    delete_tag => delete(DeleteTagRequest) -> DeleteTagResponse;
    assign_tag => assign(AssignTagRequest) -> AssignTagResponse;
    unassign_tag => unassign(UnassignTagRequest) -> UnassignTagResponse;
});
