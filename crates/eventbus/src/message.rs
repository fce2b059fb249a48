//! Between messages of the broker and envelopes.

use async_nats::{HeaderMap, Message};
use contracts::{Encoding, Envelope, EnvelopeError, Subject};
use ids::{EventId, OrgId};
use store::outbox::OutboxEvent;
use uuid::Uuid;

use crate::names::Names;

/// Reads a message; its headers must be those of an event of ours.
pub(crate) fn envelope(message: &Message, names: &Names) -> Result<Envelope, EnvelopeError> {
    let subject = names.bare(message.subject.as_str());
    let subject = subject.ok_or_else(|| EnvelopeError::Subject(message.subject.to_string()))?;
    let get = |name: &str| header(message.headers.as_ref()?, name);
    Envelope::from_parts(subject, get, message.payload.clone())
}

/// A header's value, whatever the case of its name.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

/// All headers as a JSON object of strings, for `dead_letters`. A repeated header keeps its last value.
pub(crate) fn headers_json(headers: Option<&HeaderMap>) -> serde_json::Value {
    let Some(headers) = headers else {
        return serde_json::Value::Object(serde_json::Map::new());
    };
    let pairs = headers.iter().filter_map(|(name, values)| {
        Some((
            name.to_string(),
            serde_json::Value::String(values.last()?.as_str().to_owned()),
        ))
    });
    serde_json::Value::Object(pairs.collect())
}

/// An outbox row as the envelope that it was; `None` for a subject or encoding that is not ours.
pub(crate) fn of_row(row: OutboxEvent) -> Option<Envelope> {
    let encoding = match row.encoding.as_str() {
        "identity" => Encoding::Identity,
        "zstd" => Encoding::Zstd,
        _ => return None,
    };
    Some(Envelope {
        id: EventId(row.id),
        subject: Subject::parse(&row.subject).ok()?,
        about: row.about,
        source: row.source,
        time: row.occurred_at,
        traceparent: row.traceparent,
        encoding,
        payload: row.payload,
    })
}

/// An envelope as an outbox row.
pub(crate) fn to_row(envelope: &Envelope) -> OutboxEvent {
    let encoding = match envelope.encoding {
        Encoding::Identity => "identity",
        Encoding::Zstd => "zstd",
    };
    OutboxEvent {
        id: envelope.id.uuid(),
        org: envelope.org(),
        subject: envelope.subject.text(),
        about: envelope.about.clone(),
        source: envelope.source.clone(),
        encoding: encoding.to_owned(),
        traceparent: envelope.traceparent.clone(),
        payload: envelope.payload.clone(),
        occurred_at: envelope.time,
    }
}

/// The tenant by the subject, also of a message that is not readable otherwise.
pub(crate) fn org_of(subject: &str) -> Option<OrgId> {
    Subject::parse(subject).ok().map(|subject| subject.org)
}

/// A stable id for a message that has none of its own: the same place in the same stream gives the same id.
pub(crate) fn id_by_place(stream: &str, created_nanos: i128, seq: u64) -> Uuid {
    ids::derived(Uuid::nil(), &format!("{stream}/{created_nanos}/{seq}"))
}
