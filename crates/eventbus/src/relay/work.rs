//! The leader's loop: wait for rows, publish them, mark them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::Shutdown;
use store::{
    Leadership, StoreError, dead_letters,
    outbox::{self, OutboxEvent, Published},
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{
    Desk, dead_letter_consumer,
    publish::{self, Outcome, Refused, Verdict},
};
use crate::{BusError, bus::chain, message};

/// Polling begins here after a row was found (a writer in another process cannot poke us) …
const POLL_MIN: Duration = Duration::from_millis(5);
/// … and doubles to this while nothing comes.
const POLL_MAX: Duration = Duration::from_millis(250);
/// The least time between the beginnings of two batches, unless the first was full: what is written meanwhile goes
/// together. A row that comes after a rest does not wait.
const BREATH: Duration = Duration::from_millis(5);
/// Pauses after a batch that was not taken as a whole.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// While there is no connection.
const OFFLINE: Duration = Duration::from_millis(100);
/// The lock is confirmed this often. Two leaders for so long are harmless: message ids are the same.
const CONFIRM: Duration = Duration::from_secs(1);
/// How often the lag is measured for the metrics.
const MEASURE: Duration = Duration::from_secs(5);
/// Even with large payloads a batch has so many rows.
const MIN_ROWS: u32 = 8;
/// Rows that no broker will take are marked with this in place of a stream, so that they rest.
const NOWHERE: &str = "none";

/// What the loop knows from one round to the next.
struct Rounds {
    /// While true, nothing is published.
    hold: watch::Receiver<bool>,
    epochs: watch::Receiver<u64>,
    poke: Arc<Notify>,
    /// The streams were compared since the last epoch.
    checked: bool,
    poll: Duration,
    retry: Duration,
    rows: u32,
    /// The last batch had as many rows as it might: there are more.
    full: bool,
    confirmed: Instant,
    measured: Option<Instant>,
    redriven: Instant,
}

impl Desk {
    /// Relays until shutdown (`Ok`) or until leadership or database are lost.
    pub(super) async fn relay(&self, lead: &mut Leadership, shutdown: &Shutdown) -> Result<(), BusError> {
        let mut rounds = Rounds {
            hold: self.hold.clone(),
            epochs: self.bus.epochs(),
            poke: self.stores.outbox_poke(),
            checked: false,
            poll: POLL_MIN,
            retry: RETRY_MIN,
            rows: self.bus.settings().relay_batch_rows,
            full: false,
            confirmed: Instant::now(),
            measured: None,
            redriven: Instant::now(),
        };
        loop {
            // What was committed until a shutdown is published once more before we go.
            let last = shutdown.is_requested();
            if rounds.confirmed.elapsed() >= CONFIRM {
                lead.check().await?;
                rounds.confirmed = Instant::now();
            }
            if *rounds.hold.borrow() && !last {
                self.measure(&mut rounds).await?;
                tokio::select! {
                    () = shutdown.requested() => {}
                    Ok(_) = rounds.hold.wait_for(|hold| !hold) => {}
                    () = tokio::time::sleep(CONFIRM) => {}
                }
                continue;
            }
            let next = Instant::now() + BREATH;
            let pause = self.round(&mut rounds).await?;
            if last {
                return Ok(());
            }
            let Some(pause) = pause else {
                if !rounds.full {
                    tokio::select! {
                        () = shutdown.requested() => {}
                        () = tokio::time::sleep_until(next) => {}
                    }
                }
                continue;
            };
            tokio::select! {
                () = shutdown.requested() => {}
                () = rounds.poke.notified() => rounds.poll = POLL_MIN,
                changed = rounds.epochs.changed() => rounds.checked &= changed.is_err(),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One batch. Returns how long to rest, `None` for not at all.
    async fn round(&self, rounds: &mut Rounds) -> Result<Option<Duration>, BusError> {
        self.measure(rounds).await?;
        if !self.bus.is_connected() {
            return Ok(Some(OFFLINE));
        }
        if rounds.epochs.has_changed().unwrap_or(false) {
            rounds.checked = false;
        }
        if !rounds.checked {
            rounds.epochs.mark_unchanged();
            match self.check_for_regression().await {
                Ok(()) => rounds.checked = true,
                Err(error @ BusError::Store(_)) => return Err(error),
                Err(error) => {
                    tracing::debug!(service = self.service, error = %chain(&error), "streams cannot be compared yet");
                    self.bus.complain();
                    return Ok(Some(rounds.back_off()));
                }
            }
        }
        self.redrive(rounds).await?;
        let batch = outbox::take_unpublished(&self.stores.pipeline, rounds.rows).await?;
        if batch.is_empty() {
            let pause = rounds.poll;
            rounds.poll = (rounds.poll * 2).min(POLL_MAX);
            return Ok(Some(pause));
        }
        rounds.poll = POLL_MIN;
        rounds.full = batch.len() >= usize::try_from(rounds.rows).unwrap_or(usize::MAX);
        rounds.rows = next_rows(
            &batch,
            self.bus.settings().relay_batch_rows,
            self.bus.settings().relay_batch_bytes,
        );
        self.publish(batch, rounds).await
    }

    async fn publish(
        &self,
        batch: Vec<OutboxEvent>,
        rounds: &mut Rounds,
    ) -> Result<Option<Duration>, BusError> {
        let oldest = batch.first().map(|row| row.id);
        let outcome = publish::publish(&self.bus, batch).await;
        self.mark(&outcome).await?;
        if let Some(written) = oldest.and_then(written_at) {
            let delay = self.bus.now().duration_since(written).as_secs_f64();
            self.metrics.delay.observe(delay.max(0.0));
        }
        let failed = outcome
            .retryable()
            .map(|refused| (refused.verdict, refused.reason.clone()));
        for refused in outcome.refused {
            self.metrics
                .failures
                .with_label_values(&[refused.verdict.label()])
                .inc();
            if refused.verdict == Verdict::Never {
                self.bury(refused).await?;
            }
        }
        let Some((verdict, reason)) = failed else {
            rounds.retry = RETRY_MIN;
            return Ok(None);
        };
        tracing::warn!(service = self.service, reason = verdict.label(), error = %reason, "events were not published and are tried again");
        if verdict == Verdict::NoStream {
            self.bus.complain();
        }
        Ok(Some(rounds.back_off()))
    }

    async fn mark(&self, outcome: &Outcome) -> Result<(), StoreError> {
        let mut by_stream: BTreeMap<&str, Vec<Published>> = BTreeMap::new();
        for (stream, published) in &outcome.acked {
            by_stream.entry(stream).or_default().push(*published);
        }
        for (stream, acks) in by_stream {
            outbox::mark_published(&self.stores.pipeline, stream, &acks).await?;
            self.metrics
                .published
                .inc_by(u64::try_from(acks.len()).unwrap_or(0));
        }
        Ok(())
    }

    /// Puts a row aside that no broker will take, so that the rows behind it go on.
    async fn bury(&self, refused: Refused) -> Result<(), StoreError> {
        let Refused { row, reason, .. } = refused;
        let headers = message::of_row(row.clone())
            .map(|envelope| envelope.headers())
            .unwrap_or_default();
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let letter = dead_letters::NewDeadLetter {
            message_id: row.id,
            org: Some(row.org),
            consumer: dead_letter_consumer(self.service),
            subject: row.subject,
            headers: serde_json::Value::Object(headers),
            payload: row.payload,
            reason,
            attempts: 1,
        };
        // In this order: if we die in between, the row is refused and kept once more, as the same dead letter.
        dead_letters::insert(&self.stores.pipeline, &letter).await?;
        outbox::mark_published(
            &self.stores.pipeline,
            NOWHERE,
            &[Published { id: row.id, seq: 0 }],
        )
        .await?;
        self.metrics.dead.inc();
        tracing::error!(service = self.service, event_id = %row.id, reason = %letter.reason, "an event can never be published and is kept as a dead letter");
        Ok(())
    }

    /// Publishes put-aside rows again when an operator asks for it (after the broker's limits were raised).
    async fn redrive(&self, rounds: &mut Rounds) -> Result<(), BusError> {
        if rounds.redriven.elapsed() < Duration::from_millis(self.bus.settings().redrive_poll_ms) {
            return Ok(());
        }
        rounds.redriven = Instant::now();
        let mut tx = self.stores.pipeline.begin().await?;
        let taken =
            dead_letters::take_redrivable(&mut tx, &dead_letter_consumer(self.service), MIN_ROWS).await?;
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for dead in taken {
            match self.publish_letter(&dead.letter).await {
                Ok(()) => done.push(dead.id),
                Err(reason) => {
                    // Attempts are added up by the table.
                    failed.push(dead_letters::NewDeadLetter {
                        reason,
                        attempts: 1,
                        ..dead.letter
                    });
                }
            }
        }
        dead_letters::mark_redriven(&mut tx, &done).await?;
        tx.commit().await?;
        for letter in failed {
            dead_letters::insert(&self.stores.pipeline, &letter).await?;
        }
        Ok(())
    }

    async fn publish_letter(&self, letter: &dead_letters::NewDeadLetter) -> Result<(), String> {
        let get = |name: &str| letter.headers.get(name).and_then(serde_json::Value::as_str);
        let envelope = contracts::Envelope::from_parts(&letter.subject, get, letter.payload.clone());
        let envelope = envelope.map_err(|error| chain(&error))?;
        let ack = publish::send(&self.bus, &envelope)
            .await
            .map_err(|error| chain(&error))?;
        ack.await.map_err(|error| chain(&error))?;
        Ok(())
    }

    async fn measure(&self, rounds: &mut Rounds) -> Result<(), StoreError> {
        if rounds.measured.is_some_and(|at| at.elapsed() < MEASURE) {
            return Ok(());
        }
        rounds.measured = Some(Instant::now());
        let waiting = outbox::unpublished_stats(&self.stores.pipeline).await?;
        self.metrics
            .lag_rows
            .set(i64::try_from(waiting.count).unwrap_or(i64::MAX));
        let age = waiting
            .oldest
            .map_or(0, |oldest| self.bus.now().duration_since(oldest).as_secs());
        self.metrics.oldest.set(age.max(0));
        Ok(())
    }
}

impl Rounds {
    fn back_off(&mut self) -> Duration {
        let pause = self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Rows to take next, so that a batch stays below `most_bytes` if rows stay as large as these.
fn next_rows(batch: &[OutboxEvent], most_rows: u32, most_bytes: u32) -> u32 {
    let bytes: usize = batch.iter().map(|row| row.payload.len()).sum();
    let average = (bytes / batch.len().max(1)).max(1);
    let fitting = usize::try_from(most_bytes).unwrap_or(usize::MAX) / average;
    u32::try_from(fitting)
        .unwrap_or(u32::MAX)
        .clamp(MIN_ROWS.min(most_rows), most_rows)
}

/// When a row's id was made, in milliseconds.
fn written_at(id: uuid::Uuid) -> Option<jiff::Timestamp> {
    let (secs, nanos) = id.get_timestamp()?.to_unix();
    jiff::Timestamp::new(i64::try_from(secs).ok()?, i32::try_from(nanos).ok()?).ok()
}
