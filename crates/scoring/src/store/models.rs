//! Which model scores an organization.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ::store::{Db, OrgScope, ToSqlx as _, Tx};
use jiff::Timestamp;
use moka::sync::Cache;
use uuid::Uuid;

use crate::domain::Model;
use crate::error::ScoringError;

/// How long another replica's change may go unnoticed.
const TRUSTED_FOR: Duration = Duration::from_secs(10);
/// Organizations whose model is remembered.
const REMEMBERED: u64 = 10_000;

/// The models in use, remembered for some seconds. A clone shares the memory.
#[derive(Clone)]
pub struct Models {
    built_in: Arc<Model>,
    known: Cache<Uuid, Arc<Model>>,
}

impl Models {
    /// Nothing remembered yet.
    ///
    /// # Errors
    /// The built-in model is not valid.
    pub fn new() -> Result<Self, ScoringError> {
        let known = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_live(TRUSTED_FOR)
            .build();
        Ok(Self {
            built_in: Model::built_in()?,
            known,
        })
    }

    /// The models of these organizations: their own active one, else the built-in one. A stored document that this
    /// release cannot use is reported and left out, so that one organization's model does not keep others from scores.
    pub(crate) async fn of(
        &self,
        tx: &mut Tx,
        orgs: impl Iterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Arc<Model>>, ScoringError> {
        let orgs: HashSet<Uuid> = orgs.collect();
        let mut found: HashMap<Uuid, Arc<Model>> = HashMap::with_capacity(orgs.len());
        let mut unknown = Vec::new();
        for org in orgs {
            match self.known.get(&org) {
                Some(model) => {
                    found.insert(org, model);
                }
                None => unknown.push(org),
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let rows: Vec<(Uuid, String)> =
            sqlx::query_as("SELECT org_id, document FROM models WHERE active AND org_id = ANY($1)")
                .bind(&unknown)
                .fetch_all(&mut **tx)
                .await?;
        let mut own: HashMap<Uuid, String> = rows.into_iter().collect();
        for org in unknown {
            let model = match own.remove(&org).map(|document| Model::parse(&document)) {
                None => Arc::clone(&self.built_in),
                Some(Ok(model)) => Arc::new(model),
                Some(Err(error)) => {
                    tracing::error!(%org, %error, "the organization's model cannot be used; scoring by the built-in one");
                    Arc::clone(&self.built_in)
                }
            };
            self.known.insert(org, Arc::clone(&model));
            found.insert(org, model);
        }
        Ok(found)
    }

    /// Makes `model` the organization's active model, and has all its accounts scored by it. Publishing the same
    /// version again makes it active again; a version never changes.
    ///
    /// # Errors
    /// [`ScoringError::Store`]: a unique violation when the version exists with another document.
    pub async fn publish(
        &self,
        db: &Db,
        scope: &OrgScope,
        model: &Model,
        now: Timestamp,
    ) -> Result<(), ScoringError> {
        let document = serde_json::to_string(model).map_err(crate::domain::ModelError::Unreadable)?;
        // What is stored must be readable: the document is checked as a reader would.
        Model::parse(&document)?;
        let mut tx = db.begin(scope).await?;
        sqlx::query("UPDATE models SET active = false WHERE org_id = $1 AND active")
            .bind(scope.uuid())
            .execute(&mut *tx)
            .await?;
        let activated = sqlx::query(
            "UPDATE models SET active = true WHERE org_id = $1 AND name = $2 AND version = $3 AND document = $4",
        )
        .bind(scope.uuid())
        .bind(&model.name)
        .bind(i64::from(model.version))
        .bind(&document)
        .execute(&mut *tx)
        .await?;
        if activated.rows_affected() == 0 {
            sqlx::query(
                "INSERT INTO models (org_id, name, version, document, active, created_at)
                 VALUES ($1, $2, $3, $4, true, $5)",
            )
            .bind(scope.uuid())
            .bind(&model.name)
            .bind(i64::from(model.version))
            .bind(&document)
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query(
            "UPDATE schedule s SET dirty = true, again = lease IS NOT NULL,
                 due_at = CASE WHEN lease IS NULL THEN GREATEST($2, not_before) ELSE due_at END
             WHERE org_id = $1 AND (NOT dirty OR (lease IS NOT NULL AND NOT again))",
        )
        .bind(scope.uuid())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.known.invalidate(&scope.uuid());
        Ok(())
    }
}
