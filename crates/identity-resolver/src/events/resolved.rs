//! `signals.resolved`: a batch with whom and which company its signals count for.

use contracts::Envelope;
use contracts::signals::v1::{Signal, SignalsResolved};
use ids::{EventId, IdGen};
use jiff::Timestamp;

use super::{Accepted, resolution};
use crate::domain::Attribution;

/// The event of a batch; `attributions` are those of its signals, in their order.
#[must_use]
pub fn resolved(batch: &Accepted, attributions: &[Attribution], now: Timestamp, ids: &dyn IdGen) -> Envelope {
    let signals = batch
        .signals
        .iter()
        .zip(attributions)
        .map(|(signal, attribution)| attributed(signal, attribution));
    let event = SignalsResolved {
        batch_id: batch.id.to_string(),
        organization_id: batch.org.to_string(),
        signals: signals.collect(),
    };
    let id = EventId::new(ids);
    let mut envelope = Envelope::wrap(&event, id, batch.org, batch.id.to_string(), now);
    envelope.traceparent.clone_from(&batch.traceparent);
    envelope
}

fn attributed(signal: &Signal, attribution: &Attribution) -> Signal {
    let actor = attribution.actor.as_ref();
    let account = attribution.account.as_ref();
    let actor_id = actor.map(|(id, _)| id.to_string());
    Signal {
        contact_id: actor_id.clone().filter(|_| attribution.is_person),
        actor_id,
        account_id: account.map(|(id, _)| id.to_string()),
        actor_resolution: actor.map(|(_, because)| resolution(because.rule, &because.evidence)),
        account_resolution: account.map(|(_, because)| resolution(because.rule, &because.evidence)),
        ..signal.clone()
    }
}
