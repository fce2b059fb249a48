//! One run of a handler: bounded in time, with panics caught, measured and traced.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use contracts::Envelope;
use futures::FutureExt as _;
use telemetry::TraceContext;
use tracing::Instrument as _;

use super::{Handler, HandlerError, Worker};

impl<H: Handler> Worker<H> {
    /// Runs the handler once. A panic or a run that takes too long is a [`HandlerError::Retry`].
    pub(crate) async fn attempt(&self, envelope: Envelope, number: i64) -> Result<(), HandlerError> {
        let span = tracing::info_span!(
            "consume",
            consumer = %self.durable,
            event_id = %envelope.id,
            org_id = %envelope.org(),
            attempt = number,
        );
        if let Some(traceparent) = &envelope.traceparent {
            TraceContext::from_traceparent(traceparent).adopt(&span);
        }
        let begun = Instant::now();
        // Unwind-safe: the handler's future is dropped, and what it shares must bear a run that is cut anywhere anyway.
        let handled = AssertUnwindSafe(async { self.handler.handle(envelope).await }).catch_unwind();
        let outcome = tokio::time::timeout(self.spec.handler_timeout, handled.instrument(span)).await;
        self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
        match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(payload)) => Err(HandlerError::Retry(anyhow::anyhow!(
                "panic: {}",
                panic_text(&*payload)
            ))),
            Err(_elapsed) => Err(HandlerError::Retry(anyhow::anyhow!(
                "the handler took longer than {:?}",
                self.spec.handler_timeout
            ))),
        }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
