//! The receiver of GitHub's webhooks: whose delivery it is, whether it is genuine, and that it takes effect once.
//!
//! GitHub gives all deliveries of one event the same id, for every hook that sees it and for every repeat: that is the
//! idempotency key. Must not answer before what it answers is stored.

use std::sync::Arc;

use ::store::PipelineDb;
use contracts::signals::v1::ReceiveGithubRequest;
use errors::{ApiError, ErrorCode};
use ids::{Clock, SignalId, SourceId};

use crate::domain::github;
use crate::domain::limits::Limits;
use crate::domain::seal::Sealer;
use crate::domain::source::secret_place;
use crate::domain::text;
use crate::domain::validate::validate;
use crate::error::IngestError;
use crate::intake::{Draft, Intake, ItemVerdict};
use crate::metrics::IngestMetrics;
use crate::store::github::{RawDelivery, keep_raw};
use crate::store::sources::{self, Receiver as Source};

/// Longest value of GitHub's headers.
const MAX_HEADER: usize = 100;

/// Takes deliveries in. Cheap to clone.
#[derive(Clone)]
pub struct Receiver {
    /// The workers' path: a delivery names only its source.
    pub db: PipelineDb,
    /// The accepting stage.
    pub intake: Intake,
    /// Opens the sources' secrets.
    pub sealer: Sealer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The bounds of what is accepted.
    pub limits: Limits,
    /// Most bytes of one delivery.
    pub max_body_bytes: usize,
    /// What is counted.
    pub metrics: IngestMetrics,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It became this signal.
    Accepted(SignalId),
    /// It became this signal before.
    Duplicate(SignalId),
    /// Its event has no mapping; it is kept raw.
    Ignored,
    /// The same, and it was kept before.
    IgnoredAgain,
}

impl Received {
    /// The word for the answer.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Duplicate(_) | Self::IgnoredAgain => "duplicate",
            Self::Ignored => "ignored",
        }
    }

    /// The signal it became.
    #[must_use]
    pub fn signal(&self) -> Option<SignalId> {
        match self {
            Self::Accepted(id) | Self::Duplicate(id) => Some(*id),
            Self::Ignored | Self::IgnoredAgain => None,
        }
    }
}

impl Receiver {
    /// Takes one delivery in.
    ///
    /// # Errors
    /// `not_found` without such a source, `invalid_signature`, `permission_denied` while the source is paused,
    /// `malformed_json` or `validation_failed` for what GitHub does not send, `too_large`; or a failure of ours, after
    /// which GitHub can deliver again.
    pub async fn receive(&self, delivery: ReceiveGithubRequest) -> Result<Received, IngestError> {
        // The sender names the event: only known names become labels.
        let known = github::EVENTS.iter().find(|event| **event == delivery.event);
        let event = known.copied().unwrap_or("other");
        let outcome = self.take(&delivery).await;
        let label = outcome.as_ref().map_or("refused", Received::status);
        self.metrics.github.with_label_values(&[event, label]).inc();
        outcome
    }

    async fn take(&self, delivery: &ReceiveGithubRequest) -> Result<Received, IngestError> {
        if delivery.body.len() > self.max_body_bytes {
            let detail = format!("a delivery has at most {} bytes", self.max_body_bytes);
            return Err(ApiError::new(ErrorCode::TooLarge, detail).into());
        }
        let unknown = || ApiError::not_found("source");
        let id: SourceId = delivery.source_id.parse().map_err(|_| unknown())?;
        let source = sources::github_receiver(&self.db, id)
            .await?
            .ok_or_else(unknown)?;
        self.check_signature(&source, delivery)?;
        check_header("X-GitHub-Event", &delivery.event)?;
        check_header("X-GitHub-Delivery", &delivery.delivery)?;
        if source.paused {
            let detail = "the source is paused; activate it to receive deliveries";
            return Err(ApiError::new(ErrorCode::PermissionDenied, detail).into());
        }
        if github::EVENTS.contains(&delivery.event.as_str()) {
            self.accept(&source, delivery).await
        } else {
            self.keep(&source, delivery).await
        }
    }

    fn check_signature(&self, source: &Source, delivery: &ReceiveGithubRequest) -> Result<(), IngestError> {
        let place = secret_place(source.org, source.id);
        let secret = self
            .sealer
            .open(&source.sealed_secret, &place)
            .map_err(|_| IngestError::Unsealable)?;
        if github::signature::is_valid(&secret, &delivery.body, &delivery.signature) {
            return Ok(());
        }
        let detail = "X-Hub-Signature-256 is not that of this body under the source's secret";
        Err(ApiError::new(ErrorCode::InvalidSignature, detail).into())
    }

    async fn accept(
        &self,
        source: &Source,
        delivery: &ReceiveGithubRequest,
    ) -> Result<Received, IngestError> {
        let body = github::read(&delivery.body).map_err(|error| match error {
            github::BadBody::NotJson => ApiError::new(ErrorCode::MalformedJson, error.to_string()),
            github::BadBody::NotAnObject => ApiError::invalid("", "wrong_type", error.to_string()),
        })?;
        let now = self.clock.now();
        let mapped =
            github::signal(&delivery.event, &body, &self.limits, now).ok_or_else(ApiError::internal)?;
        let mut signal = validate(mapped, &self.limits, now).map_err(ApiError::fields)?;
        signal.source_id = Some(source.id);
        signal.idempotency_key = Some(format!("github:{}", delivery.delivery));
        let draft = Draft {
            org: source.org,
            items: vec![Ok(signal)],
            key: None,
        };
        let answer = self
            .intake
            .accept(vec![draft])
            .await
            .pop()
            .unwrap_or_else(|| Err(ApiError::internal()))?;
        match answer.items.into_iter().next() {
            Some(ItemVerdict::Accepted(id)) => Ok(Received::Accepted(id)),
            Some(ItemVerdict::Duplicate(id)) => Ok(Received::Duplicate(id)),
            // Paused or deleted in this moment.
            Some(ItemVerdict::Rejected(faults)) => Err(ApiError::fields(faults).into()),
            None => Err(ApiError::internal().into()),
        }
    }

    async fn keep(&self, source: &Source, delivery: &ReceiveGithubRequest) -> Result<Received, IngestError> {
        let raw = RawDelivery {
            org: source.org,
            source: source.id,
            delivery: &delivery.delivery,
            event: &delivery.event,
            received_at: self.clock.now(),
            body: &delivery.body,
        };
        let is_new = keep_raw(&self.db, &raw).await?;
        Ok(if is_new {
            Received::Ignored
        } else {
            Received::IgnoredAgain
        })
    }
}

/// Values of GitHub's headers go into keys and columns.
fn check_header(name: &str, value: &str) -> Result<(), ApiError> {
    if value.is_empty() {
        return Err(ApiError::invalid(name, "required", format!("{name} is required")));
    }
    text::plain(value, MAX_HEADER)
        .map_err(|fault| ApiError::invalid(name, fault.code, format!("{name} {}", fault.message)))
}
