//! Opening a stream: who, from where, which types.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use errors::ApiError;
use eventbus::Bus;
use futures::{Stream, StreamExt as _};
use ids::Clock;
use lifecycle::{Lifecycle, Phase};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::catch_up::{CatchUp, check_kept};
use super::connection::Connection;
use super::cursor::{Cursors, Place};
use super::hub::Hub;
use super::ring::Ring;
use crate::access::{Authenticator, Credential, by_hand};
use crate::config::EventSettings;
use crate::events::{Catalogue, Filter, Places};
use crate::http::unknown_parameter;
use crate::metrics::StreamMetrics;
use crate::transcode::decode_parameter;

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
    slots: Arc<Semaphore>,
    pub(super) metrics: StreamMetrics,
}

/// Event streams. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
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

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

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
        caller.check(&by_hand::EVENTS)?;
        let types = [kind.to_owned()];
        let filter = Filter::read(&self.shared.catalogue, &types, &[], Places::QUERY)?;
        let (guard, ring) = self.admit()?;
        let (wake, end, last) = ring.subscribe(caller.org);
        let connection = Connection::new(
            Arc::clone(&self.shared),
            (caller.org, caller.id),
            filter,
            Place::after(last),
            wake,
            Ok(end),
            guard,
        );
        let told = futures::stream::unfold(connection, |connection| Box::pin(connection.next_told()));
        Ok(told.flat_map(futures::stream::iter))
    }

    /// A place among the streams, if there is one.
    fn admit(&self) -> Result<(OpenGuard, &Ring), ApiError> {
        let shared = &self.shared;
        let not_yet = || ApiError::unavailable("the event stream is not available just now");
        let ring = shared.hub.ring().ok_or_else(not_yet)?;
        let slot = Arc::clone(&shared.slots)
            .try_acquire_owned()
            .map_err(|_| not_yet())?;
        shared.metrics.open.inc();
        let guard = OpenGuard {
            metrics: shared.metrics.clone(),
            _slot: slot,
        };
        Ok((guard, ring))
    }

    /// `GET /api/v1/events`.
    ///
    /// # Errors
    /// `permission_denied`, `invalid_parameter`, `invalid_cursor`, `cursor_expired`, `unavailable`.
    pub async fn open(
        &self,
        request: &HttpRequest,
        caller: Arc<Credential>,
    ) -> Result<HttpResponse, ApiError> {
        caller.check(&by_hand::EVENTS)?;
        let wanted = Wanted::of(request, &self.shared.catalogue)?;
        let shared = &self.shared;
        let not_yet = || ApiError::unavailable("the event stream is not available just now");
        let (guard, ring) = self.admit()?;
        let (wake, end, last) = ring.subscribe(caller.org);
        let (place, source) = match wanted.after {
            None => (Place::after(last), Ok(end)),
            Some(text) => {
                let place = shared.cursors.read(caller.org, &text)?;
                let source = match ring.locate(&place) {
                    Some(index) => Ok(index),
                    None => {
                        check_kept(&shared.bus, &place).await?;
                        let permit = Arc::clone(&shared.catching_up).try_acquire_owned();
                        let permit = permit.map_err(|_| not_yet())?;
                        Err(Box::new(CatchUp::start(shared, caller.org, &place, permit)))
                    }
                };
                (place, source)
            }
        };
        let mut response = HttpResponse::Ok();
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")));
        response.insert_header((X_ACCEL_BUFFERING, HeaderValue::from_static("no")));
        if request.method() == Method::HEAD {
            return Ok(response.finish());
        }
        let who = (caller.org, caller.id);
        let connection = Connection::new(Arc::clone(shared), who, wanted.filter, place, wake, source, guard);
        let greeting = futures::stream::once(std::future::ready(connection.greeting()));
        let frames = futures::stream::unfold(connection, |connection| Box::pin(connection.next()));
        Ok(response.streaming(greeting.chain(frames).map(Ok::<Bytes, std::convert::Infallible>)))
    }
}

/// What the client asked for.
struct Wanted {
    after: Option<String>,
    filter: Filter,
}

impl Wanted {
    fn of(request: &HttpRequest, catalogue: &Catalogue) -> Result<Self, ApiError> {
        let (mut after, mut types, mut objects) = (None, None, None);
        for part in request.query_string().split('&').filter(|part| !part.is_empty()) {
            let (name, text) = decode_parameter(part)?;
            match name.as_str() {
                "after" if after.is_none() => after = Some(text),
                "types" if types.is_none() => types = Some(text),
                "objects" if objects.is_none() => objects = Some(text),
                other => return Err(unknown_parameter(other, "after, types, objects, each once")),
            }
        }
        // A browser that reconnects repeats the address and adds the header: the header is newer.
        if let Some(last) = request.headers().get("last-event-id").filter(|v| !v.is_empty()) {
            after = Some(last.to_str().unwrap_or("?").to_owned());
        }
        let filter = Filter::read(catalogue, &list(types), &list(objects), Places::QUERY)?;
        Ok(Self { after, filter })
    }
}

fn list(text: Option<String>) -> Vec<String> {
    text.map(|text| text.split(',').map(str::to_owned).collect())
        .unwrap_or_default()
}
