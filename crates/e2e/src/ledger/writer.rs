//! One connection of the ledger client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Books, Signals};
use crate::cluster::{Answer, Api};

/// One signal of so many is one that was sent before.
const REPEAT: f64 = 0.1;
/// One request of so many is a single signal.
const SINGLE: f64 = 0.3;
const MAX_BATCH: usize = 40;
/// Before a request is sent again.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    api: Api,
    signals: Signals,
    books: Arc<Mutex<Books>>,
    dice: StdRng,
    /// Number of the next new signal, and the distance to the one after: writers share the numbers.
    next: u64,
    step: u64,
    rate: f64,
}

impl Writer {
    /// Writer `place.0` of `place.1`, at `rate` signals a second.
    pub(super) fn new(
        api: Api,
        signals: Signals,
        books: Arc<Mutex<Books>>,
        place: (u64, u64),
        rate: f64,
    ) -> Self {
        let seed = signals
            .key(place.0)
            .bytes()
            .fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self {
            api,
            signals,
            books,
            dice: StdRng::seed_from_u64(seed),
            next: place.0,
            step: place.1,
            rate,
        }
    }

    /// Sends until told to stop; the last request is repeated until it is answered.
    pub(super) async fn run(mut self, stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            let numbers = self.choose();
            self.note_sent(&numbers);
            self.send(&numbers).await;
            #[expect(clippy::cast_precision_loss, reason = "batches are small")]
            tokio::time::sleep(Duration::from_secs_f64(numbers.len() as f64 / self.rate)).await;
        }
    }

    fn choose(&mut self) -> Vec<u64> {
        let count = if self.dice.random_bool(SINGLE) {
            1
        } else {
            self.dice.random_range(2..=MAX_BATCH)
        };
        (0..count).map(|_| self.number()).collect()
    }

    fn number(&mut self) -> u64 {
        if self.next > self.step && self.dice.random_bool(REPEAT) {
            // Any that may have been sent, by whichever writer: one that was not is new, and counts as sent now.
            return self.dice.random_range(0..self.next - self.step);
        }
        self.next += self.step;
        self.next - self.step
    }

    fn note_sent(&self, numbers: &[u64]) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            books.entries.entry(*number).or_default().sent += 1;
        }
    }

    async fn send(&self, numbers: &[u64]) {
        let signals: Vec<Value> = numbers.iter().map(|n| self.signals.signal(*n)).collect();
        let (path, body) = match signals.as_slice() {
            [one] => ("/api/v1/signals", one.clone()),
            all => ("/api/v1/signals/batch", json!({ "signals": all })),
        };
        loop {
            let sent = Api::send(self.api.request(Method::POST, path).json(&body)).await;
            match sent {
                Ok(answer) if answer.status < 500 && answer.status != 429 => {
                    return self.note(numbers, &answer);
                }
                _ => self.books.lock().unwrap_or_else(PoisonError::into_inner).retries += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn note(&self, numbers: &[u64], answer: &Answer) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = match answer.json(202) {
            Ok(verdicts) => verdicts,
            Err(error) => return books.faults.push(error.to_string()),
        };
        let results = verdicts["results"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if results.len() != numbers.len() {
            books
                .faults
                .push(format!("{} verdicts on {} signals", results.len(), numbers.len()));
        }
        for (number, verdict) in numbers.iter().zip(results) {
            let (status, id) = (
                verdict["status"].as_str().unwrap_or_default(),
                verdict["id"].as_str(),
            );
            match (status, id) {
                ("accepted" | "duplicate", Some(id)) => {
                    let entry = books.entries.entry(*number).or_default();
                    entry.ids.insert(id.to_owned());
                    entry.accepted += u32::from(status == "accepted");
                }
                _ => books.faults.push(format!("signal {number}: {verdict}")),
            }
        }
    }
}
