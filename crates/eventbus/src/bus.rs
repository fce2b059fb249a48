//! The connection to the broker, kept up, and its streams, kept as they should be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{
    Client, ConnectOptions, Event, ServerAddr,
    jetstream::{Context, context::ContextBuilder},
};
use contracts::StreamKind;
use ids::{Clock as _, SystemClock};
use jiff::Timestamp;
use lifecycle::{CheckHandle, Lifecycle, OnExit, Phase, Shutdown, TaskError};
use parking_lot::Mutex;
use settings::Secret;
use telemetry::Metrics;
use tokio::sync::{Notify, watch};

use crate::{
    BusError, BusSettings, Tail, TailFilter, TailStart, login::inbox_prefix, metrics::BusMetrics,
    names::Names, streams, tail, time,
};

/// The broker closes a silent connection's other end after three of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// For requests to the broker's API.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection attempt to a machine that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Publishes and pulls are pipelined; this many may wait for an acknowledgement.
const MAX_ACK_INFLIGHT: usize = 1_024;
/// Streams are looked at this often also when nothing happened (drift of configuration, sizes for the metrics).
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Pause after a failed look.
const LOOK_RETRY: Duration = Duration::from_millis(500);

/// The connection of one process to the broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) js: Context,
    pub(crate) settings: BusSettings,
    pub(crate) names: Names,
    /// Counts up whenever the streams were found or made good after a connect or a complaint.
    epoch: watch::Sender<u64>,
    /// Somebody wants the streams to be looked at now.
    look: Arc<Notify>,
    clock: SystemClock,
    /// Consumers running in this process, for [`crate::StageReporter`].
    consumers: Mutex<Vec<Registered>>,
}

/// A consumer that runs in this process.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) service: &'static str,
    pub(crate) event: &'static str,
    pub(crate) durable: String,
    pub(crate) stream: StreamKind,
}

/// What a stream holds at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEdges {
    /// When the stream was created; another time means another stream, in which old sequences mean nothing.
    pub created: Timestamp,
    /// Sequence of the oldest message kept (of the next one, when none is).
    pub first_seq: u64,
    /// When the oldest message kept was published; `None` when none is kept.
    pub first_time: Option<Timestamp>,
    /// Sequence of the newest message ever; 0 when there was none.
    pub last_seq: u64,
}

impl Bus {
    /// Connects and makes the streams. If the broker is away, goes on after [`BusSettings::connect_wait_ms`] and keeps
    /// trying; the check `bus` of readiness holds once the streams were seen for the first time (a later outage of the
    /// broker does not unset it: what is written waits in the outbox).
    ///
    /// # Errors
    /// An address that cannot be read, or a conflict of metrics.
    pub async fn connect(
        settings: &BusSettings,
        lifecycle: &Lifecycle,
        metrics: &Metrics,
    ) -> Result<Self, BusError> {
        let metrics = BusMetrics::new(metrics)?;
        let look = Arc::new(Notify::new());
        let client = open(settings, &metrics, &look).await?;
        let js = ContextBuilder::new()
            .timeout(Duration::from_millis(settings.ack_timeout_ms))
            .max_ack_inflight(MAX_ACK_INFLIGHT)
            .build(client.clone());
        let (epoch, mut seen) = watch::channel(0);
        let shared = Arc::new(Shared {
            client,
            js,
            names: Names::new(settings),
            settings: settings.clone(),
            epoch,
            look,
            clock: SystemClock,
            consumers: Mutex::default(),
        });
        let bus = Self { shared };
        let check = lifecycle.register_check("bus");
        let keeper = bus.clone();
        lifecycle.spawn("bus", Phase::Base, OnExit::restart(), move |shutdown| {
            keep(keeper.clone(), metrics.clone(), check.clone(), shutdown)
        });
        let wait = Duration::from_millis(settings.connect_wait_ms);
        if tokio::time::timeout(wait, seen.wait_for(|epoch| *epoch > 0))
            .await
            .is_err()
        {
            tracing::warn!(
                ?wait,
                "the broker does not answer yet; going on, events wait in the outbox"
            );
        }
        Ok(bus)
    }

    /// Follows a stream from `start`, for a live reader such as an SSE client. See [`Tail`].
    #[must_use]
    pub fn tail(&self, start: TailStart, filter: TailFilter) -> Tail {
        tail::open(self.clone(), start, filter)
    }

    /// What a stream holds at this moment.
    ///
    /// # Errors
    /// The broker does not answer, or the stream is being made anew.
    pub async fn first_and_last(&self, stream: StreamKind) -> Result<StreamEdges, BusError> {
        let stream = self.shared.js.get_stream(self.shared.names.stream(stream)).await;
        let stream = stream.map_err(|error| BusError::broker("get stream", error))?;
        let info = stream.cached_info();
        Ok(StreamEdges {
            created: time::timestamp(info.created),
            first_seq: info.state.first_sequence,
            first_time: (info.state.messages > 0).then(|| time::timestamp(info.state.first_timestamp)),
            last_seq: info.state.last_sequence,
        })
    }

