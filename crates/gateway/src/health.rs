//! `/health` and `/health/signals`: public, so they tell what an integrating developer needs and nothing of the insides.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use contracts::ops::v1::stage_service_client::StageServiceClient;
use contracts::ops::v1::{ListStagesRequest, Stage};
use errors::ApiError;
use futures::future::join_all;
use lifecycle::Lifecycle;
use moka::future::Cache;
use serde::Serialize;
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::backends::Backends;
use crate::home::Home;
use crate::http::{ByHand, json as answer_json};

/// Everybody may ask, so the services are asked at most this often.
const FRESH: Duration = Duration::from_millis(500);
/// A service that does not answer within this time counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// Above this age the pipeline is called behind.
const BEHIND_MS: i64 = 60_000;

/// Answers the health routes. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    lifecycle: Lifecycle,
    backends: Backends,
    home: Home,
    pipeline: Cache<(), Arc<str>>,
}

#[derive(Serialize)]
struct Overall {
    status: &'static str,
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: String,
    ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pipeline {
    status: &'static str,
    lag: i64,
    oldest_age_ms: i64,
    dead_letters: i64,
    services: Vec<ServiceState>,
    stages: Vec<StageState>,
}

#[derive(Serialize)]
struct ServiceState {
    name: &'static str,
    reachable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StageState {
    name: String,
    lag: i64,
    oldest_age_ms: i64,
    dead_letters: i64,
}

impl Health {
    /// Health of this process and of the services behind it.
    #[must_use]
    pub fn new(lifecycle: Lifecycle, backends: &Backends, home: Home) -> Self {
        let pipeline = Cache::builder().max_capacity(1).time_to_live(FRESH).build();
        Self {
            lifecycle,
            backends: backends.clone(),
            home,
            pipeline,
        }
    }

    /// `GET /health`: 200 when traffic may come, else 503.
    #[must_use]
    pub fn overall(&self) -> HttpResponse {
        let readiness = self.lifecycle.readiness();
        // Why a check fails is for operators, in the logs; the names say what is missing.
        let checks = readiness
            .checks
            .into_iter()
            .map(|c| Check {
                name: c.name,
                ready: c.ready,
            })
            .collect();
        let (status, code) = if readiness.ready {
            ("ok", StatusCode::OK)
        } else if readiness.shutting_down {
            ("shutting_down", StatusCode::SERVICE_UNAVAILABLE)
        } else {
            ("unavailable", StatusCode::SERVICE_UNAVAILABLE)
        };
        let body = Overall {
            status,
            ready: readiness.ready,
            checks,
        };
        answer_json(code, serde_json::to_vec(&body).unwrap_or_default())
    }

    /// `GET /health/signals`: how far each stage of the pipeline is behind.
    ///
    /// # Errors
    /// `internal`.
    pub async fn pipeline(&self) -> Result<HttpResponse, ApiError> {
        let (backends, home) = (self.backends.clone(), self.home.clone());
        let text = self
            .pipeline
            .get_with((), async move {
                let asked = home.run("stages", async move { ask_all(&backends).await });
                asked.await.unwrap_or_else(|_| Arc::from("{}"))
            })
            .await;
        Ok(answer_json(
            StatusCode::OK,
            bytes::Bytes::copy_from_slice(text.as_bytes()),
        ))
    }
}

async fn ask_all(backends: &Backends) -> Arc<str> {
    let all = backends.all();
    let asked = join_all(
        all.into_iter()
            .map(|(name, channel)| async move { (name, ask(backends, channel).await) }),
    );
    let (mut services, mut stages) = (Vec::new(), Vec::new());
    for (name, answer) in asked.await {
        services.push(ServiceState {
            name,
            reachable: answer.is_some(),
        });
        stages.extend(answer.unwrap_or_default().into_iter().map(|s| StageState {
            name: s.name,
            lag: s.lag,
            oldest_age_ms: s.oldest_age_ms,
            dead_letters: s.dead_letters,
        }));
    }
    let oldest_age_ms = stages.iter().map(|s| s.oldest_age_ms).max().unwrap_or(0);
    let status = if services.iter().any(|s| !s.reachable) {
        "degraded"
    } else if oldest_age_ms > BEHIND_MS {
        "behind"
    } else {
        "ok"
    };
    let pipeline = Pipeline {
        status,
        lag: stages.iter().map(|s| s.lag).sum(),
        oldest_age_ms,
        dead_letters: stages.iter().map(|s| s.dead_letters).sum(),
        services,
        stages,
    };
    Arc::from(serde_json::to_string(&pipeline).unwrap_or_default())
}

async fn ask(backends: &Backends, channel: Channel) -> Option<Vec<Stage>> {
    let request = backends.system_request(ListStagesRequest {}).ok()?;
    let mut client = StageServiceClient::new(channel);
    let answered = tokio::time::timeout(PATIENCE, client.list_stages(request))
        .await
        .ok()?;
    match answered {
        Ok(response) => Some(response.into_inner().stages),
        Err(status) => {
            tracing::debug!(code = ?status.code(), "a service did not tell its stages");
            None
        }
    }
}

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let check = json!({"type": "object", "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}}, "required": ["name", "ready"]});
    let overall = json!({
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "unavailable", "shutting_down"]},
            "ready": {"type": "boolean"},
            "checks": {"type": "array", "items": check},
        },
        "required": ["status", "ready", "checks"],
    });
    let count = json!({"type": "integer", "minimum": 0});
    let stage = json!({"type": "object", "properties": {"name": {"type": "string"}, "lag": count, "oldestAgeMs": count, "deadLetters": count}});
    let service = json!({"type": "object", "properties": {"name": {"type": "string"}, "reachable": {"type": "boolean"}}});
    let pipeline = json!({
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "behind", "degraded"]},
            "lag": count, "oldestAgeMs": count, "deadLetters": count,
            "services": {"type": "array", "items": service},
            "stages": {"type": "array", "items": stage},
        },
    });
    let route = |path, id, summary, answers: Value| ByHand {
        method: "GET",
        path,
        public: true,
        operation: Some(
            json!({"operationId": id, "tags": ["Health"], "summary": summary, "responses": answers}),
        ),
    };
    let answer = |about, schema: &Value| json!({"description": about, "content": {"application/json": {"schema": schema}}});
    let health = json!({"200": answer("Traffic may come.", &overall), "503": answer("Not now.", &overall)});
    let signals = json!({"200": answer("How far each stage is behind.", &pipeline)});
    vec![
        route("/health", "getHealth", "Whether traffic may come", health),
        route(
            "/health/signals",
            "getPipelineHealth",
            "How much waits in the pipeline, and for how long",
            signals,
        ),
    ]
}
