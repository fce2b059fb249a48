//! `devsignal.crm.v1.ActivityService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::activity_service_server::ActivityService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{links, list_of, plain_id, time, tree, writing};
use super::{answer, enter, serve};
use crate::domain::edit::Problems;
use crate::domain::work::{ACTIVITY_TYPES, Activity, ActivityEdit, MAX_TITLE};
use crate::error::CrmError;
use crate::store::Records;
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "activities";

/// Longest activity, in minutes: a week.
const MAX_MINUTES: i32 = 10_080;

/// What took place with persons and companies.
pub struct ActivityApi {
    records: Records,
}

impl ActivityApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListActivitiesRequest>,
    ) -> Result<crm::ListActivitiesResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let page = self
            .records
            .list_work::<Activity>(&scope, &list_of!(asked), tree.as_ref())
            .await?;
        Ok(crm::ListActivitiesResponse {
            data: page.items.iter().map(wire::activity).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(
        &self,
        request: Request<crm::GetActivityRequest>,
    ) -> Result<crm::GetActivityResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("activityId", &request.get_ref().activity_id)?;
        let activity: Activity = self.records.work(&scope, id).await?;
        Ok(crm::GetActivityResponse {
            activity: Some(wire::activity(&activity)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateActivityRequest>,
    ) -> Result<crm::CreateActivityResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        if asked.r#type.is_none() {
            problems.add("/type", "required", "an activity has a type".to_owned());
        }
        if asked.subject.is_none() {
            problems.add("/subject", "required", "an activity has a subject".to_owned());
        }
        let asked = crm::UpdateActivityRequest {
            r#type: asked.r#type,
            subject: asked.subject,
            body: asked.body,
            occurred_at: asked.occurred_at,
            duration_minutes: asked.duration_minutes,
            direction: asked.direction,
            owner_id: asked.owner_id,
            account_id: asked.account_id,
            contact_id: asked.contact_id,
            deal_id: asked.deal_id,
            ..crm::UpdateActivityRequest::default()
        };
        let edit = edit(problems, asked)?;
        let activity = self.records.create_work::<Activity>(&write, &edit).await?;
        Ok(crm::CreateActivityResponse {
            activity: Some(wire::activity(&activity)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateActivityRequest>,
    ) -> Result<crm::UpdateActivityResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("activityId", &asked.activity_id)?;
        let (if_version, dry_run) = (asked.if_version, asked.dry_run);
        let edit = edit(Problems::default(), asked)?;
        let activity = self
            .records
            .edit_work::<Activity>(&write.tried(dry_run), id, &edit, if_version)
            .await?;
        Ok(crm::UpdateActivityResponse {
            activity: Some(wire::activity(&activity)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteActivityRequest>,
    ) -> Result<crm::DeleteActivityResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("activityId", &asked.activity_id)?;
        self.records
            .delete_work::<Activity>(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeleteActivityResponse {})
    }
}

fn edit(mut problems: Problems, asked: crm::UpdateActivityRequest) -> Result<ActivityEdit, CrmError> {
    let kind = problems.word("/type", asked.r#type.as_deref(), &ACTIVITY_TYPES);
    if kind == Some(None) {
        problems.add("/type", "required", "an activity has a type".to_owned());
    }
    let direction = problems.word("/direction", asked.direction.as_deref(), &["inbound", "outbound"]);
    let edit = ActivityEdit {
        kind: kind.flatten().map(str::to_owned),
        subject: problems.line("/subject", asked.subject, MAX_TITLE),
        body: problems.body("/body", asked.body),
        occurred_at: problems.time("/occurredAt", time(asked.occurred_at)),
        duration_minutes: duration(&mut problems, asked.duration_minutes),
        direction: direction.map(|word| word.map(str::to_owned)),
        owner: problems.user("/ownerId", asked.owner_id.as_deref()),
        links: links(
            &mut problems,
            asked.account_id.as_deref(),
            asked.contact_id.as_deref(),
            asked.deal_id.as_deref(),
        ),
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

fn duration(problems: &mut Problems, given: Option<i32>) -> Option<Option<i32>> {
    let given = given?;
    if (0..=MAX_MINUTES).contains(&given) {
        return Some((given > 0).then_some(given));
    }
    let message = format!("a duration is 0 to {MAX_MINUTES} minutes");
    problems.add("/durationMinutes", "out_of_range", message);
    None
}

serve!(ActivityApi, ActivityService {
    list_activities => list(ListActivitiesRequest) -> ListActivitiesResponse;
    get_activity => get(GetActivityRequest) -> GetActivityResponse;
    create_activity => create(CreateActivityRequest) -> CreateActivityResponse;
    update_activity => update(UpdateActivityRequest) -> UpdateActivityResponse;
    delete_activity => delete(DeleteActivityRequest) -> DeleteActivityResponse;
});
