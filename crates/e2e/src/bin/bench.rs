//! `./dev bench`: starts an installation of its own, measures it, prints a table and writes the results to a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use e2e::bench::report::{Results, Row};
use e2e::bench::{latency, lists, say, streams, throughput};
use e2e::system::System;
use sqlx::postgres::PgPoolOptions;

/// What to measure, and for how long.
#[derive(Debug, Parser)]
struct Args {
    /// File of the results, JSON
    #[arg(long, default_value = ".dev/bench.json")]
    out: PathBuf,
    /// Measure only these; everything if not given
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Seconds of the sustained batch load
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Minutes of the watch for memory growth; 0 leaves it out
    #[arg(long, default_value_t = 0)]
    soak_minutes: u64,
    /// Folder of the installation's data; a temporary one if not given
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// The parts of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Memory,
    Single,
    Latency,
    Batches,
    Lists,
    Streams,
    Soak,
}

impl Args {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let data_dir = match args.data_dir.clone() {
        Some(dir) => dir,
        None => std::env::current_dir()?.join(".dev/bench-data"),
    };
    if data_dir.exists() {
        std::fs::remove_dir_all(&data_dir)?;
    }
    std::fs::create_dir_all(&data_dir)?;
    let system = System::start(&data_dir).await?;
    let outcome = measure(&args, &system).await;
    system.stop().await?;
    let results = outcome?;
    results.write(&args.out)?;
    say(&format!(
        "\n{}\nwritten to {}",
        results.table(),
        args.out.display()
    ));
    Ok(())
}

async fn measure(args: &Args, system: &System) -> anyhow::Result<Results> {
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&system.endpoints.postgres)
        .await?;
    let mut results = Results::default();
    if args.has(Part::Memory) {
        memory(system, "idle", 150.0, &mut results).await?;
    }
    if args.has(Part::Single) {
        throughput::single(system, &pool, Duration::from_secs(15), &mut results).await?;
    }
    if args.has(Part::Latency) {
        latency::measure(system, Duration::from_secs(20), &mut results).await?;
    }
    if args.has(Part::Batches) {
        let time = Duration::from_secs(args.seconds);
        throughput::batches(system, &pool, time, &mut results).await?;
    }
    if args.has(Part::Lists) {
        lists::fill(system, &pool).await?;
        lists::measure(system, &mut results).await?;
    }
    if args.has(Part::Streams) {
        streams::fan_out(system, &mut results).await?;
        streams::idle(system, &mut results).await?;
    }
    if args.has(Part::Soak) && args.soak_minutes > 0 {
        throughput::soak(system, Duration::from_secs(args.soak_minutes * 60), &mut results).await?;
    }
    Ok(results)
}

async fn memory(system: &System, when: &str, goal: f64, results: &mut Results) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resident = system.resident_mib()?;
    results.add(Row {
        what: format!("memory of all services in one process, {when}"),
        measured: format!("{resident:.0} MiB"),
        ceiling: "–".into(),
        ratio: None,
        goal: format!("≤ {goal:.0} MiB"),
        reached: resident <= goal,
    });
    Ok(())
}
