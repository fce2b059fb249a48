//! Pipelines with their stages.

use ::store::list::{ListRequest, ListSpec, Sort, SortKind};
use ::store::paging::Page;
use ::store::{Class, OrgScope, ToSqlx as _, Tx};
use errors::FieldError;
use ids::derived;
use uuid::Uuid;

use super::custom_fields::conflict;
use super::pipeline_rows::{Row, fill, find, save, save_stages};
use super::{Records, Write, check_version, in_tx};
use crate::domain::deal::{DEFAULT_STAGES, Milestone, Pipeline, Stage, Status};
use crate::error::CrmError;

/// Most pipelines of an organization.
pub const MAX_PIPELINES: i64 = 100;

const SPEC: ListSpec = ListSpec {
    table: "pipelines",
    columns: "t.id, t.name, t.is_default, t.created_at, t.updated_at, t.version",
    condition: None,
    filters: &[],
    sorts: &[
        Sort {
            name: "name",
            column: "name_key",
            kind: SortKind::Text,
            nullable: false,
        },
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
    ],
    default_sort: "name",
};

/// A stage as a person sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageDraft {
    /// Its name for programs.
    pub key: String,
    /// Its name for persons.
    pub name: String,
    /// What it means.
    pub kind: Status,
    /// What moves deals here.
    pub milestone: Option<Milestone>,
}

/// The id of an organization's default pipeline: the same for whoever makes it first.
fn default_id(scope: &OrgScope) -> Uuid {
    derived(scope.uuid(), "crm default pipeline")
}

