//! `devsignal tail`: events as they happen, resumed where a lost connection broke off.

use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::cli::TailArgs;
use crate::client::{Client, checked};

/// Longest silence before the connection is taken for dead; the server sends a heartbeat every ten seconds.
const SILENCE: Duration = Duration::from_secs(40);

/// Prints events until interrupted.
pub async fn run(args: &TailArgs) -> anyhow::Result<()> {
    let client = Client::of(&args.target)?;
    let mut cursor: Option<String> = None;
    let mut pause = Duration::from_millis(500);
    loop {
        let mut request = client
            .request(Method::GET, "/api/v1/events")
            .header("accept", "text/event-stream");
        if let Some(types) = &args.types {
            request = request.query(&[("types", types)]);
        }
        if let Some(cursor) = &cursor {
            request = request.header("last-event-id", cursor);
        }
        match request.send().await {
            Ok(response)
                if !response.status().is_server_error()
                    && response.status() != StatusCode::TOO_MANY_REQUESTS =>
            {
                pause = Duration::from_millis(500);
                follow(checked(response).await?, &mut cursor, args.json).await;
                crate::complain("connection lost, resuming");
            }
            Ok(response) => crate::complain(&format!("server answers {}, trying again", response.status())),
            Err(error) if cursor.is_none() && error.is_connect() => bail!("cannot connect: {error}"),
            Err(error) => crate::complain(&format!("{error}, trying again")),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// Reads one connection to its end; `cursor` follows the last event shown.
async fn follow(response: reqwest::Response, cursor: &mut Option<String>, json: bool) {
    let mut chunks = response.bytes_stream();
    let mut buffer = Vec::new();
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(SILENCE, chunks.next()).await {
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.windows(2).position(|w| w == b"\n\n") {
            let block: Vec<u8> = buffer.drain(..end + 2).collect();
            show(&String::from_utf8_lossy(&block), cursor, json);
        }
    }
}

/// One event of the stream (<https://html.spec.whatwg.org/multipage/server-sent-events.html>); the server writes each
/// field on one line.
fn show(block: &str, cursor: &mut Option<String>, json: bool) {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    if let Some(id) = field("id") {
        *cursor = Some(id.to_owned());
    }
    let Some(data) = field("data") else { return };
    if json {
        return crate::say(data);
    }
    let Ok(event) = serde_json::from_str::<Value>(data) else {
        return;
    };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    crate::say(&format!(
        "{}  {:<24}  {}",
        text("/timestamp"),
        text("/type"),
        summary(&event)
    ));
}

fn summary(event: &Value) -> String {
    let get = |pointer: &str| {
        event
            .pointer(pointer)
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
    };
    let parts: Vec<Option<String>> = match event["type"].as_str().unwrap_or_default() {
        "signal.received" => vec![
            get("/data/signal/type"),
            get("/data/signal/actor/email").or_else(|| get("/data/signal/actor/github")),
            get("/data/signal/accountId").map(|id| format!("account {id}")),
        ],
        "account.score_changed" => vec![
            get("/data/score/accountId").map(|id| format!("account {id}")),
            Some(format!(
                "{} → {}",
                get("/data/previousScore").unwrap_or_else(|| "–".to_owned()),
                get("/data/score/score").unwrap_or_default()
            )),
            get("/data/score/tier"),
        ],
        "account.created" | "account.updated" => vec![get("/data/account/name"), get("/data/account/domain")],
        "contact.created" | "contact.updated" => vec![get("/data/contact/name"), get("/data/contact/email")],
        "contact.identified" => vec![get("/data/name"), get("/data/contactId")],
        _ => vec![get("/data/accountId").or_else(|| get("/data/contactId"))],
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}
