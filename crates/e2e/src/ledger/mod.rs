//! A client that keeps books: it sends numbered signals and notes what it was answered, so that afterwards every promise
//! can be held against what the system has.
//!
//! In the manner of Jepsen's queue checker: what was attempted, what was acknowledged, what is there. Owns: the books and
//! the sending. Must not: know how the system works inside; only [`checker`] looks into its tables.

pub mod checker;
mod signal;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Api;
pub use signal::Signals;

/// What was answered about one key.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// How often it was sent.
    pub sent: u32,
    /// The ids that were answered, as `accepted` or `duplicate`.
    pub ids: BTreeSet<String>,
    /// How often the answer was `accepted`: once at most, since a lost answer makes the repeat a duplicate.
    pub accepted: u32,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    /// By the number of the signal.
    pub entries: BTreeMap<u64, Entry>,
    /// Answers that should not have come.
    pub faults: Vec<String>,
    /// Requests that were not answered, or with 5xx or 429, and were sent again.
    pub retries: u64,
}

impl Books {
    /// How many keys have an answer.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| !entry.ids.is_empty())
            .count()
    }
}

/// A client at work.
#[derive(Debug)]
pub struct Ledger {
    /// What it sends.
    pub signals: Signals,
    books: Arc<Mutex<Books>>,
    stop: watch::Sender<bool>,
    writers: JoinSet<()>,
}

impl Ledger {
    /// Starts `writers` connections that send at about `rate` signals a second together, 10 % of them sent before. The
    /// choice of batches and repeats follows from `seed`.
    #[must_use]
    pub fn start(api: &Api, seed: u64, writers: u64, rate: u32) -> Self {
        let (stop, stopping) = watch::channel(false);
        let mut ledger = Self {
            signals: Signals::new(seed),
            books: Arc::default(),
            stop,
            writers: JoinSet::new(),
        };
        for number in 0..writers {
            let writer = writer::Writer::new(
                api.clone(),
                ledger.signals.clone(),
                Arc::clone(&ledger.books),
                (number, writers),
                f64::from(rate) / f64::from(u32::try_from(writers).unwrap_or(1)),
            );
            ledger.writers.spawn(writer.run(stopping.clone()));
        }
        ledger
    }

    /// How many keys have an answer so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.books
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .acknowledged()
    }

    /// Waits until `more` further keys were answered: proof that the system works again.
    ///
    /// # Panics
    /// Not within a minute.
    pub async fn progress(&self, more: usize) {
        let goal = self.acknowledged() + more;
        test_kit::wait_for(
            "signals are accepted again",
            Duration::from_secs(60),
            async || (self.acknowledged() >= goal).then_some(()),
        )
        .await;
    }

    /// Stops sending, once everything that was sent has an answer.
    ///
    /// # Errors
    /// That takes more than a minute; then the system does not recover.
    pub async fn finish(mut self) -> anyhow::Result<(Signals, Books)> {
        self.stop.send_replace(true);
        let all = async {
            while self.writers.join_next().await.transpose()?.is_some() {}
            anyhow::Ok(())
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), all).await;
        ended.context("signals are still without an answer after a minute")??;
        let books = std::mem::take(&mut *self.books.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(
            books.acknowledged() == books.entries.len(),
            "keys without an answer"
        );
        Ok((self.signals, books))
    }
}
