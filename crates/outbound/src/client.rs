//! One request, one deadline, one answer or one failure.
//!
//! Owns the order of the steps and that one deadline stands over all of them. It must not repeat a
//! request of which anything was sent, and must not follow redirects.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::{HeaderValue, header};
use http_body_util::Full;
use tokio::time::Instant;

use crate::answer::{Answer, Request, header_may_be_set};
use crate::connect::Connector;
use crate::failure::{Failure, Phase};
use crate::pool::{Origin, Pool};
use crate::resolve::Vetting;
use crate::settings::{Policy, Settings, SettingsProblem};
use crate::wire::{Bounds, Broken, Exchange, Wire};

/// Sends requests to strangers. Cheap to clone; the clones share idle connections and remembered names.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    policy: Policy,
    bounds: Bounds,
    user_agent: HeaderValue,
    vetting: Vetting,
    connector: Connector,
    pool: Pool,
}

/// What a request is waiting for, told to whoever cuts it off.
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        Phase::from_u8(self.0.load(Ordering::Relaxed))
    }
}

impl Client {
    /// A client with these bounds. Says so in the log when a dangerous switch is on.
    ///
    /// # Errors
    ///
    /// Settings that contradict themselves or cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, SettingsProblem> {
        if settings.max_head_bytes < 8 * 1024 || settings.max_headers == 0 {
            return Err(SettingsProblem::Bound(
                "max_head_bytes must be 8192 or more and max_headers at least 1",
            ));
        }
        if settings.max_addresses_tried == 0 || settings.connect_timeout_ms == 0 {
            return Err(SettingsProblem::Bound(
                "max_addresses_tried and connect_timeout_ms must be at least 1",
            ));
        }
        let policy = settings.policy();
        if policy != Policy::default() {
            tracing::warn!(
                http = policy.allow_http,
                private_addresses = policy.allow_private,
                "outbound requests may go where production's do not"
            );
        }
        Ok(Self {
            inner: Arc::new(Inner {
                policy,
                bounds: Bounds {
                    headers: settings.max_headers,
                    head_bytes: settings.max_head_bytes,
                    body_bytes: settings.max_body_bytes,
                },
                user_agent: HeaderValue::from_str(&settings.user_agent)
                    .map_err(|_| SettingsProblem::UserAgent)?,
                vetting: Vetting::new(settings)?,
                connector: Connector::new(settings)?,
                pool: Pool::new(settings),
            }),
        })
    }

    /// The policy that this client holds targets to, whatever they were parsed with.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.inner.policy
    }

    /// Sends one request and reads the answer. `deadline` is the time for all of it: name, connection, TLS, writing,
    /// headers and body. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// See [`Failure`]. Any status is an answer, not a failure.
    pub async fn send(&self, request: Request, deadline: Duration) -> Result<Answer, Failure> {
        let started = Instant::now();
        let progress = Progress(AtomicU8::new(Phase::Resolve as u8));
        let attempt = Box::pin(self.inner.attempt(request, &progress));
        match tokio::time::timeout(deadline, attempt).await {
            Ok(outcome) => outcome.map(|exchange| Answer {
                status: exchange.status,
                headers: exchange.headers,
                body: exchange.body,
                truncated: exchange.truncated,
                took: started.elapsed(),
            }),
            Err(_) => Err(Failure::Timeout(progress.phase())),
        }
    }

    /// Closes connections that were idle for too long. Answers do so too; call it now and then where requests may
    /// cease for long.
    pub fn sweep(&self) {
        self.inner.pool.sweep();
    }

    /// Idle connections, for a metric.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.inner.pool.len()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn attempt(&self, request: Request, progress: &Progress) -> Result<Exchange, Failure> {
        request.target.fits(&self.policy)?;
        let target = request.target.clone();
        let origin = Origin::of(&target);
        let mut message = Box::new(self.message(request)?);
        while let Some(wire) = self.pool.take(&origin).await {
            match wire.exchange(*message, self.bounds, progress).await {
                Ok(exchange) => return Ok(self.keep(origin, exchange)),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Unsent(unsent)) => message = unsent,
            }
        }
        progress.enter(Phase::Resolve);
        let vetted = self.vetting.addresses(target.place()).await?;
        let stream = self.connector.connect(&target, &vetted, progress).await?;
        let wire = Wire::new(stream, self.bounds).await?;
        match wire.exchange(*message, self.bounds, progress).await {
            Ok(exchange) => Ok(self.keep(origin, exchange)),
            Err(Broken::Failed(failure)) => Err(failure),
            Err(Broken::Unsent(_)) => Err(Failure::Closed),
        }
    }

    fn keep(&self, origin: Origin, mut exchange: Exchange) -> Exchange {
        if let Some(wire) = exchange.reusable.take() {
            self.pool.put(origin, wire);
        }
        exchange
    }

    fn message(&self, request: Request) -> Result<http::Request<Full<bytes::Bytes>>, Failure> {
        if request.method == http::Method::CONNECT {
            return Err(Failure::Method);
        }
        if let Some(name) = request.headers.keys().find(|name| !header_may_be_set(name)) {
            return Err(Failure::Header(name.to_string()));
        }
        let host = request.target.host_header()?;
        let uri = request
            .target
            .path()
            .parse::<http::Uri>()
            .map_err(|_| crate::TargetError::Malformed)?;
        let mut message = http::Request::new(Full::new(request.body));
        *message.method_mut() = request.method;
        *message.uri_mut() = uri;
        *message.headers_mut() = request.headers;
        message.headers_mut().insert(header::HOST, host);
        message
            .headers_mut()
            .entry(header::USER_AGENT)
            .or_insert_with(|| self.user_agent.clone());
        Ok(message)
    }
}
