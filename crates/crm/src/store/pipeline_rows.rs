//! Rows of `pipelines` and `stages`.

use std::collections::HashMap;

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use sqlx::FromRow;
use uuid::Uuid;

use super::custom_fields::conflict;
use crate::domain::deal::{Milestone, Pipeline, Stage, Status};
use crate::domain::text;
use crate::error::CrmError;

/// A row of `pipelines`.
#[derive(Debug, FromRow)]
pub(super) struct Row {
    id: Uuid,
    name: String,
    is_default: bool,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<Row> for Pipeline {
    type Error = CrmError;

    /// The pipeline without its stages.
    fn try_from(row: Row) -> Result<Self, CrmError> {
        Ok(Self {
            id: row.id,
            name: row.name,
            is_default: row.is_default,
            stages: Vec::new(),
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

#[derive(Debug, FromRow)]
struct StageRow {
    pipeline_id: Uuid,
    id: Uuid,
    key: String,
    name: String,
    kind: i16,
    milestone: i16,
}

/// Reads the stages of all `pipelines` with one statement.
pub(super) async fn fill(tx: &mut Tx, scope: &OrgScope, pipelines: &mut [Pipeline]) -> Result<(), CrmError> {
    let ids: Vec<Uuid> = pipelines.iter().map(|pipeline| pipeline.id).collect();
    let rows: Vec<StageRow> = sqlx::query_as(
        "SELECT pipeline_id, id, key, name, kind, milestone FROM stages WHERE org_id = $1 AND pipeline_id = ANY($2) \
         ORDER BY pipeline_id, position",
    )
    .bind(scope.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut by_pipeline: HashMap<Uuid, Vec<Stage>> = HashMap::new();
    for row in rows {
        let kind = Status::from_number(row.kind)
            .ok_or_else(|| CrmError::Corrupt(format!("stage {}, kind", row.id)))?;
        by_pipeline.entry(row.pipeline_id).or_default().push(Stage {
            id: row.id,
            key: row.key,
            name: row.name,
            kind,
            milestone: Milestone::from_number(row.milestone),
        });
    }
    for pipeline in pipelines {
        pipeline.stages = by_pipeline.remove(&pipeline.id).unwrap_or_default();
    }
    Ok(())
}

/// The pipeline with its stages. With `lock` nobody changes it until the end of the transaction.
pub(super) async fn find(
    tx: &mut Tx,
    scope: &OrgScope,
    id: Uuid,
    lock: Option<&'static str>,
) -> Result<Option<Pipeline>, CrmError> {
    let sql = format!(
        "SELECT id, name, is_default, created_at, updated_at, version FROM pipelines WHERE org_id = $1 AND id = $2 {}",
        lock.unwrap_or_default()
    );
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(scope.uuid())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut found = [Pipeline::try_from(row)?];
    fill(tx, scope, &mut found).await?;
    let [pipeline] = found;
    Ok(Some(pipeline))
}

/// Writes the pipeline without its stages.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, pipeline: &Pipeline) -> Result<(), CrmError> {
    let done = sqlx::query(
        "INSERT INTO pipelines (org_id, id, name, name_key, is_default, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org_id, id) DO UPDATE SET name = excluded.name, \
         name_key = excluded.name_key, updated_at = excluded.updated_at, version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(pipeline.id)
    .bind(&pipeline.name)
    .bind(text::sort_key(&pipeline.name))
    .bind(pipeline.is_default)
    .bind(pipeline.created_at.to_sqlx())
    .bind(pipeline.updated_at.to_sqlx())
    .bind(pipeline.version)
    .execute(&mut **tx)
    .await;
    match done.map_err(::store::StoreError::from) {
        Ok(_) => Ok(()),
        Err(error) if error.is_unique("pipelines_by_name") => {
            Err(conflict("a pipeline of this name exists already"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes the stages in their order; those that are left out are removed.
pub(super) async fn save_stages(
    tx: &mut Tx,
    scope: &OrgScope,
    pipeline: Uuid,
    stages: &[Stage],
) -> Result<(), CrmError> {
    let ids: Vec<Uuid> = stages.iter().map(|stage| stage.id).collect();
    sqlx::query("DELETE FROM stages WHERE org_id = $1 AND pipeline_id = $2 AND id <> ALL($3)")
        .bind(scope.uuid())
        .bind(pipeline)
        .bind(&ids)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO stages (org_id, pipeline_id, id, key, name, kind, milestone, position) \
         SELECT $1, $2, s.* FROM unnest($3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::smallint[]) \
         WITH ORDINALITY s ON CONFLICT (org_id, id) DO UPDATE SET name = excluded.name, kind = excluded.kind, \
         milestone = excluded.milestone, position = excluded.position",
    )
    .bind(scope.uuid())
    .bind(pipeline)
    .bind(ids)
    .bind(stages.iter().map(|s| s.key.clone()).collect::<Vec<String>>())
    .bind(stages.iter().map(|s| s.name.clone()).collect::<Vec<String>>())
    .bind(stages.iter().map(|s| s.kind as i16).collect::<Vec<i16>>())
    .bind(
        stages
            .iter()
            .map(|s| s.milestone.map_or(0, |m| m as i16))
            .collect::<Vec<i16>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