    /// Whether the connection is up at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.client.connection_state() == async_nats::connection::State::Connected
    }

    pub(crate) fn js(&self) -> &Context {
        &self.shared.js
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(crate) fn names(&self) -> &Names {
        &self.shared.names
    }

    pub(crate) fn settings(&self) -> &BusSettings {
        &self.shared.settings
    }

    /// The current time.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Changes whenever streams may have changed: what is built on them must be checked or made again.
    pub(crate) fn epochs(&self) -> watch::Receiver<u64> {
        self.shared.epoch.subscribe()
    }

    /// A stream or consumer was found missing: look now.
    pub(crate) fn complain(&self) {
        self.shared.look.notify_one();
    }

    pub(crate) fn register(&self, consumer: Registered) {
        let mut consumers = self.shared.consumers.lock();
        consumers.retain(|known| known.durable != consumer.durable);
        consumers.push(consumer);
    }

    pub(crate) fn registered(&self, service: &str) -> Vec<Registered> {
        self.shared
            .consumers
            .lock()
            .iter()
            .filter(|known| known.service == service)
            .cloned()
            .collect()
    }
}

async fn open(settings: &BusSettings, metrics: &BusMetrics, look: &Arc<Notify>) -> Result<Client, BusError> {
    let (metrics, look) = (metrics.clone(), Arc::clone(look));
    let mut options = ConnectOptions::new()
        .name(&settings.client_name)
        .custom_inbox_prefix(inbox_prefix(&settings.client_name))
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .connection_timeout(CONNECT_TIMEOUT)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            observe(&event, &metrics, &look);
            std::future::ready(())
        });
    let servers = servers(&settings.url)?;
    if let Some((user, password)) = credentials(settings, &servers) {
        options = options.user_and_password(user, password);
    }
    options
        .connect(servers.as_slice())
        .await
        .map_err(|error| BusError::Connect(error.into()))
}

/// A connection of its own with the login in the address, for what is not the streams' business.
pub(crate) async fn open_plainly(url: &Secret<String>, name: &str) -> Result<Client, BusError> {
    let servers = servers(url.expose())?;
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .connection_timeout(CONNECT_TIMEOUT)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_delay);
    if let Some(server) = servers.iter().find(|server| server.has_user_pass()) {
        let password = server.password().unwrap_or_default().to_owned();
        options = options.user_and_password(server.username().unwrap_or_default().to_owned(), password);
    }
    let connected = options.connect(servers.as_slice()).await;
    connected.map_err(|error| BusError::Connect(error.into()))
}

fn servers(urls: &str) -> Result<Vec<ServerAddr>, BusError> {
    let each = urls.split(',').map(|url| url.trim().parse());
    each.collect::<Result<_, std::io::Error>>()
        .map_err(|error| BusError::Connect(error.into()))
}

/// The settings' own, else those in the first address that has some: async-nats reads none from addresses.
fn credentials(settings: &BusSettings, servers: &[ServerAddr]) -> Option<(String, String)> {
    if !settings.user.is_empty() {
        return Some((settings.user.clone(), settings.password.expose().clone()));
    }
    let named = servers.iter().find(|server| server.has_user_pass())?;
    Some((
        named.username()?.to_owned(),
        named.password().unwrap_or_default().to_owned(),
    ))
}

fn observe(event: &Event, metrics: &BusMetrics, look: &Notify) {
    match event {
        Event::Connected => {
            metrics.connected.set(1);
            metrics.reconnects.inc();
            tracing::info!("connected to the broker");
            look.notify_one();
        }
        Event::Disconnected => {
            metrics.connected.set(0);
            tracing::warn!("connection to the broker lost");
        }
        Event::Draining | Event::Closed => tracing::debug!(%event, "the broker's connection ends"),
        other => tracing::warn!(event = %other, "event of the broker's connection"),
    }
}

/// Doubling from 20 ms to 2 s, each between half and all of it, so that services do not come back in step.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doubled = 20_u64 << attempts.min(7);
    Duration::from_millis(doubled.min(2_000)).mul_f64(rand::random_range(0.5..=1.0))
}

/// Looks at the streams after every connect, on complaint, and now and then.
async fn keep(
    bus: Bus,
    metrics: BusMetrics,
    check: CheckHandle,
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    let mut announce = true;
    let mut known = HashMap::new();
    loop {
        let pause = match streams::ensure_all(bus.js(), bus.settings(), bus.names()).await {
            Ok(looked) => {
                for info in &looked.infos {
                    // Made anew, by whomever, or cut back: whoever builds on it must look again.
                    let place = (info.created, info.state.last_sequence);
                    let before = known.insert(info.config.name.clone(), place).unwrap_or(place);
                    announce |= before.0 != place.0 || before.1 > place.1;
                    let label = &[info.config.name.as_str()];
                    metrics
                        .stream_bytes
                        .with_label_values(label)
                        .set(i64::try_from(info.state.bytes).unwrap_or(i64::MAX));
                    metrics
                        .stream_max_bytes
                        .with_label_values(label)
                        .set(info.config.max_bytes);
                }
                check.set_ready();
                if announce || looked.changed {
                    bus.shared.epoch.send_modify(|epoch| *epoch += 1);
                }
                announce = false;
                LOOK_INTERVAL
            }
            Err(error) => {
                metrics.ensure_failures.inc();
                tracing::warn!(error = %chain(&error), "streams cannot be ensured");
                LOOK_RETRY
            }
        };
        tokio::select! {
            () = shutdown.requested() => break,
            () = bus.shared.look.notified() => announce = true,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // Acknowledgements are sent without waiting; let the last ones out.
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, bus.client().flush()).await;
    Ok(())
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
