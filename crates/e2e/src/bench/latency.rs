//! How long until everybody knows: one signal of a new company, from its POST to `account.score_changed` on the event
//! stream, while a thousand signals per second go on in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures::StreamExt;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::report::{Results, Row};
use crate::load::run::Load;
use crate::load::signals::Signals;
use crate::system::System;

const BACKGROUND_RATE: f64 = 1_000.0;
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// Measures for `time`.
pub async fn measure(system: &System, time: Duration, results: &mut Results) -> anyhow::Result<()> {
    let background = Load {
        host: system.host().to_owned(),
        api_key: system.endpoints.api_key.clone(),
        signals: Signals::new("background", 1_000, 5),
        batch: 1,
        connections: 16,
        next: Arc::new(AtomicU64::new(0)),
    };
    let (seen, mut events) = mpsc::unbounded_channel();
    let listening = lifecycle::detach(
        "listen",
        listen(
            system.endpoints.http.clone(),
            system.endpoints.api_key.clone(),
            seen,
        ),
    );
    let probing = probe(system, time);
    let (load, probes) = tokio::join!(background.open_loop(time, BACKGROUND_RATE), probing);
    let (load, mut probes) = (load?, probes?);
    let mut latency = Histogram::<u64>::new(3)?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !probes.is_empty() {
        let Ok(Some((domain, at))) = tokio::time::timeout_at(deadline, events.recv()).await else {
            break;
        };
        if let Some(sent) = probes.remove(&domain) {
            latency.record(u64::try_from((at - sent).as_micros())?)?;
        }
    }
    listening.abort();
    let ms = |p: f64| latency.value_at_percentile(p) as f64 / 1000.0;
    results.add(Row {
        what: "one signal, accepted → account.score_changed on SSE, 1,000 signals/s background".into(),
        measured: format!(
            "p50 {:.0} ms, p99 {:.0} ms over {} probes, {} not seen (background {:.0}/s)",
            ms(50.0),
            ms(99.0),
            latency.len(),
            probes.len(),
            load.rate(1),
        ),
        ceiling: "–".into(),
        ratio: None,
        goal: "p50 ≤ 100 ms, p99 ≤ 500 ms".into(),
        reached: ms(50.0) <= 100.0 && ms(99.0) <= 500.0 && probes.is_empty() && !latency.is_empty(),
    });
    Ok(())
}

/// Sends signals of companies never seen before; tells when each was accepted, by the signal's id.
async fn probe(system: &System, time: Duration) -> anyhow::Result<HashMap<String, Instant>> {
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/signals", system.endpoints.http);
    let mut sent = HashMap::new();
    let until = Instant::now() + time;
    let mut number = 0;
    while Instant::now() < until {
        tokio::time::sleep(PROBE_EVERY).await;
        let body = serde_json::json!({
            "type": "sign_up",
            "idempotencyKey": format!("probe-{number}"),
            "actor": {"email": format!("founder@probe{number}.example")},
        });
        let answer = client
            .post(&url)
            .bearer_auth(&system.endpoints.api_key)
            .json(&body)
            .send()
            .await?;
        let accepted = Instant::now();
        let verdict: serde_json::Value = answer.error_for_status()?.json().await?;
        let id = verdict
            .pointer("/results/0/id")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        sent.insert(id.to_owned(), accepted);
        number += 1;
    }
    Ok(sent)
}

/// Tells the signals named as evidence by each score change, with the time it was seen.
async fn listen(
    base: String,
    api_key: String,
    seen: mpsc::UnboundedSender<(String, Instant)>,
) -> anyhow::Result<()> {
    let url = format!("{base}/api/v1/events?types=account.score_changed");
    let response = reqwest::Client::new()
        .get(url)
        .bearer_auth(api_key)
        .send()
        .await?
        .error_for_status()?;
    let mut chunks = response.bytes_stream();
    let mut buffer = Vec::new();
    while let Some(chunk) = chunks.next().await {
        buffer.extend_from_slice(&chunk?);
        let at = Instant::now();
        while let Some(end) = buffer.windows(2).position(|w| w == b"\n\n") {
            let block: Vec<u8> = buffer.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            let Some(data) = text.lines().find_map(|l| l.strip_prefix("data: ")) else {
                continue;
            };
            let event: serde_json::Value = serde_json::from_str(data)?;
            let factors = event
                .pointer("/data/score/factors")
                .and_then(|f| f.as_array())
                .into_iter()
                .flatten();
            for id in factors
                .filter_map(|f| f.pointer("/evidence/signalIds")?.as_array())
                .flatten()
            {
                let _ = seen.send((id.as_str().unwrap_or_default().to_owned(), at));
            }
        }
    }
    Ok(())
}
