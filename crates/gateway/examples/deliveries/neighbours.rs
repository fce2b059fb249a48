//! How long first attempts to good endpoints take, from the event to the request's arrival: alone, and while a hundred
//! endpoints are hostile, of other organizations and of their own.

use std::time::{Duration, Instant};

use anyhow::Result;
use lifecycle::Lifecycle;

use crate::receiver::{Arrived, Manner, endpoint};
use crate::system::{Organization, System};

/// How long each is measured.
const TIME: Duration = Duration::from_secs(20);
/// Events a second, of the good ones' organization.
const RATE: u32 = 50;
/// One in so many times, the others' have one too.
const OTHERS: usize = 10;
/// Hostile endpoints, as many as there are ways of it times this.
const OF_EACH: usize = 20;

/// Measures and prints.
pub async fn measure(
    system: &System,
    good: &Organization,
    arrived: &Arrived,
    lifecycle: &Lifecycle,
) -> Result<()> {
    let alone = run(system, good, &[], arrived).await?;
    println!("first attempts alone: {alone}");
    let mut others = Vec::new();
    let manners = [
        Manner::Hangs,
        Manner::Drips,
        Manner::Closes,
        Manner::Floods,
        Manner::Fails,
    ];
    for manner in manners {
        let url = endpoint(lifecycle, manner).await?;
        let organization = system.organization().await?;
        let urls: Vec<String> = (0..OF_EACH).map(|n| format!("{url}/{n}")).collect();
        system.webhooks(&organization, &urls).await?;
        others.push(organization);
    }
    let before = rss_mib();
    let beside = run(system, good, &others, arrived).await?;
    println!(
        "first attempts beside {} hostile endpoints of others: {beside}; p99 {:.2} of alone; {:.0} MiB, before {before:.0} MiB, all \
         endpoints in this process too",
        others.len() * OF_EACH,
        beside.p99 / alone.p99,
        rss_mib(),
    );
    let url = endpoint(lifecycle, Manner::Hangs).await?;
    let urls: Vec<String> = (0..OF_EACH).map(|n| format!("{url}/{n}")).collect();
    system.webhooks(good, &urls).await?;
    let among = run(system, good, &[], arrived).await?;
    println!(
        "first attempts beside {OF_EACH} hanging endpoints of one's own as well: {among}; p99 {:.2} of alone",
        among.p99 / alone.p99
    );
    Ok(())
}

/// In milliseconds.
struct Latency {
    count: usize,
    p50: f64,
    p99: f64,
    max: f64,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99, max } = self;
        write!(
            f,
            "p50 {p50:.1} ms, p99 {p99:.1} ms, longest {max:.1} ms of {count}"
        )
    }
}

/// Tells events of all organizations at the rate; the latencies of those that arrive at good endpoints.
async fn run(
    system: &System,
    good: &Organization,
    others: &[Organization],
    arrived: &Arrived,
) -> Result<Latency> {
    arrived.latencies.lock().clear();
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    for turn in 0_usize.. {
        if begun.elapsed() > TIME {
            break;
        }
        tick.tick().await;
        let others = if turn % OTHERS == 0 { others } else { &[] };
        let told = std::iter::once(good)
            .chain(others)
            .map(|of| system.publish(of, 1));
        futures::future::try_join_all(told).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut all = std::mem::take(&mut *arrived.latencies.lock());
    anyhow::ensure!(!all.is_empty(), "nothing arrived");
    all.sort_unstable();
    let at = |per_mille: usize| all[(all.len() - 1) * per_mille / 1_000].as_secs_f64() * 1_000.0;
    Ok(Latency {
        count: all.len(),
        p50: at(500),
        p99: at(990),
        max: at(1_000),
    })
}

fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1_024.0
}
