//! Bulk calls to signal-ingest: while some run, the next group of requests forms.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use coalesce::{Coalescer, Options};
use contracts::signals::v1::intake_service_client::IntakeServiceClient;
use contracts::signals::v1::{AcceptJsonRequest, JsonIntake, JsonIntakeResult};
use errors::{ApiError, ErrorCode};
use ids::Clock;
use lifecycle::{Lifecycle, OnExit, Phase};
use rpc::Target;
use telemetry::Histogram;
use tonic::Status;

use crate::backends::Backends;
use crate::config::IngestSettings;

/// Single calls in, bulk calls out.
pub(super) type Calls = Coalescer<JsonIntake, JsonIntakeResult, ApiError>;

/// Above the largest group and its answer.
const MAX_MESSAGE: usize = 32 << 20;

/// The coalescer, its lanes running as tasks of `lifecycle`.
pub(super) fn start(
    settings: &IngestSettings,
    backends: &Backends,
    clock: &Arc<dyn Clock>,
    groups: Histogram,
    lifecycle: &Lifecycle,
) -> Calls {
    let (calls, lanes) = Coalescer::new(Options {
        lanes: settings.lanes,
        max_items: settings.group_items,
        max_weight: settings.group_bytes,
        max_queued_items: settings.queue_items,
        max_queued_weight: settings.queue_bytes,
        breath: Duration::from_millis(settings.breath_ms),
        crowd: settings.crowd,
    });
    let bulk = Bulk {
        client: IntakeServiceClient::new(backends.intake())
            .max_encoding_message_size(MAX_MESSAGE)
            .max_decoding_message_size(MAX_MESSAGE),
        backends: backends.clone(),
        groups,
        complaints: Complaints {
            clock: Arc::clone(clock),
            last: Arc::default(),
        },
    };
    for lane in lanes {
        let bulk = bulk.clone();
        lifecycle.spawn("ingest-lane", Phase::Work, OnExit::restart(), move |shutdown| {
            let (lane, bulk) = (lane.clone(), bulk.clone());
            async move {
                lane.run(
                    move |items| bulk.clone().accept(items),
                    shutdown.requested_owned(),
                )
                .await;
                Ok(())
            }
        });
    }
    calls
}

#[derive(Clone)]
struct Bulk {
    client: IntakeServiceClient<Target>,
    backends: Backends,
    /// Requests in one call.
    groups: Histogram,
    complaints: Complaints,
}

impl Bulk {
    async fn accept(mut self, items: Vec<JsonIntake>) -> Result<Vec<JsonIntakeResult>, ApiError> {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
        self.groups.observe(items.len() as f64);
        let request = self.backends.system_request(AcceptJsonRequest { items })?;
        match self.client.accept_json(request).await {
            Ok(response) => Ok(response.into_inner().results),
            Err(status) => {
                self.complaints.note(&status);
                Err(refusal(&status))
            }
        }
    }
}

/// What a client is told of a bulk call that failed: the fault is never in its own request.
fn refusal(status: &Status) -> ApiError {
    let error = ApiError::from_status(status);
    match error.code {
        ErrorCode::Unavailable | ErrorCode::DeadlineExceeded => {
            ApiError::unavailable("signals cannot be stored just now; nothing is lost by sending them again")
        }
        code if code.is_retryable() => error,
        _ => ApiError::internal(),
    }
}

/// Logs failures at most once a second: an outage fails thousands of calls.
#[derive(Clone)]
struct Complaints {
    clock: Arc<dyn Clock>,
    last: Arc<AtomicI64>,
}

impl Complaints {
    fn note(&self, status: &Status) {
        let now = self.clock.now().as_second();
        if self.last.swap(now, Ordering::Relaxed) != now {
            tracing::warn!(code = ?status.code(), message = status.message(), "signal-ingest did not accept a group");
        }
    }
}
