//! `signals.accepted`: a batch to resolve.

use std::sync::Arc;

use contracts::signals::v1::{Actor, Signal, SignalsAccepted};
use contracts::{Envelope, Event as _, convert};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::{BatchId, OrgId, SignalId};
use jiff::{Timestamp, Unit};

use crate::domain::{AccountFacts, ActorFacts, Claims, Observation, Seen};
use crate::resolver::Resolver;

/// The event.
pub const EVENT: &str = SignalsAccepted::TYPE;

/// A batch, read.
pub struct Accepted {
    /// The batch; the unit of idempotency.
    pub id: BatchId,
    /// Its organization, by the subject it came under.
    pub org: OrgId,
    /// Its signals.
    pub signals: Vec<Signal>,
    /// What each says about who and for which company. A statement of crm has claims and no signals: nothing is told as
    /// resolved then.
    pub claims: Vec<(Claims, Seen)>,
    /// W3C trace context of its acceptance.
    pub traceparent: Option<String>,
}

impl AsRef<Self> for Accepted {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Accepted {
    /// Reads the event.
    ///
    /// # Errors
    /// Poison: the payload is not such an event, or of another organization, or holds ids that are none.
    pub fn read(envelope: &Envelope) -> Result<Self, HandlerError> {
        let event: SignalsAccepted = envelope.read()?;
        envelope.check_org(&event.organization_id)?;
        let id = event
            .batch_id
            .parse()
            .map_err(|_| unreadable("batch_id is no id"))?;
        let claims = event
            .signals
            .iter()
            .map(|signal| {
                let id: SignalId = signal
                    .id
                    .parse()
                    .map_err(|_| unreadable("a signal's id is no id"))?;
                let at = signal
                    .timestamp
                    .as_ref()
                    .and_then(convert::from_timestamp)
                    .unwrap_or(envelope.time);
                Ok((
                    Claims::of(&observe(signal)),
                    Seen {
                        signal: id.uuid(),
                        at: micros(at),
                    },
                ))
            })
            .collect::<Result<_, HandlerError>>()?;
        Ok(Self {
            id,
            org: envelope.org(),
            signals: event.signals,
            claims,
            traceparent: envelope.traceparent.clone(),
        })
    }
}

/// Postgres keeps microseconds; what is in memory must compare equal with what was read back.
pub(super) fn micros(at: Timestamp) -> Timestamp {
    at.round(
        jiff::TimestampRound::new()
            .smallest(Unit::Microsecond)
            .mode(jiff::RoundMode::Floor),
    )
    .unwrap_or(at)
}

fn observe(signal: &Signal) -> Observation<'_> {
    let account = signal.account.as_ref().map(|account| AccountFacts {
        domain: account.domain.as_deref(),
        name: account.name.as_deref(),
        github_org: account.github_org.as_deref(),
        employees: account.employees,
        industry: account.industry.as_deref(),
        country: account.country.as_deref(),
        funding_stage: account.funding_stage.as_deref(),
    });
    Observation {
        anonymous_id: signal.anonymous_id.as_deref(),
        actor: signal.actor.as_ref().map(facts).unwrap_or_default(),
        account: account.unwrap_or_default(),
    }
}

fn facts(actor: &Actor) -> ActorFacts<'_> {
    ActorFacts {
        email: actor.email.as_deref(),
        github: actor.github.as_deref(),
        npm: actor.npm.as_deref(),
        pypi: actor.pypi.as_deref(),
        twitter: actor.twitter.as_deref(),
        linkedin: actor.linkedin.as_deref(),
        user_id: actor.user_id.as_deref(),
        phone: actor.phone.as_deref(),
        name: actor.name.as_deref(),
        title: actor.title.as_deref(),
        company: actor.company.as_deref(),
        avatar_url: actor.avatar_url.as_deref(),
    }
}

pub(super) fn unreadable(what: &str) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!("the payload cannot be used: {what}"))
}

/// Hands batches to the resolver.
pub struct AcceptedHandler(pub Arc<Resolver>);

impl Handler for AcceptedHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let batch = Accepted::read(&envelope)?;
        self.0.resolve(batch).await.map_err(HandlerError::retry)
    }
}
