//! Calling another service.

use std::time::Duration;

use serde::Deserialize;
use telemetry::TraceContext;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::{Caller, PRINCIPAL_KEY, REQUEST_ID_KEY};

/// How another service is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// `http://host:port`.
    pub url: String,
    /// Time to connect, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Time for one call, in milliseconds.
    pub call_timeout_ms: u64,
}

/// A channel that connects when first used and again whenever the connection is lost. Dead connections are noticed by
/// HTTP/2 pings within ten seconds, also when idle.
pub fn channel(settings: &ChannelSettings) -> Result<Channel, tonic::transport::Error> {
    let timeout = Duration::from_millis(settings.call_timeout_ms);
    Ok(endpoint(settings)?.timeout(timeout).connect_lazy())
}

/// The same for calls whose callers send a stream, which lasts as long as they have something to send.
pub fn stream_channel(settings: &ChannelSettings) -> Result<Channel, tonic::transport::Error> {
    Ok(endpoint(settings)?.connect_lazy())
}

fn endpoint(settings: &ChannelSettings) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(settings.url.clone())?
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .tcp_nodelay(true))
}

/// A request to another service on behalf of `caller`: same principal, same request id, same trace.
pub fn outgoing<T>(message: T, caller: &Caller) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    let ascii =
        |text: &str| MetadataValue::try_from(text).map_err(|_| Status::internal("metadata is not ASCII"));
    metadata.insert(PRINCIPAL_KEY, ascii(&caller.token)?);
    metadata.insert(REQUEST_ID_KEY, ascii(&caller.request_id)?);
    TraceContext::current().inject(|name, value| {
        if let Ok(value) = MetadataValue::try_from(value) {
            metadata.insert(name, value);
        }
    });
    Ok(request)
}
