//! `devsignal.ops.v1.StageService`: the bus's stages, and the accounts that wait for their score.

use std::sync::Arc;

use ::store::PipelineDb;
use contracts::ops::v1::stage_service_server::StageService;
use contracts::ops::v1::{ListStagesRequest, ListStagesResponse, Stage};
use errors::ErrorDomain as _;
use eventbus::StageReporter;
use ids::Clock;
use tonic::{Request, Response, Status};

use crate::SERVICE;
use crate::error::ScoringError;
use crate::store::schedule;
use crate::worker::chain;

/// Tells how far scoring is behind.
pub struct Stages {
    reporter: StageReporter,
    pipeline: PipelineDb,
    clock: Arc<dyn Clock>,
}

impl Stages {
    /// Reports on the bus's stages and on the schedule.
    #[must_use]
    pub fn new(reporter: StageReporter, pipeline: PipelineDb, clock: Arc<dyn Clock>) -> Self {
        Self {
            reporter,
            pipeline,
            clock,
        }
    }

    /// `scoring/queue`: accounts that are due, and for how long the first of them is.
    async fn queue(&self) -> Result<Stage, ScoringError> {
        let now = self.clock.now();
        let waiting = schedule::waiting(&self.pipeline, now).await?;
        let age = waiting
            .oldest
            .map_or(0, |oldest| now.duration_since(oldest).as_millis());
        Ok(Stage {
            name: format!("{SERVICE}/queue"),
            lag: waiting.accounts,
            oldest_age_ms: i64::try_from(age).unwrap_or(i64::MAX).max(0),
            dead_letters: 0,
        })
    }
}

#[tonic::async_trait]
impl StageService for Stages {
    async fn list_stages(
        &self,
        request: Request<ListStagesRequest>,
    ) -> Result<Response<ListStagesResponse>, Status> {
        let mut answer = self.reporter.list_stages(request).await?.into_inner();
        match self.queue().await {
            Ok(stage) => answer.stages.push(stage),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the schedule cannot be read");
                return Err(error.to_api().to_status());
            }
        }
        Ok(Response::new(answer))
    }
}
