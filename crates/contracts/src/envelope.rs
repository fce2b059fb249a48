//! The envelope of an event: CloudEvents 1.0 attributes as message headers around a protobuf payload.

use bytes::Bytes;
use ids::{EventId, OrgId};
use jiff::Timestamp;

use crate::codec;
use crate::{Event, Subject};

/// Header names. `ce-*` are CloudEvents 1.0 attributes in the NATS binding's binary mode.
pub mod header {
    /// Event id; also the broker's message id.
    pub const ID: &str = "ce-id";
    /// Event type.
    pub const TYPE: &str = "ce-type";
    /// The service that tells.
    pub const SOURCE: &str = "ce-source";
    /// When it happened.
    pub const TIME: &str = "ce-time";
    /// The object it is about.
    pub const SUBJECT: &str = "ce-subject";
    /// CloudEvents version.
    pub const SPECVERSION: &str = "ce-specversion";
    /// Media type of the payload.
    pub const CONTENT_TYPE: &str = "content-type";
    /// `zstd` when the payload is compressed; internal streams only.
    pub const CONTENT_ENCODING: &str = "content-encoding";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// How the payload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Plain protobuf.
    Identity,
    /// zstd, level 1.
    Zstd,
}

/// An event with everything the bus needs to carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Stable id: the same event published twice has the same id.
    pub id: EventId,
    /// Where it travels; holds organization and type.
    pub subject: Subject,
    /// The object it is about: an account's, a contact's or a batch's id.
    pub about: String,
    /// The service that tells.
    pub source: String,
    /// When it happened.
    pub time: Timestamp,
    /// W3C `traceparent` of the work that caused it.
    pub traceparent: Option<String>,
    /// How the payload is packed.
    pub encoding: Encoding,
    /// The protobuf message.
    pub payload: Bytes,
}

