//! How many calls per second pass through one coalescer, with a bulk call that does nothing.
//!
//! `cargo run --release -p coalesce --example throughput [worker threads] [callers] [lanes]`

#![expect(clippy::print_stdout, reason = "the figures are this program's purpose")]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use coalesce::{Coalescer, Options};
use tokio::task::JoinSet;

const CALLS: u64 = 4_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| arguments.next().and_then(Result::ok).unwrap_or(default);
    let (threads, callers, lanes) = (next(1), next(256), next(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::try_from(threads).unwrap_or(1))
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(measure(callers, lanes)),
        Err(error) => println!("no runtime: {error}"),
    }
}

async fn measure(callers: u64, lanes: u64) {
    let (calls, lanes) = Coalescer::<u64, u64, ()>::new(Options {
        lanes: usize::try_from(lanes).unwrap_or(1),
        max_items: 512,
        max_weight: usize::MAX,
        max_queued_items: 100_000,
        max_queued_weight: usize::MAX,
        breath: std::time::Duration::ZERO,
        crowd: usize::MAX,
    });
    let groups = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for lane in lanes {
        let groups = Arc::clone(&groups);
        running.spawn(async move {
            let bulk = |group: Vec<u64>| {
                groups.fetch_add(1, Ordering::Relaxed);
                async move { Ok(group) }
            };
            lane.run(bulk, pending()).await;
        });
    }
    let started = Instant::now();
    let mut callers_running = JoinSet::new();
    for _ in 0..callers {
        let calls = calls.clone();
        callers_running.spawn(async move {
            let mut answered = 0u64;
            for n in 0..CALLS / callers {
                answered += u64::from(calls.call(n, 1).await == Ok(n));
            }
            answered
        });
    }
    let answered: u64 = callers_running.join_all().await.into_iter().sum();
    let seconds = started.elapsed().as_secs_f64();
    let groups = groups.load(Ordering::Relaxed).max(1);
    println!(
        "{:.2} M calls/s, {:.1} calls per group, {answered} answered",
        answered as f64 / seconds / 1e6,
        answered as f64 / groups as f64,
    );
    running.shutdown().await;
}
