//! Bad input: each row of the tables gets the 4xx that it deserves, as a problem document with code and request id, and
//! changes nothing in any table of any service.

mod auth;
mod bodies;
mod harmless;
mod lists;
mod signals;

use e2e::cluster::{Answer, Api, Cluster};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{cluster, listed, written};

/// One row: what it is, the request, the status and the code of its answer.
struct Row {
    name: String,
    request: RequestBuilder,
    status: u16,
    code: &'static str,
    /// `code pointer` of the first place that is wrong, if the answer must name one.
    place: Option<&'static str>,
}

impl Row {
    fn new(name: impl Into<String>, request: RequestBuilder, status: u16, code: &'static str) -> Self {
        Self {
            name: name.into(),
            request,
            status,
            code,
            place: None,
        }
    }

    fn at(mut self, place: &'static str) -> Self {
        self.place = Some(place);
        self
    }
}

/// A running system with something in it, so that there is something to change.
struct Subject {
    cluster: Cluster,
    api: Api,
    account: String,
    contact: String,
    signal: String,
    source: String,
}

impl Subject {
    async fn start() -> Self {
        let (cluster, api) = cluster().await;
        let source = api
            .post("/api/v1/sources", &json!({"type": "website", "name": "Site"}))
            .await
            .unwrap();
        let source = id(&source.json(201).unwrap());
        let signals = [1, 2, 3].map(|n| {
            json!({"type": "visit", "idempotencyKey": format!("known-{n}"), "actor": {"email": format!("dev{n}@initech.com")}})
        });
        let ids = api.accept(&signals).await.unwrap();
        let account = id(&listed(&api, "/api/v1/accounts", |a| {
            a["score"].is_i64() && a["contactCount"] == 3
        })
        .await);
        let contact = id(&listed(&api, "/api/v1/contacts", |_| true).await);
        Self {
            cluster,
            api,
            account,
            contact,
            signal: ids[0].clone(),
            source,
        }
    }

    /// A `POST` of a signal's text as it is.
    fn signal(&self, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.post("/api/v1/signals", body)
    }

    /// A `POST` of a batch's text as it is.
    fn batch(&self, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.post("/api/v1/signals/batch", body)
    }

    fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.api
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.into())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.api.request(Method::GET, path)
    }

    /// Sends every row; all that is wrong is told at the end.
    async fn refuses(&self, class: &str, table: Vec<Row>) {
        let (before, mut wrong) = (written(&self.cluster).await, Vec::new());
        for Row {
            name,
            request,
            status,
            code,
            place,
        } in table
        {
            let answer = match Api::send(request).await {
                Ok(answer) => answer,
                Err(error) => {
                    wrong.push(format!("{name}: no answer: {error:#}"));
                    continue;
                }
            };
            if let Err(why) = judge(&answer, status, code, place) {
                wrong.push(format!("{name}: {why}"));
            }
        }
        assert!(
            wrong.is_empty(),
            "{class}: {} rows are wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        assert_eq!(
            written(&self.cluster).await,
            before,
            "{class}: something was changed"
        );
    }
}

fn judge(answer: &Answer, status: u16, code: &str, place: Option<&str>) -> Result<(), String> {
    let head: String = answer.body.chars().take(300).collect();
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let told = || format!("{} {head}", answer.status);
    if answer.status != status || problem["code"] != *code {
        return Err(format!("{status} {code} was expected: {}", told()));
    }
    if answer.header("content-type") != "application/problem+json" || problem["status"] != status {
        return Err(format!(
            "no problem document: {} {}",
            answer.header("content-type"),
            told()
        ));
    }
    let request_id = problem["requestId"].as_str().unwrap_or_default();
    if request_id.is_empty() || request_id != answer.header("request-id") {
        return Err(format!(
            "request id {:?}: {}",
            answer.header("request-id"),
            told()
        ));
    }
    let whole = ["type", "title", "detail"]
        .iter()
        .all(|field| problem[field].is_string());
    if !whole || !problem["retryable"].is_boolean() || !problem["errors"].is_array() {
        return Err(format!("not whole: {}", told()));
    }
    let error = &problem["errors"][0];
    let found = format!(
        "{} {}",
        error["code"].as_str().unwrap_or_default(),
        error["pointer"].as_str().unwrap_or_default()
    );
    match place {
        Some(place) if place != found => Err(format!("{place:?} was expected, not {found:?}: {}", told())),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_precisely_and_change_nothing() {
    let subject = Subject::start().await;
    subject.refuses("content", bodies::content(&subject)).await;
    subject.refuses("json", bodies::json(&subject)).await;
    subject.refuses("strings", signals::strings(&subject)).await;
    subject.refuses("time", signals::time(&subject)).await;
    subject.refuses("batch", signals::batch(&subject)).await;
    subject.refuses("ids", lists::ids(&subject)).await;
    subject.refuses("paging", lists::paging(&subject).await).await;
    subject.refuses("writes", lists::writes(&subject)).await;
    let keys = auth::Keys::make(&subject).await;
    subject.refuses("auth", auth::rows(&subject, &keys)).await;
    harmless::strange_but_good_texts_are_kept_as_sent(&subject).await;
    harmless::one_bad_item_harms_no_other(&subject).await;
    harmless::repeats_are_recognised_whatever_they_say(&subject).await;
}

fn id(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}
