//! `devsignal.crm.v1.PipelineService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::pipeline_service_server::PipelineService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{list_of, plain_id, writing};
use super::{answer, enter, serve};
use crate::domain::deal::{self, Milestone};
use crate::domain::edit::Problems;
use crate::error::CrmError;
use crate::store::{Records, StageDraft};
use crate::wire;

/// Longest name of a pipeline or a stage, in characters.
const MAX_NAME: usize = 100;
/// Most stages of a pipeline.
const MAX_STAGES: usize = 50;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "pipelines";

/// The pipelines of deals.
pub struct PipelineApi {
    records: Records,
}

impl PipelineApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListPipelinesRequest>,
    ) -> Result<crm::ListPipelinesResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let page = self.records.list_pipelines(&scope, &list_of!(asked)).await?;
        Ok(crm::ListPipelinesResponse {
            data: page.items.iter().map(wire::pipeline).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(
        &self,
        request: Request<crm::GetPipelineRequest>,
    ) -> Result<crm::GetPipelineResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("pipelineId", &request.get_ref().pipeline_id)?;
        let found = self.records.pipeline(&scope, id).await?;
        Ok(crm::GetPipelineResponse {
            pipeline: Some(wire::pipeline(&found)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeletePipelineRequest>,
    ) -> Result<crm::DeletePipelineResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("pipelineId", &asked.pipeline_id)?;
        self.records
            .delete_pipeline(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeletePipelineResponse {})
    }

    async fn create(
        &self,
        request: Request<crm::CreatePipelineRequest>,
    ) -> Result<crm::CreatePipelineResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        let name = problems.line("/name", Some(asked.name), MAX_NAME);
        let stages = stages(&mut problems, &asked.stages);
        let name = problems
            .unless(name)
            .map_err(CrmError::Invalid)?
            .unwrap_or_default();
        let pipeline = self.records.create_pipeline(&write, &name, &stages).await?;
        Ok(crm::CreatePipelineResponse {
            pipeline: Some(wire::pipeline(&pipeline)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdatePipelineRequest>,
    ) -> Result<crm::UpdatePipelineResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let id = plain_id("pipelineId", &asked.pipeline_id)?;
        let mut problems = Problems::default();
        let name = problems.line("/name", asked.name, MAX_NAME);
        let stages = (!asked.stages.is_empty()).then(|| stages(&mut problems, &asked.stages));
        problems.unless(()).map_err(CrmError::Invalid)?;
        let pipeline = self
            .records
            .edit_pipeline(&write, id, name.as_deref(), stages.as_deref(), asked.if_version)
            .await?;
        Ok(crm::UpdatePipelineResponse {
            pipeline: Some(wire::pipeline(&pipeline)),
        })
    }
}

fn stages(problems: &mut Problems, given: &[crm::StageInput]) -> Vec<StageDraft> {
    if !(2..=MAX_STAGES).contains(&given.len()) {
        problems.add(
            "/stages",
            "out_of_range",
            format!("a pipeline has 2 to {MAX_STAGES} stages"),
        );
        return Vec::new();
    }
    let mut stages: Vec<StageDraft> = Vec::with_capacity(given.len());
    let mut newest = None;
    for (index, stage) in given.iter().enumerate() {
        let place = |name: &str| format!("/stages/{index}/{name}");
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if stage.key.is_empty() || stage.key.len() > 50 || !stage.key.bytes().all(fits) {
            let message = "a key has 1 to 50 characters of a-z, 0-9 and _".to_owned();
            problems.add(&place("key"), "invalid_key", message);
        } else if stages.iter().any(|known| known.key == stage.key) {
            problems.add(
                &place("key"),
                "repeated",
                "a key stands once in a pipeline".to_owned(),
            );
        }
        let kind = problems.word(&place("kind"), stage.kind.as_deref(), &["open", "won", "lost"]);
        let kind = kind
            .flatten()
            .and_then(deal::Status::parse)
            .unwrap_or(deal::Status::Open);
        let names: Vec<&'static str> = Milestone::ALL.iter().map(|m| m.name()).collect();
        let milestone = problems.word(&place("milestone"), stage.milestone.as_deref(), &names);
        let milestone = milestone.flatten().and_then(Milestone::parse);
        if milestone.is_some() {
            if kind != deal::Status::Open {
                problems.add(
                    &place("milestone"),
                    "not_allowed",
                    "only open stages have one".to_owned(),
                );
            } else if milestone <= newest {
                let message = "milestones stand once each, in their order".to_owned();
                problems.add(&place("milestone"), "out_of_order", message);
            }
            newest = milestone;
        }
        let name = stage
            .name
            .as_ref()
            .filter(|name| !name.is_empty())
            .unwrap_or(&stage.key);
        stages.push(StageDraft {
            key: stage.key.clone(),
            name: problems
                .line(&place("name"), Some(name.clone()), MAX_NAME)
                .unwrap_or_default(),
            kind,
            milestone,
        });
    }
    for kind in deal::Status::ALL {
        if stages.iter().all(|stage| stage.kind != kind) {
            let message = format!("a pipeline has a stage of kind {}", kind.name());
            problems.add("/stages", "required", message);
        }
    }
    stages
}

serve!(PipelineApi, PipelineService {
    list_pipelines => list(ListPipelinesRequest) -> ListPipelinesResponse;
    get_pipeline => get(GetPipelineRequest) -> GetPipelineResponse;
    create_pipeline => create(CreatePipelineRequest) -> CreatePipelineResponse;
    update_pipeline => update(UpdatePipelineRequest) -> UpdatePipelineResponse;
    delete_pipeline => delete(DeletePipelineRequest) -> DeletePipelineResponse;
});
