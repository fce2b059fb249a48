//! From a message of the bus to the events that clients see.
//!
//! `signals.recorded` carries a batch: it becomes one `signal.received` per signal, and one `signal.account_matched` for
//! each that has an account, with ids that are the same on every gateway and every delivery.

use contracts::{Encoding, Envelope, StreamKind};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};
use serde_json::{Value as Out, json};
use uuid::Uuid;

use crate::transcode::to_json;

/// One event as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its type.
    pub kind: String,
    /// Its JSON, on one line.
    pub json: String,
}

const BATCH: &str = "signals.recorded";
const RECEIVED: &str = "signal.received";
const MATCHED: &str = "signal.account_matched";

/// The type on the bus that events of a public type come from; `None` when there is no such type.
pub fn bus_type(kind: &str) -> Option<&'static str> {
    match kind {
        RECEIVED | MATCHED => Some(BATCH),
        BATCH => None,
        other => contracts::type_of(other)
            .filter(|(_, stream)| *stream == StreamKind::Events)
            .map(|(kind, _)| kind),
    }
}

/// The events of a message. What cannot be read is logged and gives none.
pub fn render(pool: &DescriptorPool, envelope: &Envelope) -> Vec<Told> {
    let kind = envelope.subject.kind.as_str();
    let message = match read(pool, envelope) {
        Ok(message) => message,
        Err(reason) => {
            tracing::warn!(id = %envelope.id, kind, reason, "an event cannot be shown");
            return Vec::new();
        }
    };
    if kind != BATCH {
        return vec![told(envelope, envelope.id.uuid(), kind, to_json(&message))];
    }
    let Some(Value::List(signals)) = message.get_field_by_name("signals").map(|v| v.into_owned()) else {
        return Vec::new();
    };
    signals
        .iter()
        .filter_map(Value::as_message)
        .flat_map(|signal| of_signal(envelope, signal))
        .collect()
}

fn read(pool: &DescriptorPool, envelope: &Envelope) -> Result<DynamicMessage, &'static str> {
    if envelope.encoding != Encoding::Identity {
        return Err("public events are not compressed");
    }
    let name = message_name(&envelope.subject.kind);
    let descriptor = pool
        .get_message_by_name(&name)
        .ok_or("the type is not in the contract")?;
    DynamicMessage::decode(descriptor, envelope.payload.clone()).map_err(|_| "the payload is not of its type")
}

/// `account.score_changed` is the message `AccountScoreChanged`.
fn message_name(kind: &str) -> String {
    let mut name = "devsignal.events.v1.".to_owned();
    for part in kind.split(['.', '_']) {
        let mut letters = part.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

fn of_signal(envelope: &Envelope, signal: &DynamicMessage) -> Vec<Told> {
    let text = |name: &str| {
        let field = signal.descriptor().get_field_by_name(name)?;
        signal
            .has_field(&field)
            .then(|| signal.get_field(&field).as_str().map(str::to_owned))?
    };
    let Some(id) = text("id") else { return Vec::new() };
    let from = Uuid::try_parse(&id).unwrap_or(envelope.id.uuid());
    let whole = to_json(signal);
    let matched = text("account_id").map(|account| {
        let resolution = whole.get("accountResolution").cloned().unwrap_or(Out::Null);
        let data = json!({"signalId": id, "accountId": account, "resolution": resolution});
        told(envelope, ids::derived(from, MATCHED), MATCHED, data)
    });
    std::iter::once(told(
        envelope,
        ids::derived(from, RECEIVED),
        RECEIVED,
        json!({ "signal": whole }),
    ))
    .chain(matched)
    .collect()
}

fn told(envelope: &Envelope, id: Uuid, kind: &str, data: Out) -> Told {
    let event = json!({
        "id": id.to_string(),
        "type": kind,
        "timestamp": envelope.time.to_string(),
        "organizationId": envelope.org().to_string(),
        "data": data,
    });
    Told {
        kind: kind.to_owned(),
        json: event.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::v1::{AccountScoreChanged, SignalsRecorded};
    use contracts::signals::v1::Signal;
    use ids::{EventId, OrgId};
    use jiff::Timestamp;

    use super::*;
    use crate::contract::Contract;

    fn wrap<E: contracts::Event>(event: &E) -> Envelope {
        let org = OrgId(Uuid::from_u128(2));
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        Envelope::wrap(event, EventId(Uuid::from_u128(4)), org, String::new(), "t", time)
    }

    #[test]
    fn a_batch_becomes_one_event_per_signal_and_one_per_account_with_stable_ids() {
        let contract = Contract::load().unwrap();
        let signal = |n: u128, account: Option<&str>| Signal {
            id: Uuid::from_u128(n).to_string(),
            r#type: "x".into(),
            account_id: account.map(str::to_owned),
            ..Signal::default()
        };
        let batch = SignalsRecorded {
            signals: vec![signal(1, None), signal(2, Some("a"))],
            ..Default::default()
        };
        let first = render(contract.pool(), &wrap(&batch));
        assert_eq!(first, render(contract.pool(), &wrap(&batch)));
        let kinds: Vec<_> = first.iter().map(|t| t.kind.as_str()).collect();
        assert_eq!(kinds, [RECEIVED, RECEIVED, MATCHED]);
        let event: Out = serde_json::from_str(&first[2].json).unwrap();
        assert_eq!(event["data"]["accountId"], "a");
        let event: Out = serde_json::from_str(&first[0].json).unwrap();
        assert_eq!(
            event["data"]["signal"]["type"], "x",
            "as the message SignalReceived has it"
        );
        assert_eq!(event["organizationId"], "00000000-0000-0000-0000-000000000002");
    }

    #[test]
    fn every_public_type_has_its_message() {
        let contract = Contract::load().unwrap();
        for kind in [
            "contact.identified",
            "account.score_changed",
            "identity.account_linked",
            "account.expansion_signal",
        ] {
            assert!(
                contract.pool().get_message_by_name(&message_name(kind)).is_some(),
                "{kind}"
            );
            assert_eq!(bus_type(kind), Some(kind));
        }
        assert_eq!(bus_type("signal.received"), Some(BATCH));
        for none in ["signals.recorded", "signals.accepted", "x"] {
            assert_eq!(bus_type(none), None);
        }
        assert_eq!(
            render(contract.pool(), &wrap(&AccountScoreChanged::default()))[0].kind,
            "account.score_changed"
        );
    }
}
