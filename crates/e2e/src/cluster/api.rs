//! The public API as one organization's key sees it.

use std::time::Duration;

use anyhow::{Context, ensure};
use ids::OrgId;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// Longer than any answer of a healthy system takes.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A client with one API key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    key: String,
    /// The key's organization.
    pub org: OrgId,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Api {
    /// A client of the gateway at `base`, without a path.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(base: &str, key: &str, org: OrgId) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .build()?;
        Ok(Self {
            http,
            base: base.to_owned(),
            key: key.to_owned(),
            org,
        })
    }

    /// The same organization and address with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// `host:port` of the gateway.
    #[must_use]
    pub fn host(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// An authorised request to `path`, with the usual time limit.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.key).timeout(TIMEOUT)
    }

    /// A request to `path` without credentials and time limit.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request and reads the answer, whatever its status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: response.text().await?,
        })
    }

    /// `GET`, whatever the status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        Self::send(self.request(Method::GET, path)).await
    }

    /// `GET` of something that is there.
    ///
    /// # Errors
    /// The status is not 200, or the body is not JSON.
    pub async fn read(&self, path: &str) -> anyhow::Result<Value> {
        self.get(path).await?.json(200)
    }

    /// `POST` of JSON, whatever the status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    /// Sends signals as one batch, all of which must be accepted; returns their ids.
    ///
    /// # Errors
    /// The answer is another one.
    pub async fn accept(&self, signals: &[Value]) -> anyhow::Result<Vec<String>> {
        let answer = self
            .post(
                "/api/v1/signals/batch",
                &serde_json::json!({ "signals": signals }),
            )
            .await?;
        let verdicts = answer.json(202)?;
        ensure!(
            verdicts["accepted"] == signals.len(),
            "not all were accepted: {verdicts}"
        );
        let results = verdicts["results"].as_array().context("no results")?;
        results
            .iter()
            .map(|r| r["id"].as_str().map(str::to_owned).context("no id"))
            .collect()
    }

    /// Every item of a list, page by page. `path` may have filters.
    ///
    /// # Errors
    /// A page is not one.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut request = self.request(Method::GET, path).query(&[("limit", "200")]);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let mut page = Self::send(request).await?.json(200)?;
            let Value::Array(data) = page["data"].take() else {
                anyhow::bail!("no data: {page}")
            };
            items.extend(data);
            let next = page["nextCursor"].as_str().map(str::to_owned);
            ensure!(
                page["hasMore"] == next.is_some(),
                "hasMore and nextCursor disagree: {page}"
            );
            if next.is_none() {
                return Ok(items);
            }
            ensure!(next != cursor, "the cursor does not move");
            cursor = next;
        }
    }
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Errors
    /// The status is another one, or the body is not JSON.
    pub fn json(&self, status: u16) -> anyhow::Result<Value> {
        ensure!(
            self.status == status,
            "{status} was expected, not {}: {}",
            self.status,
            self.body
        );
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }

    /// A header's text; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
