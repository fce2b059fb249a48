//! The public API, as the commands use it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::cli::Target;
use crate::endpoints::Endpoints;

/// How often a request is sent before it is given up.
const ATTEMPTS: u32 = 8;

/// A client of one installation, with one API key.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    api_key: String,
}

/// Verdicts on a batch, as `POST /api/v1/signals/batch` answers them.
#[derive(Debug, serde::Deserialize)]
pub struct Verdicts {
    /// New and stored.
    pub accepted: u64,
    /// Known already.
    pub duplicates: u64,
    /// Refused.
    pub rejected: u64,
    /// One per item.
    pub results: Vec<Verdict>,
}

/// The verdict on one item.
#[derive(Debug, serde::Deserialize)]
pub struct Verdict {
    /// Position in the batch.
    pub index: usize,
    /// `accepted`, `duplicate` or `rejected`.
    pub status: String,
    /// Why it was refused.
    pub error: Option<VerdictError>,
}

/// Why an item was refused.
#[derive(Debug, serde::Deserialize)]
pub struct VerdictError {
    /// A stable word.
    pub code: String,
    /// Where in the item.
    pub pointer: String,
    /// For a person.
    pub message: String,
}

impl Client {
    /// A client for what the command line names, else for the local installation.
    pub fn of(target: &Target) -> anyhow::Result<Self> {
        let (base, api_key) = match (&target.url, &target.api_key) {
            (Some(url), Some(key)) => (url.clone(), key.clone()),
            (url, key) => {
                let local = Endpoints::read(&target.data.data_dir)?;
                (
                    url.clone().unwrap_or(local.http),
                    key.clone().unwrap_or(local.api_key),
                )
            }
        };
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            api_key,
        })
    }

    /// A request to `path`, authorised.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.api_key)
    }

    /// Reads `path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<T> {
        let response = self
            .request(Method::GET, path)
            .query(query)
            .timeout(Duration::from_secs(30))
            .send()
            .await;
        let response = response.with_context(|| format!("{} cannot be reached", self.base))?;
        Ok(checked(response).await?.json().await?)
    }

    /// Sends a batch of signals, repeated while the answer says that a repeat can help. `key` makes the repeats harmless.
    pub async fn send_batch(&self, body: Vec<u8>, key: &str) -> anyhow::Result<Verdicts> {
        let mut pause = Duration::from_millis(200);
        for attempt in 1..=ATTEMPTS {
            let sent = self
                .request(Method::POST, "/api/v1/signals/batch")
                .header("content-type", "application/json")
                .header("idempotency-key", key)
                .timeout(Duration::from_secs(30))
                .body(body.clone())
                .send()
                .await;
            let wait = match sent {
                Ok(response) if is_retryable(response.status()) => {
                    if attempt == ATTEMPTS {
                        return Ok(checked(response).await?.json().await?);
                    }
                    retry_after(&response).unwrap_or(pause)
                }
                Ok(response) => return Ok(checked(response).await?.json().await?),
                Err(error) if attempt == ATTEMPTS => {
                    return Err(error).with_context(|| format!("{} cannot be reached", self.base));
                }
                Err(_) => pause,
            };
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        bail!("no attempt was made")
    }
}

fn is_retryable(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn retry_after(response: &Response) -> Option<Duration> {
    response
        .headers()
        .get("retry-after")?
        .to_str()
        .ok()?
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// The answer, or the problem it tells as an error.
pub async fn checked(response: Response) -> anyhow::Result<Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let Ok(problem) = serde_json::from_str::<errors::Problem>(&text) else {
        bail!("{status}: {text}");
    };
    let places: String = problem
        .errors
        .iter()
        .map(|e| format!("\n  {}: {} ({})", e.pointer, e.message, e.code))
        .collect();
    bail!(
        "{status} {}: {} [request {}]{places}",
        problem.code,
        problem.detail,
        problem.request_id
    )
}
