//! The streams of a gateway, and opening a reader: who, from where, which events.

use std::sync::Arc;
use std::time::Duration;

use errors::ApiError;
use eventbus::Bus;
use futures::{Stream, StreamExt as _};
use ids::{Clock, OrgId};
use lifecycle::{Lifecycle, Phase};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::catch_up::{CatchUp, check_kept};
use super::cursor::{Cursors, Place};
use super::hub::Hub;
use super::reader::{Heard, Reader, Source};
use super::ring::Ring;
use crate::access::{Authenticator, Credential, by_hand};
use crate::config::EventSettings;
use crate::events::{Catalogue, Filter, Places};
use crate::metrics::StreamMetrics;

/// What all streams share.
pub(super) struct Shared {
    pub(super) hub: Hub,
    pub(super) bus: Bus,
    pub(super) catalogue: Catalogue,
    pub(super) cursors: Cursors,
    pub(super) authenticator: Authenticator,
    pub(super) catching_up: Arc<Semaphore>,
    pub(super) closing: CancellationToken,
    pub(super) heartbeat: Duration,
    pub(super) retry_ms: u64,
    pub(super) patience: Duration,
    slots: Arc<Semaphore>,
    pub(super) metrics: StreamMetrics,
}

impl Shared {
    /// Counts an end that was not the client's.
    pub(super) fn ended(&self, reason: &str) {
        self.metrics.ended.with_label_values(&[reason]).inc();
    }
}

/// Event streams. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pub(super) shared: Arc<Shared>,
}

/// Counts an open stream.
pub(super) struct OpenGuard {
    metrics: StreamMetrics,
    _slot: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

/// Where a reader begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// After a cursor.
    After(String),
    /// After a place that is known to be the organization's own.
    Place(Place),
}

/// Most events that are handed out at once, where the client has no say.
pub(super) const MOST: usize = 1_000;

/// What a stream needs from the rest of the gateway.
pub struct Parts {
    /// The bus.
    pub bus: Bus,
    /// The events that there are.
    pub catalogue: Catalogue,
    /// Keys.
    pub authenticator: Authenticator,
    /// Marks cursors.
    pub secret: [u8; 32],
    /// Counters.
    pub metrics: StreamMetrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Streams {
    /// Starts the tail, and ends all streams when the edge phase of `lifecycle` stops.
    #[must_use]
    pub fn start(settings: &EventSettings, parts: Parts, lifecycle: &Lifecycle) -> Self {
        let closing = CancellationToken::new();
        let close = closing.clone();
        lifecycle.spawn_once("event-streams", Phase::Edge, move |shutdown| async move {
            shutdown.requested().await;
            close.cancel();
            Ok(())
        });
        let hub = Hub::start(settings.buffer_bytes, parts.bus.clone(), parts.clock, lifecycle);
        let shared = Shared {
            hub,
            bus: parts.bus,
            catalogue: parts.catalogue,
            cursors: Cursors::new(&parts.secret),
            authenticator: parts.authenticator,
            catching_up: Arc::new(Semaphore::new(settings.max_catching_up)),
            closing,
            heartbeat: Duration::from_secs(settings.heartbeat_secs),
            retry_ms: settings.retry_ms,
            patience: Duration::from_secs(settings.patience_secs),
            slots: Arc::new(Semaphore::new(settings.max_streams)),
            metrics: parts.metrics,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Cancelled when all streams are to end.
    #[must_use]
    pub fn closing(&self) -> CancellationToken {
        self.shared.closing.clone()
    }

    /// Events of one type from now on, as JSON; ends with the caller's key, and with the gateway.
    ///
    /// # Errors
    /// `permission_denied`, `unavailable`.
    pub fn listen(
        &self,
        caller: &Credential,
        kind: &str,
    ) -> Result<impl Stream<Item = String> + Send + use<>, ApiError> {
        let types = [kind.to_owned()];
        let filter = Filter::read(&self.shared.catalogue, &types, &[], Places::QUERY)?;
        caller.check(&by_hand::EVENTS)?;
        let reader = self.now_on(caller, filter, "graphql")?;
        let told = futures::stream::unfold(reader, |mut reader| async move {
            loop {
                match Box::pin(reader.next(MOST)).await {
                    Heard::Quiet => {}
                    Heard::End(_) => return None,
                    Heard::Events(piece) => {
                        let all: Vec<String> = piece.events().map(|told| told.event.json.clone()).collect();
                        return Some((all, reader));
                    }
                }
            }
        });
        Ok(told.flat_map(futures::stream::iter))
    }

    /// A reader for a caller, counted for an interface.
    ///
    /// # Errors
    /// `permission_denied`, `invalid_cursor`, `cursor_expired`, `unavailable`.
    pub async fn reader(
        &self,
        caller: &Credential,
        start: Start,
        filter: Filter,
        interface: &'static str,
    ) -> Result<Reader, ApiError> {
        caller.check(&by_hand::EVENTS)?;
        let shared = &self.shared;
        let place = match start {
            Start::Now => return self.now_on(caller, filter, interface),
            Start::After(text) => shared.cursors.read(caller.org, &text)?,
            Start::Place(place) => place,
        };
        let (guard, ring) = self.admit()?;
        let (wake, _, _) = ring.subscribe(caller.org);
        let source = match ring.locate(&place) {
            Some(index) => Source::Ring(index),
            None => {
                check_kept(shared, caller.org, &place).await?;
                let permit = Arc::clone(&shared.catching_up).try_acquire_owned();
                let permit = permit.map_err(|_| not_yet())?;
                Source::Broker(Box::new(CatchUp::start(shared, caller.org, &place, permit)))
            }
        };
        let told = shared.metrics.told.with_label_values(&[interface]);
        let who = (caller.org, caller.id);
        Ok(Reader::new(
            Arc::clone(shared),
            who,
            filter,
            (place, source),
            wake,
            (guard, told),
        ))
    }

    fn now_on(
        &self,
        caller: &Credential,
        filter: Filter,
        interface: &'static str,
    ) -> Result<Reader, ApiError> {
        let told = self.shared.metrics.told.with_label_values(&[interface]);
        let (guard, ring) = self.admit()?;
        let (wake, end, last) = ring.subscribe(caller.org);
        let at = (Place::after(last), Source::Ring(end));
        let who = (caller.org, caller.id);
        Ok(Reader::new(
            Arc::clone(&self.shared),
            who,
            filter,
            at,
            wake,
            (guard, told),
        ))
    }

    /// The place where the stream ends just now.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) fn end(&self, org: OrgId) -> Result<Place, ApiError> {
        let ring = self.shared.hub.ring().ok_or_else(not_yet)?;
        Ok(Place::after(ring.subscribe(org).2))
    }

    /// A place among the streams, if there is one.
    fn admit(&self) -> Result<(OpenGuard, &Ring), ApiError> {
        let shared = &self.shared;
        let ring = shared.hub.ring().ok_or_else(not_yet)?;
        let slot = Arc::clone(&shared.slots).try_acquire_owned();
        let slot = slot.map_err(|_| not_yet())?;
        shared.metrics.open.inc();
        let guard = OpenGuard {
            metrics: shared.metrics.clone(),
            _slot: slot,
        };
        Ok((guard, ring))
    }
}

fn not_yet() -> ApiError {
    ApiError::unavailable("the event stream is not available just now")
}
