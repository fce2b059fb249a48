//! From a message of the bus to the events that clients see: the one place that writes
//! `{"id", "type", "timestamp", "organizationId", "data"}`.
//!
//! A batch becomes one `signal.received` per signal, and one `signal.account_matched` for each that has an account, with
//! ids that are the same on every gateway and every delivery.

use std::sync::Arc;

use bytes::Bytes;
use contracts::{Encoding, Envelope};
use ids::OrgId;
use jiff::Timestamp;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use serde::Serialize;
use serde_json::Value as Out;
use uuid::Uuid;

use super::catalogue::{Carried, Catalogue, EventType};
use crate::transcode::to_json;

const RECEIVED: &str = "signal.received";
const MATCHED: &str = "signal.account_matched";

/// Something that an event names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// `account`, `contact`, `deal`, …
    pub kind: Arc<str>,
    /// Its id.
    pub id: String,
}

/// One event as a client sees it.
#[derive(Debug, Clone)]
pub struct PublicEvent {
    /// The same whenever and however it is told.
    pub id: Uuid,
    /// Its type.
    pub of: Arc<EventType>,
    /// Whose it is.
    pub org: OrgId,
    /// When it happened.
    pub time: Timestamp,
    /// What it names; the first is the object whose order is kept.
    pub objects: Vec<Object>,
    /// Its envelope, on one line.
    pub json: String,
    /// Its data, as a protobuf message of `of.message`.
    pub message: Bytes,
}

impl PublicEvent {
    /// Its type's name.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.of.name
    }

    /// The object that it is about.
    #[must_use]
    pub fn about(&self) -> Option<&Object> {
        self.objects.first()
    }

    fn new(envelope: &Envelope, id: Uuid, of: &Arc<EventType>, message: &DynamicMessage, raw: Bytes) -> Self {
        let (org, time) = (envelope.org(), envelope.time);
        Self {
            id,
            org,
            time,
            objects: of.objects(message),
            json: envelope_json(id, &of.name, time, org, &to_json(message)),
            message: raw,
            of: Arc::clone(of),
        }
    }
}

/// The envelope of an event whose data may be other than the whole (thin payloads, examples), on one line.
#[must_use]
pub fn envelope_json(id: Uuid, kind: &str, time: Timestamp, org: OrgId, data: &Out) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Told<'a> {
        id: Uuid,
        #[serde(rename = "type")]
        kind: &'a str,
        timestamp: String,
        organization_id: Uuid,
        data: &'a Out,
    }
    let told = Told {
        id,
        kind,
        timestamp: time.to_string(),
        organization_id: org.uuid(),
        data,
    };
    // JSON values are always written.
    serde_json::to_string(&told).unwrap_or_default()
}

impl Catalogue {
    /// The events of a message. What cannot be read is logged and gives none.
    #[must_use]
    pub fn render(&self, envelope: &Envelope) -> Vec<PublicEvent> {
        let read = match self.carried(&envelope.subject.kind) {
            None => Err("the type is not in the contract"),
            Some(Carried::Itself(of)) => decode(&of.message, envelope).map(|message| {
                let raw = envelope.payload.clone();
                vec![PublicEvent::new(envelope, envelope.id.uuid(), of, &message, raw)]
            }),
            Some(Carried::Batch(of)) => decode(of, envelope).map(|message| self.of_batch(envelope, message)),
        };
        read.unwrap_or_else(|reason| {
            let kind = envelope.subject.kind.as_str();
            tracing::warn!(id = %envelope.id, kind, reason, "an event cannot be shown");
            Vec::new()
        })
    }

    fn of_batch(&self, envelope: &Envelope, mut batch: DynamicMessage) -> Vec<PublicEvent> {
        let (Some(received), Some(matched)) = (self.get(RECEIVED), self.get(MATCHED)) else {
            return Vec::new();
        };
        let Some(signals) = batch.descriptor().get_field_by_name("signals") else {
            return Vec::new();
        };
        let Value::List(signals) = std::mem::replace(batch.get_field_mut(&signals), Value::List(Vec::new()))
        else {
            return Vec::new();
        };
        let mut events = Vec::with_capacity(signals.len() * 2);
        for signal in signals {
            let Value::Message(signal) = signal else { continue };
            let id = text(&signal, "id").unwrap_or_default();
            let from = Uuid::try_parse(&id).unwrap_or(envelope.id.uuid());
            let match_ = text(&signal, "account_id").map(|account| {
                let mut message = DynamicMessage::new(matched.message.clone());
                message.set_field_by_name("signal_id", Value::String(id));
                message.set_field_by_name("account_id", Value::String(account));
                if signal.has_field_by_name("account_resolution")
                    && let Some(how) = signal.get_field_by_name("account_resolution")
                {
                    message.set_field_by_name("resolution", how.into_owned());
                }
                message
            });
            let mut message = DynamicMessage::new(received.message.clone());
            message.set_field_by_name("signal", Value::Message(signal));
            let id = ids::derived(from, RECEIVED);
            let raw = message.encode_to_vec().into();
            events.push(PublicEvent::new(envelope, id, received, &message, raw));
            if let Some(message) = match_ {
                let id = ids::derived(from, MATCHED);
                let raw = message.encode_to_vec().into();
                events.push(PublicEvent::new(envelope, id, matched, &message, raw));
            }
        }
        events
    }
}