/// The message on the bus is not an event of ours.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A required header is missing or unreadable.
    #[error("header {0} is missing or not valid")]
    Header(&'static str),
    /// The subject is not of our form.
    #[error("subject {0:?} is not valid")]
    Subject(String),
    /// The subject says one type, the header another.
    #[error("header says type {header:?}, subject says {subject:?}")]
    TypeMismatch {
        /// Type by header.
        header: String,
        /// Type by subject.
        subject: String,
    },
    /// The payload does not decompress or is too large.
    #[error("payload does not decompress")]
    Compression(#[source] std::io::Error),
    /// The payload is not the message the type promises.
    #[error("payload is not a valid {kind}")]
    Payload {
        /// The promised type.
        kind: &'static str,
        /// What the decoder said.
        source: prost::DecodeError,
    },
}

impl Envelope {
    /// Wraps `event`. Internal events are compressed, public ones are plain, so that partners need no codec.
    pub fn wrap<E: Event>(event: &E, id: EventId, org: OrgId, about: String, time: Timestamp) -> Self {
        let plain = event.encode_to_vec();
        let (encoding, payload) = match E::STREAM {
            crate::StreamKind::Events => (Encoding::Identity, plain),
            crate::StreamKind::Pipeline => match codec::compress(&plain) {
                Ok(packed) => (Encoding::Zstd, packed),
                Err(_) => (Encoding::Identity, plain),
            },
        };
        Self {
            id,
            subject: Subject::of::<E>(org),
            about,
            source: E::SOURCE.to_owned(),
            time,
            traceparent: None,
            encoding,
            payload: payload.into(),
        }
    }

    /// Reads the message.
    pub fn open<E: Event>(&self) -> Result<E, EnvelopeError> {
        if self.subject.kind != E::TYPE {
            return Err(EnvelopeError::TypeMismatch {
                header: E::TYPE.to_owned(),
                subject: self.subject.kind.clone(),
            });
        }
        let decoded = match self.encoding {
            Encoding::Identity => E::decode(self.payload.clone()),
            Encoding::Zstd => E::decode(Bytes::from(
                codec::decompress(&self.payload).map_err(EnvelopeError::Compression)?,
            )),
        };
        decoded.map_err(|source| EnvelopeError::Payload {
            kind: E::TYPE,
            source,
        })
    }

    /// The headers of the message, the broker's own aside.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (header::SPECVERSION, "1.0".to_owned()),
            (header::ID, self.id.to_string()),
            (header::TYPE, self.subject.kind.clone()),
            (header::SOURCE, self.source.clone()),
            (header::TIME, self.time.to_string()),
            (header::SUBJECT, self.about.clone()),
            (header::CONTENT_TYPE, "application/protobuf".to_owned()),
        ];
        if self.encoding == Encoding::Zstd {
            headers.push((header::CONTENT_ENCODING, "zstd".to_owned()));
        }
        if let Some(traceparent) = &self.traceparent {
            headers.push((header::TRACEPARENT, traceparent.clone()));
        }
        headers
    }

    /// Reads a message from the bus: `subject` without namespace, `get` looks a header up.
    pub fn from_parts<'a>(
        subject: &str,
        get: impl Fn(&str) -> Option<&'a str>,
        payload: Bytes,
    ) -> Result<Self, EnvelopeError> {
        let parsed = Subject::parse(subject).map_err(|_| EnvelopeError::Subject(subject.to_owned()))?;
        let required = |name: &'static str| get(name).ok_or(EnvelopeError::Header(name));
        let kind = required(header::TYPE)?;
        if kind != parsed.kind {
            return Err(EnvelopeError::TypeMismatch {
                header: kind.to_owned(),
                subject: parsed.kind,
            });
        }
        let encoding = match get(header::CONTENT_ENCODING) {
            None => Encoding::Identity,
            Some("zstd") => Encoding::Zstd,
            Some(_) => return Err(EnvelopeError::Header(header::CONTENT_ENCODING)),
        };
        Ok(Self {
            id: required(header::ID)?
                .parse()
                .map_err(|_| EnvelopeError::Header(header::ID))?,
            about: get(header::SUBJECT).unwrap_or_default().to_owned(),
            source: required(header::SOURCE)?.to_owned(),
            time: required(header::TIME)?
                .parse()
                .map_err(|_| EnvelopeError::Header(header::TIME))?,
            traceparent: get(header::TRACEPARENT).map(str::to_owned),
            subject: parsed,
            encoding,
            payload,
        })
    }

    /// The organization the event belongs to.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.subject.org
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::signals::v1::{Signal, SignalsAccepted};

    fn sample() -> (SignalsAccepted, Envelope) {
        let event = SignalsAccepted {
            batch_id: Uuid::from_u128(1).to_string(),
            organization_id: Uuid::from_u128(2).to_string(),
            signals: vec![Signal {
                id: Uuid::from_u128(3).to_string(),
                r#type: "repo_star".into(),
                ..Signal::default()
            }],
        };
        let org = OrgId(Uuid::from_u128(2));
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let envelope = Envelope::wrap(&event, EventId(Uuid::from_u128(4)), org, "b".into(), time);
        (event, envelope)
    }

    #[test]
    fn an_event_survives_headers_and_compression() {
        let (event, envelope) = sample();
        assert_eq!(envelope.encoding, Encoding::Zstd);
        let headers: std::collections::HashMap<_, _> = envelope.headers().into_iter().collect();
        let read = Envelope::from_parts(
            &envelope.subject.text(),
            |name| headers.get(name).map(String::as_str),
            envelope.payload.clone(),
        )
        .unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.open::<SignalsAccepted>().unwrap(), event);
    }

    #[test]
    fn a_type_that_differs_from_the_subject_is_refused() {
        let (_, envelope) = sample();
        let error = Envelope::from_parts(
            "pipeline.00000000-0000-0000-0000-000000000002.signals.resolved",
            |name| (name == header::TYPE).then_some("signals.accepted"),
            envelope.payload,
        );
        assert!(matches!(error, Err(EnvelopeError::TypeMismatch { .. })));
    }

    #[test]
    fn garbage_is_an_error_and_not_a_panic() {
        let (_, mut envelope) = sample();
        envelope.payload = Bytes::from_static(b"\xff\xff\xff");
        assert!(envelope.open::<SignalsAccepted>().is_err());
        envelope.encoding = Encoding::Identity;
        assert!(envelope.open::<SignalsAccepted>().is_err());
    }
}
