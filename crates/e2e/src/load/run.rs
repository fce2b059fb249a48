//! Closed loop (as fast as answers come) and open loop (at a fixed rate, whatever the answers do).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::http::{Connection, post_head};
use super::signals::Signals;

/// What to send and where.
#[derive(Debug, Clone)]
pub struct Load {
    /// `host:port` of the gateway.
    pub host: String,
    /// API key.
    pub api_key: String,
    /// The signals.
    pub signals: Signals,
    /// Signals per request; 1 uses the single-signal route.
    pub batch: u64,
    /// Connections.
    pub connections: usize,
    /// Number of the next signal; shared, so that several runs continue each other.
    pub next: Arc<AtomicU64>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Requests answered 202.
    pub accepted: u64,
    /// Requests answered otherwise.
    pub refused: u64,
    /// From first to last.
    pub elapsed: Duration,
    /// Time of each request, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Report {
    /// Accepted signals per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rate(&self, batch: u64) -> f64 {
        (self.accepted * batch) as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile of the latency in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn latency_ms(&self, percentile: f64) -> f64 {
        self.latency_us.value_at_percentile(percentile) as f64 / 1000.0
    }
}

impl Load {
    /// Every connection sends its next request when the last was answered, for `time`.
    pub async fn closed_loop(&self, time: Duration) -> anyhow::Result<Report> {
        self.run(time, None).await
    }

    /// All connections together send `rate` signals per second for `time`; a late connection catches up.
    pub async fn open_loop(&self, time: Duration, rate: f64) -> anyhow::Result<Report> {
        self.run(time, Some(rate)).await
    }

    #[expect(clippy::cast_precision_loss, reason = "connections are few")]
    async fn run(&self, time: Duration, rate: Option<f64>) -> anyhow::Result<Report> {
        let started = Instant::now();
        let until = started + time;
        let pause =
            rate.map(|rate| Duration::from_secs_f64(self.batch as f64 * self.connections as f64 / rate));
        let mut workers = JoinSet::new();
        for number in 0..self.connections {
            let load = self.clone();
            let offset = pause.map(|p| p.mul_f64(number as f64 / self.connections as f64));
            workers.spawn(async move { load.connection(until, pause, offset.unwrap_or_default()).await });
        }
        let mut report = Report {
            accepted: 0,
            refused: 0,
            elapsed: time,
            latency_us: Histogram::new(3)?,
        };
        while let Some(done) = workers.join_next().await {
            let (accepted, refused, latency) = done??;
            report.accepted += accepted;
            report.refused += refused;
            report.latency_us.add(latency)?;
        }
        report.elapsed = started.elapsed();
        Ok(report)
    }

    async fn connection(
        self,
        until: Instant,
        pause: Option<Duration>,
        offset: Duration,
    ) -> anyhow::Result<(u64, u64, Histogram<u64>)> {
        let path = if self.batch == 1 {
            "/api/v1/signals"
        } else {
            "/api/v1/signals/batch"
        };
        let head = post_head(&self.host, path, &self.api_key);
        let mut connection = Connection::open(&self.host).await?;
        let (mut accepted, mut refused, mut latency) = (0, 0, Histogram::new(3)?);
        let (mut body, mut scratch) = (String::new(), Vec::new());
        let mut due = Instant::now() + offset;
        while Instant::now() < until {
            if let Some(pause) = pause {
                tokio::time::sleep_until(due.into()).await;
                due += pause;
            }
            let first = self.next.fetch_add(self.batch, Ordering::Relaxed);
            body.clear();
            if self.batch == 1 {
                self.signals.append(first, &mut body);
            } else {
                body = self.signals.batch(first, self.batch);
            }
            let sent = Instant::now();
            let answer = connection.post(&head, body.as_bytes(), &mut scratch).await?;
            latency.record(u64::try_from(sent.elapsed().as_micros())?)?;
            if answer.status == 202 {
                accepted += 1
            } else {
                refused += 1
            }
        }
        Ok((accepted, refused, latency))
    }
}
