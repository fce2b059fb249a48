//! Where calls go: to a port, or to a service in this same process.
//!
//! Owns: that both behave alike to whoever calls. Must not: know a service or its messages, or decide which way is taken.

use std::error::Error;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::TryFutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tonic::TimeoutExpired;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Channel;
use tower::Service;

use crate::ChannelSettings;
use crate::edge::Edge;

type BoxError = Box<dyn Error + Send + Sync>;

/// A server's methods, to be called without a connection: the same messages, the same principal, rules, deadline, metrics
/// and trace as by its port. Cheap to clone. It does not end with the server's task.
///
/// A handler runs within its caller's task, so the caller must be on the runtime on which the service's connections live.
#[derive(Clone)]
pub struct InProcess {
    service: Edge<Routes>,
}

impl InProcess {
    pub(crate) fn new(service: Edge<Routes>) -> Self {
        Self { service }
    }
}

/// What a generated client calls: a service behind a port, or one in this process. Cheap to clone.
#[derive(Clone)]
pub struct Target(Way);

#[derive(Clone)]
enum Way {
    Port(Channel),
    Here { methods: InProcess, timeout: Duration },
}

impl Target {
    /// A service in this process. Of the settings only the time for one call counts.
    #[must_use]
    pub fn in_process(methods: InProcess, settings: &ChannelSettings) -> Self {
        let timeout = Duration::from_millis(settings.call_timeout_ms);
        Self(Way::Here { methods, timeout })
    }
}

impl From<Channel> for Target {
    fn from(channel: Channel) -> Self {
        Self(Way::Port(channel))
    }
}

impl Service<Request<Body>> for Target {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.0 {
            Way::Port(channel) => channel.poll_ready(cx).map_err(Into::into),
            Way::Here { methods, .. } => methods.service.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match &mut self.0 {
            Way::Port(channel) => Box::pin(channel.call(request).map_err(Into::into)),
            Way::Here { methods, timeout } => {
                let patience = asked(request.headers()).map_or(*timeout, |asked| asked.min(*timeout));
                // Nothing but what a connection carries goes over.
                request.extensions_mut().clear();
                let answered = methods.service.call(request);
                Box::pin(async move {
                    match tokio::time::timeout(patience, answered).await {
                        Ok(answer) => Ok(answer?),
                        // As a channel ends it.
                        Err(_) => Err(TimeoutExpired(()).into()),
                    }
                })
            }
        }
    }
}

/// The time that the caller gives this one call, in the form of the [protocol]: at most eight digits and a unit.
///
/// [protocol]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_every_unit_and_nothing_else_is() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            asked(&headers)
        };
        for (text, secs) in [
            ("2H", 7_200.0),
            ("3M", 180.0),
            ("4S", 4.0),
            ("5m", 5e-3),
            ("6u", 6e-6),
            ("7n", 7e-9),
        ] {
            assert_eq!(read(text), Some(Duration::from_secs_f64(secs)), "{text}");
        }
        for text in ["", "S", "5", "5s", "+5S", "123456789S", "5 S"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(asked(&HeaderMap::new()), None);
    }
}