impl Records {
    /// Makes the default pipeline, unless it is there.
    pub(super) async fn ensure_default_pipeline(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
    ) -> Result<Uuid, CrmError> {
        let id = default_id(scope);
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pipelines WHERE org_id = $1 AND is_default)")
                .bind(scope.uuid())
                .fetch_one(&mut **tx)
                .await?;
        if known {
            return Ok(id);
        }
        let made = sqlx::query(
            "INSERT INTO pipelines (org_id, id, name, name_key, is_default, created_at, updated_at, version) \
             VALUES ($1, $2, 'Product-led growth', 'product-led growth', true, $3, $3, 1) ON CONFLICT DO NOTHING",
        )
        .bind(scope.uuid())
        .bind(id)
        .bind(self.now().to_sqlx())
        .execute(&mut **tx)
        .await?;
        if made.rows_affected() == 1 {
            let stages: Vec<Stage> = DEFAULT_STAGES
                .iter()
                .map(|(key, name, kind, milestone)| Stage {
                    id: derived(id, key),
                    key: (*key).to_owned(),
                    name: (*name).to_owned(),
                    kind: *kind,
                    milestone: *milestone,
                })
                .collect();
            save_stages(tx, scope, id, &stages).await?;
        }
        Ok(id)
    }

    /// A page of pipelines with their stages.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_pipelines(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
    ) -> Result<Page<Pipeline>, CrmError> {
        let query = SPEC.prepare(scope, "ListPipelines", request)?;
        let mut tx = self.db.begin(scope).await?;
        self.ensure_default_pipeline(&mut tx, scope).await?;
        let page: Page<Row> = query.fetch(&mut tx).await?;
        let mut page = super::converted::<Row, Pipeline>(page)?;
        fill(&mut tx, scope, &mut page.items).await?;
        tx.commit().await?;
        Ok(page)
    }

    /// One pipeline.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn pipeline(&self, scope: &OrgScope, id: Uuid) -> Result<Pipeline, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        self.ensure_default_pipeline(&mut tx, scope).await?;
        let found = find(&mut tx, scope, id, None).await?;
        tx.commit().await?;
        found.ok_or(CrmError::NotFound("pipeline"))
    }

    /// Makes a pipeline.
    ///
    /// # Errors
    /// A conflict of names, too many pipelines, or of the database.
    pub async fn create_pipeline(
        &self,
        write: &Write,
        name: &str,
        stages: &[StageDraft],
    ) -> Result<Pipeline, CrmError> {
        let now = self.now();
        self.write(
            write,
            in_tx!(tx => {
                self.ensure_default_pipeline(tx, &write.scope).await?;
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pipelines WHERE org_id = $1")
                    .bind(write.scope.uuid())
                    .fetch_one(&mut **tx)
                    .await?;
                if count >= MAX_PIPELINES {
                    return Err(conflict("an organization has at most 100 pipelines"));
                }
                let pipeline = Pipeline {
                    id: self.ids.next(),
                    name: name.to_owned(),
                    is_default: false,
                    stages: stages.iter().map(|draft| self.new_stage(draft)).collect(),
                    created_at: now,
                    updated_at: now,
                    version: 1,
                };
                save(tx, &write.scope, &pipeline).await?;
                save_stages(tx, &write.scope, pipeline.id, &pipeline.stages).await?;
                Ok(pipeline)
            }),
        )
        .await
    }

    fn new_stage(&self, draft: &StageDraft) -> Stage {
        Stage {
            id: self.ids.next(),
            key: draft.key.clone(),
            name: draft.name.clone(),
            kind: draft.kind,
            milestone: draft.milestone,
        }
    }

    /// Changes a pipeline. Stages that are left out must not have deals; a stage that keeps its key keeps its deals, and
    /// what it means as long as it has some.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], a conflict, or of the database.
    pub async fn edit_pipeline(
        &self,
        write: &Write,
        id: Uuid,
        name: Option<&str>,
        stages: Option<&[StageDraft]>,
        if_version: Option<i64>,
    ) -> Result<Pipeline, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let scope = &write.scope;
                self.ensure_default_pipeline(tx, scope).await?;
                let before = find(tx, scope, id, Some("FOR UPDATE"))
                    .await?
                    .ok_or(CrmError::NotFound("pipeline"))?;
                check_version(before.version, if_version)?;
                let mut pipeline = before.clone();
                if let Some(name) = name {
                    name.clone_into(&mut pipeline.name);
                }
                if let Some(drafts) = stages {
                    pipeline.stages = self.restaged(tx, scope, &before, drafts).await?;
                }
                if pipeline == before {
                    return Ok(pipeline);
                }
                pipeline.updated_at = self.now();
                pipeline.version += 1;
                save(tx, scope, &pipeline).await?;
                if pipeline.stages != before.stages {
                    save_stages(tx, scope, id, &pipeline.stages).await?;
                }
                Ok(pipeline)
            }),
        )
        .await
    }

    async fn restaged(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        before: &Pipeline,
        drafts: &[StageDraft],
    ) -> Result<Vec<Stage>, CrmError> {
        let used: Vec<Uuid> = sqlx::query_scalar(
            "SELECT s.id FROM stages s WHERE s.org_id = $1 AND s.pipeline_id = $2 \
             AND EXISTS (SELECT FROM deals d WHERE d.org_id = s.org_id AND d.stage_id = s.id)",
        )
        .bind(scope.uuid())
        .bind(before.id)
        .fetch_all(&mut **tx)
        .await?;
        let mut problems = Vec::new();
        let mut stages = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            let known = before.stages.iter().find(|stage| stage.key == draft.key);
            if known.is_some_and(|stage| stage.kind != draft.kind && used.contains(&stage.id)) {
                let message = "deals are in this stage, so that it cannot mean something else";
                problems.push(FieldError::new(
                    format!("/stages/{index}/kind"),
                    "in_use",
                    message,
                ));
            }
            stages.push(Stage {
                id: known.map_or_else(|| self.ids.next(), |stage| stage.id),
                ..self.new_stage(draft)
            });
        }
        let gone = before
            .stages
            .iter()
            .filter(|stage| stages.iter().all(|kept| kept.id != stage.id));
        for stage in gone.filter(|stage| used.contains(&stage.id)) {
            let message = format!("deals are in stage {}; move them first", stage.key);
            problems.push(FieldError::new("/stages", "in_use", message));
        }
        if problems.is_empty() {
            Ok(stages)
        } else {
            Err(CrmError::Invalid(problems))
        }
    }

    /// Deletes a pipeline that has no deals and is not the default one.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a conflict, or of the database.
    pub async fn delete_pipeline(
        &self,
        write: &Write,
        id: Uuid,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let scope = &write.scope;
                let pipeline = find(tx, scope, id, Some("FOR UPDATE"))
                    .await?
                    .ok_or(CrmError::NotFound("pipeline"))?;
                check_version(pipeline.version, if_version)?;
                if pipeline.is_default {
                    return Err(conflict("the default pipeline cannot be deleted"));
                }
                let done = sqlx::query("DELETE FROM pipelines WHERE org_id = $1 AND id = $2")
                    .bind(scope.uuid())
                    .bind(id)
                    .execute(&mut **tx)
                    .await;
                match done.map_err(::store::StoreError::from) {
                    Ok(_) => Ok(()),
                    Err(error) if matches!(error.class(), Class::ForeignKey { .. }) => {
                        Err(conflict("the pipeline has deals; move or delete them first"))
                    }
                    Err(error) => Err(error.into()),
                }
            }),
        )
        .await
    }
}
