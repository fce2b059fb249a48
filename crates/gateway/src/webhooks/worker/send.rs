//! One attempt: the request as Standard Webhooks wants it, sent, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use outbound::{Client, Failure, Policy, Request, Target};
use uuid::Uuid;

use crate::secrets::Sealer;
use crate::webhooks::domain::outcome::{Attempted, DELIVERED, HTTP_STATUS};
use crate::webhooks::domain::schedule::retry_after;
use crate::webhooks::domain::signature::{self, Scheme, SecretBytes};
use crate::webhooks::domain::thin::thin;
use crate::webhooks::metrics::HookMetrics;
use crate::webhooks::store::endpoints::Endpoint;
use crate::webhooks::store::lanes::{Due, Lane};
use crate::webhooks::store::secrets::headers_place;
use crate::webhooks::{Deps, WebhookSettings};

/// What is kept of an answer's body.
const KEPT: usize = 1_024;
/// What is kept of an error's text.
const ERROR: usize = 300;

/// Sends attempts.
pub struct Sender {
    client: Client,
    sealer: Sealer,
    clock: Arc<dyn ids::Clock>,
    deadline: Duration,
    metrics: HookMetrics,
}

/// Where and how deliveries of a webhook go, as it was when they were loaded.
pub struct Destination {
    target: Result<Target, String>,
    headers: HeaderMap,
    scheme: Scheme,
    secrets: Vec<SecretBytes>,
    thin: bool,
    schema_version: i32,
}

impl Sender {
    /// With this client.
    pub fn new(settings: &WebhookSettings, deps: &Deps, client: Client, metrics: &HookMetrics) -> Self {
        Self {
            client,
            sealer: deps.sealer.clone(),
            clock: Arc::clone(&deps.clock),
            deadline: Duration::from_millis(settings.attempt_timeout_ms),
            metrics: metrics.clone(),
        }
    }

    fn policy(&self) -> Policy {
        self.client.policy()
    }

    /// What all deliveries of a webhook have in common.
    pub fn destination(&self, lane: Lane, endpoint: &Endpoint, secrets: Vec<SecretBytes>) -> Destination {
        let mut headers = HeaderMap::new();
        let sealed = endpoint.headers_sealed.as_deref();
        let opened = sealed.and_then(|bytes| self.sealer.open(bytes, &headers_place(lane.0, lane.1)));
        let own: Vec<(String, String)> = opened
            .and_then(|plain| serde_json::from_slice(&plain).ok())
            .unwrap_or_default();
        for (name, value) in own {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        Destination {
            target: Target::parse(&endpoint.url, &self.policy()).map_err(|error| error.to_string()),
            headers,
            scheme: Scheme::parse(&endpoint.signature).unwrap_or(Scheme::Hmac),
            secrets,
            thin: endpoint.payload == "thin",
            schema_version: endpoint.schema_version,
        }
    }

    /// Makes one attempt. Never fails: what goes wrong is its outcome.
    pub async fn attempt(&self, to: &Destination, due: &Due) -> Attempted {
        let now = self.clock.now();
        let began = tokio::time::Instant::now();
        let sent = match self.request(to, due, now) {
            Ok(request) => self.client.send(request, self.deadline).await,
            Err(attempted) => return attempted,
        };
        let took = began.elapsed();
        let attempted = match sent {
            Ok(answer) => {
                let good = answer.status.is_success();
                let asked = answer.headers.get(http::header::RETRY_AFTER);
                let mut response = answer.body.to_vec();
                response.truncate(KEPT);
                Attempted {
                    status: Some(answer.status.as_u16()),
                    outcome: if good { DELIVERED } else { HTTP_STATUS },
                    error: (!good).then(|| format!("the answer was {}", answer.status)),
                    response,
                    asked: asked
                        .and_then(|value| value.to_str().ok())
                        .and_then(|value| retry_after(value, now)),
                    took,
                }
            }
            Err(failure) => failed(failure.code(), &failure, took),
        };
        let outcome = attempted.outcome;
        self.metrics.attempts.with_label_values(&[outcome]).inc();
        self.metrics.attempt_seconds.observe(took.as_secs_f64());
        attempted
    }

    fn request(&self, to: &Destination, due: &Due, now: Timestamp) -> Result<Request, Attempted> {
        let nothing = |outcome, text: &str| {
            let error = Some(text.to_owned());
            self.metrics.attempts.with_label_values(&[outcome]).inc();
            Attempted {
                status: None,
                outcome,
                error,
                response: Vec::new(),
                asked: None,
                took: Duration::ZERO,
            }
        };
        let target = to
            .target
            .as_ref()
            .map_err(|error| nothing("refused_url", error))?
            .clone();
        let stored = due
            .body
            .as_deref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        let body = stored.ok_or_else(|| nothing("body_expired", "the event is no longer kept"))?;
        let body = match to.thin {
            true => thin(serde_json::from_str(body).unwrap_or_default()).to_string(),
            false => body.to_owned(),
        };
        let headers = to
            .headers(due, now, &body)
            .ok_or_else(|| nothing("not_signed", "there is no secret that signs"))?;
        Ok(Request {
            method: Method::POST,
            target,
            headers,
            body: Bytes::from(body),
        })
    }
}

fn failed(code: &'static str, failure: &Failure, took: Duration) -> Attempted {
    Attempted {
        status: None,
        outcome: code,
        error: Some(failure.to_string().chars().take(ERROR).collect()),
        response: Vec::new(),
        asked: None,
        took,
    }
}

impl Destination {
    /// The headers of one attempt; `None` when it cannot be signed.
    fn headers(&self, due: &Due, now: Timestamp, body: &str) -> Option<HeaderMap> {
        let id = event_id(due.event);
        let seconds = now.as_second();
        let signed = signature::header(self.scheme, &self.secrets, &id, seconds, body)?;
        let mut headers = self.headers.clone();
        let own = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signed),
            ("devsignal-sequence", due.sequence.to_string()),
            (
                "devsignal-schema",
                format!("{}/{}", due.kind, self.schema_version),
            ),
        ];
        for (name, value) in own {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
        }
        Some(headers)
    }
}

/// `webhook-id` is the event's own id, so that a receiver that reads either knows a repeat.
fn event_id(event: Uuid) -> String {
    event.to_string()
}