fn decode(of: &MessageDescriptor, envelope: &Envelope) -> Result<DynamicMessage, &'static str> {
    if envelope.encoding != Encoding::Identity {
        return Err("public events are not compressed");
    }
    DynamicMessage::decode(of.clone(), envelope.payload.clone()).map_err(|_| "the payload is not of its type")
}

fn text(message: &DynamicMessage, name: &str) -> Option<String> {
    let field = message.descriptor().get_field_by_name(name)?;
    message
        .has_field(&field)
        .then(|| message.get_field(&field).as_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use contracts::events::v1::{AccountScoreChanged, DealClosed, SignalAccountMatched, SignalsRecorded};
    use contracts::signals::v1::Signal;
    use contracts::{crm, scores};
    use ids::EventId;

    use super::*;
    use crate::contract::Contract;

    fn catalogue() -> Catalogue {
        Catalogue::new(&Contract::load().unwrap()).unwrap()
    }

    fn wrap<E: contracts::Event>(event: &E) -> Envelope {
        let org = OrgId(Uuid::from_u128(2));
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        Envelope::wrap(event, EventId(Uuid::from_u128(4)), org, String::new(), time)
    }

    #[test]
    fn a_batch_becomes_one_event_per_signal_and_one_per_account_with_stable_ids() {
        let catalogue = catalogue();
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
        let first = catalogue.render(&wrap(&batch));
        let again = catalogue.render(&wrap(&batch));
        let json = |events: &[PublicEvent]| events.iter().map(|e| e.json.clone()).collect::<Vec<_>>();
        assert_eq!(json(&first), json(&again));
        let kinds: Vec<_> = first.iter().map(PublicEvent::kind).collect();
        assert_eq!(kinds, [RECEIVED, RECEIVED, MATCHED]);
        let event: Out = serde_json::from_str(&first[2].json).unwrap();
        assert_eq!(event["data"]["accountId"], "a");
        let event: Out = serde_json::from_str(&first[0].json).unwrap();
        assert_eq!(event["data"]["signal"]["type"], "x");
        assert_eq!(event["organizationId"], "00000000-0000-0000-0000-000000000002");
        let matched = SignalAccountMatched::decode(first[2].message.clone()).unwrap();
        assert_eq!(matched.signal_id, Uuid::from_u128(2).to_string());
        let about = first[2].about().unwrap();
        assert_eq!((&*about.kind, &about.id), ("signal", &matched.signal_id));
    }

    #[test]
    fn the_envelope_has_its_five_fields_in_order_and_the_event_names_its_objects() {
        let deal = crm::v1::Deal {
            id: "d".into(),
            account_id: Some("a".into()),
            ..Default::default()
        };
        let closed = DealClosed {
            deal: Some(deal),
            outcome: "won".into(),
        };
        let events = catalogue().render(&wrap(&closed));
        let [event] = events.as_slice() else { panic!() };
        assert!(
            event.json.starts_with(
                r#"{"id":"00000000-0000-0000-0000-000000000004","type":"deal.closed","timestamp":"2023-11-14T22:13:20Z","organizationId":"00000000-0000-0000-0000-000000000002","data":{"#
            ),
            "{}",
            event.json
        );
        let objects: Vec<_> = event.objects.iter().map(|o| (&*o.kind, o.id.as_str())).collect();
        assert_eq!(objects, [("deal", "d"), ("account", "a")]);
        assert_eq!(DealClosed::decode(event.message.clone()).unwrap(), closed);
        let score = AccountScoreChanged {
            score: Some(scores::v1::AccountScore {
                account_id: "a".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(catalogue().render(&wrap(&score))[0].about().unwrap().id, "a");
    }

    #[test]
    fn what_cannot_be_read_is_no_event() {
        let mut broken = wrap(&DealClosed::default());
        broken.payload = Bytes::from_static(b"\xff\xff");
        assert!(catalogue().render(&broken).is_empty());
        broken.subject.kind = "deal.invented".into();
        assert!(catalogue().render(&broken).is_empty());
    }
}
