//! What a service says about one of its consumers, and how its handler answers.

use std::future::Future;
use std::time::Duration;

use contracts::{Envelope, EnvelopeError, Event, StreamKind};
use store::OrgScope;

use crate::BusError;

/// Why a message was not handled.
#[derive(Debug)]
pub enum HandlerError {
    /// It may work later: the message comes back after a pause, up to [`ConsumerSpec::max_deliver`] times, then it
    /// becomes a dead letter. While the cause is that the service's own database is unreachable
    /// ([`store::StoreError`] in the chain), attempts are not counted.
    Retry(anyhow::Error),
    /// It can never work: the message becomes a dead letter at once.
    Poison(anyhow::Error),
}

impl HandlerError {
    /// A [`HandlerError::Retry`], for `map_err`.
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Self::Retry(error.into())
    }

    /// A [`HandlerError::Poison`], for `map_err`.
    pub fn poison(error: impl Into<anyhow::Error>) -> Self {
        Self::Poison(error.into())
    }
}

/// `?` on an error means: try again.
impl<E: Into<anyhow::Error>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::Retry(error.into())
    }
}

/// Handles the messages of one consumer. A message may come more than once, at any time, also while it is being handled
/// elsewhere: write the effect and `store::inbox::claim` in one transaction and return `Ok` after its commit. A handler
/// that takes too long is dropped at its next await, so every piece of work must be undone by dropping it.
pub trait Handler: Send + Sync + 'static {
    /// Handles one message.
    fn handle(&self, envelope: Envelope) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// What handlers need from an envelope: its content, its tenant, and the check that both agree.
pub trait Delivery {
    /// Reads the payload; one that is not an `E` is poison.
    ///
    /// # Errors
    /// [`HandlerError::Poison`].
    fn read<E: Event>(&self) -> Result<E, HandlerError>;

    /// The tenant's scope, from the subject that the relay published under.
    fn scope(&self) -> OrgScope;

    /// A payload that names another organization than the subject is poison.
    ///
    /// # Errors
    /// [`HandlerError::Poison`].
    fn check_org(&self, organization_id: &str) -> Result<(), HandlerError>;
}

impl Delivery for Envelope {
    fn read<E: Event>(&self) -> Result<E, HandlerError> {
        self.open()
            .map_err(|error: EnvelopeError| HandlerError::Poison(error.into()))
    }

    fn scope(&self) -> OrgScope {
        OrgScope::new(self.org())
    }

    fn check_org(&self, organization_id: &str) -> Result<(), HandlerError> {
        if organization_id.parse() == Ok(self.org()) {
            return Ok(());
        }
        Err(HandlerError::Poison(anyhow::anyhow!(
            "the payload's organization {organization_id:?} is not the subject's, {}",
            self.org()
        )))
    }
}

/// One durable consumer: one service's work on one type of event. Replicas of the service share it.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// The service.
    pub service: &'static str,
    /// The event's type, as in [`Event::TYPE`].
    pub event: &'static str,
    /// Handlers that run at once in this process.
    pub concurrency: usize,
    /// How long one run of the handler may take before it is dropped and counts as a retry.
    pub handler_timeout: Duration,
    /// Attempts before a message becomes a dead letter.
    pub max_deliver: i64,
    /// Pauses before the second, third, … attempt; the last one repeats.
    pub backoff: Vec<Duration>,
}

impl ConsumerSpec {
    /// A consumer with the usual limits: 4 at once, 10 s each, 8 attempts over about a quarter of an hour.
    #[must_use]
    pub fn new(service: &'static str, event: &'static str) -> Self {
        let backoff = [200, 1_000, 5_000, 30_000, 120_000, 300_000, 600_000];
        Self {
            service,
            event,
            concurrency: 4,
            handler_timeout: Duration::from_secs(10),
            max_deliver: 8,
            backoff: backoff.map(Duration::from_millis).to_vec(),
        }
    }

    /// The same with `concurrency` handlers at once.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The consumer's name at the broker, in the inbox and on dead letters: `<service>_<event>`, dots as underscores.
    #[must_use]
    pub fn durable(&self) -> String {
        format!("{}_{}", self.service, self.event.replace('.', "_"))
    }

    /// The stream that keeps the event.
    pub(crate) fn stream(&self) -> Result<StreamKind, BusError> {
        match contracts::type_of(self.event) {
            Some((_, stream)) => Ok(stream),
            None => Err(BusError::UnknownEvent(self.event.to_owned())),
        }
    }

    pub(crate) fn check(&self) -> Result<(), BusError> {
        let refuse = |reason| {
            Err(BusError::Spec {
                consumer: self.durable(),
                reason,
            })
        };
        if self.concurrency == 0 || self.concurrency > 1_024 {
            return refuse("concurrency must be between 1 and 1024");
        }
        if self.max_deliver < 1 {
            return refuse("max_deliver must be at least 1");
        }
        if self.handler_timeout.is_zero() || self.backoff.is_empty() {
            return refuse("handler_timeout and backoff must not be empty");
        }
        self.stream().map(|_| ())
    }

    /// The pause after attempt number `delivered` (1 is the first).
    pub(crate) fn pause(&self, delivered: i64) -> Duration {
        let index = usize::try_from(delivered.saturating_sub(1)).unwrap_or(0);
        let last = self.backoff.last().copied().unwrap_or_default();
        self.backoff.get(index).copied().unwrap_or(last)
    }

    /// How long the broker waits for a word before it gives the message to somebody else: as long as what a killed process
    /// had in hand is lost sight of. A message that waits for a handler, or is handled, for longer is kept alive by
    /// progress reports.
    pub(crate) fn ack_wait(&self) -> Duration {
        self.handler_timeout.min(Duration::from_secs(10)) + Duration::from_secs(5)
    }

    /// Messages in this process's hands: those being handled and as many waiting, so that handlers never idle.
    pub(crate) fn slots(&self) -> usize {
        self.concurrency * 2
    }

    /// Bound over all replicas, and over messages that wait for their next attempt: those of one broken tenant must
    /// not stop the others. It costs the broker an entry each; memory here is bounded by [`Self::slots`].
    pub(crate) fn max_ack_pending(&self) -> i64 {
        i64::try_from(self.concurrency * 32)
            .unwrap_or(i64::MAX)
            .max(1_024)
    }
}
