//! `devsignal ingest`: signals from a file of JSON lines.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use crate::cli::IngestArgs;
use crate::client::{Client, Verdicts};

/// Bodies stay below the server's 4 MiB.
const MAX_BODY: usize = 3 * 1024 * 1024;

#[derive(Debug, Default)]
struct Sums {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
}

/// Sends the file; every refused line is named. Fails at the end if there was one.
pub async fn run(args: &IngestArgs) -> anyhow::Result<()> {
    let client = Client::of(&args.target)?;
    let (mut lines, total) = open(&args.file).await?;
    let bar = progress(total);
    let run = uuid::Uuid::from_bytes(rand::random());
    let (mut sums, mut batch, mut text, mut number) =
        (Sums::default(), Batch::default(), String::new(), 0_u64);
    loop {
        text.clear();
        let read = lines
            .read_line(&mut text)
            .await
            .with_context(|| format!("line {} is not UTF-8 text", number + 1))?;
        number += 1;
        let line = text.trim();
        let full = batch.lines.len() >= usize::from(args.batch) || batch.body.len() + line.len() > MAX_BODY;
        if (read == 0 || full) && !batch.lines.is_empty() {
            let sent = std::mem::take(&mut batch);
            let key = format!("ingest-{run}-{}", sent.lines[0]);
            let verdicts = client.send_batch(sent.wrapped(), &key).await?;
            report(&verdicts, &sent.lines, &bar, &mut sums);
        }
        if read == 0 {
            break;
        }
        bar.inc(read as u64);
        if line.is_empty() {
            continue;
        }
        // A line that is not JSON would spoil its whole batch: the server could not tell the items apart.
        match serde_json::from_str::<&serde_json::value::RawValue>(line) {
            Ok(_) => batch.push(line, number),
            Err(error) => {
                sums.rejected += 1;
                bar.suspend(|| crate::complain(&format!("line {number}: not JSON: {error}")));
            }
        }
    }
    bar.finish_and_clear();
    crate::say(&format!(
        "{} accepted, {} duplicates, {} rejected",
        sums.accepted, sums.duplicates, sums.rejected
    ));
    if sums.rejected > 0 {
        bail!("{} lines were rejected", sums.rejected);
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Batch {
    body: Vec<u8>,
    lines: Vec<u64>,
}

impl Batch {
    fn push(&mut self, line: &str, number: u64) {
        if !self.lines.is_empty() {
            self.body.push(b',');
        }
        self.body.extend_from_slice(line.as_bytes());
        self.lines.push(number);
    }

    fn wrapped(&self) -> Vec<u8> {
        [b"{\"signals\":[".as_slice(), &self.body, b"]}"].concat()
    }
}

fn report(verdicts: &Verdicts, lines: &[u64], bar: &ProgressBar, sums: &mut Sums) {
    sums.accepted += verdicts.accepted;
    sums.duplicates += verdicts.duplicates;
    sums.rejected += verdicts.rejected;
    for verdict in verdicts.results.iter().filter(|v| v.status == "rejected") {
        let line = lines.get(verdict.index).copied().unwrap_or_default();
        let why = verdict.error.as_ref().map_or_else(String::new, |e| {
            format!("{} at {}: {}", e.code, e.pointer, e.message)
        });
        bar.suspend(|| crate::complain(&format!("line {line}: {why}")));
    }
}

async fn open(file: &Path) -> anyhow::Result<(Box<dyn AsyncBufRead + Unpin>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(tokio::io::stdin())), None));
    }
    let opened = tokio::fs::File::open(file)
        .await
        .with_context(|| format!("cannot open {}", file.display()))?;
    let size = opened.metadata().await?.len();
    Ok((Box::new(BufReader::with_capacity(1 << 20, opened)), Some(size)))
}

fn progress(total: Option<u64>) -> ProgressBar {
    let (bar, style) = match total {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
