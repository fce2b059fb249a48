//! `devsignal seed`: the demo, through the public API.

use ids::{Clock, SystemClock};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::SeedArgs;
use crate::client::Client;
use crate::seed;

const BATCH: usize = 500;

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
    bar.finish_and_clear();
    crate::say(&format!(
        "{} companies, {} developers: {accepted} signals accepted, {duplicates} known already. Try `devsignal top`.",
        seed::COMPANIES.len(),
        seed::people().len(),
    ));
    Ok(())
}
