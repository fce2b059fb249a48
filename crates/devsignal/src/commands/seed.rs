//! `devsignal seed`: the demo, through the public API.

use std::time::Duration;

use ids::{Clock, SystemClock};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::SeedArgs;
use crate::client::Client;
use crate::seed;

const BATCH: usize = 500;
/// How long the scores of the demo are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
/// So often in a row nothing may wait: between two stages a signal is in neither for a moment.
const EMPTY_LOOKS: u32 = 3;

#[derive(serde::Deserialize)]
struct Pipeline {
    lag: u64,
}

/// Sends the demo. A second run reports duplicates and adds nothing.
pub async fn run(args: &SeedArgs) -> anyhow::Result<()> {
    let client = Client::of(&args.target)?;
    let signals = seed::signals(args.signals, SystemClock.now());
    let bar = ProgressBar::new(signals.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} signals {per_sec}") {
        bar.set_style(style);
    }
    let (mut accepted, mut duplicates) = (0, 0);
    for (number, chunk) in signals.chunks(BATCH).enumerate() {
        let body = serde_json::to_vec(&serde_json::json!({ "signals": chunk }))?;
        let verdicts = client.send_batch(body, &format!("demo-batch-{number}")).await?;
        if let Some(refused) = verdicts.results.iter().find(|v| v.status == "rejected") {
            anyhow::bail!("the server refused a demo signal: {refused:?}");
        }
        accepted += verdicts.accepted;
        duplicates += verdicts.duplicates;
        bar.inc(chunk.len() as u64);
    }
    bar.set_style(ProgressStyle::with_template("scoring")?);
    let state = if worked_off(&client).await {
        "all scored"
    } else {
        "still being scored (`/health/signals` shows how far)"
    };
    bar.finish_and_clear();
    crate::say(&format!(
        "{} companies, {} developers: {accepted} signals accepted, {duplicates} known already, {state}. Try `devsignal top`.",
        seed::COMPANIES.len(),
        seed::people().len(),
    ));
    Ok(())
}

/// Waits until the pipeline has worked off what was sent; whether it has.
async fn worked_off(client: &Client) -> bool {
    let looking = async {
        let mut empty = 0;
        while empty < EMPTY_LOOKS {
            tokio::time::sleep(PAUSE).await;
            let pipeline = client.get::<Pipeline>("/health/signals", &[]).await;
            empty = if pipeline.is_ok_and(|pipeline| pipeline.lag == 0) {
                empty + 1
            } else {
                0
            };
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.is_ok()
}
