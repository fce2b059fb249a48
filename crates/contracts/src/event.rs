//! Which events exist, in which stream they are kept, and under which subject they travel.

use ids::OrgId;

/// The two streams. Internal work is kept for days, public events for weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Internal hand-over between pipeline stages.
    Pipeline,
    /// Public events.
    Events,
}

impl StreamKind {
    /// First token of the stream's subjects.
    #[must_use]
    pub fn root(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Events => "evt",
        }
    }

    /// Name of the stream.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pipeline => "PIPELINE",
            Self::Events => "EVENTS",
        }
    }
}

/// A message that travels on the bus.
pub trait Event: prost::Message + Default {
    /// `<object>.<action>`; also `ce-type` and the tail of the subject.
    const TYPE: &'static str;
    /// Where it is kept.
    const STREAM: StreamKind;
    /// The service that tells it; also `ce-source`.
    const SOURCE: &'static str;
}

/// What travels on the bus, as a row of the table of all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// `<object>.<action>`.
    pub kind: &'static str,
    /// Where it is kept.
    pub stream: StreamKind,
    /// The service that tells it.
    pub source: &'static str,
}

macro_rules! bus_events {
    ($($message:ty => $type:literal, $stream:ident, $source:literal;)*) => {
        $(impl Event for $message {
            const TYPE: &'static str = $type;
            const STREAM: StreamKind = StreamKind::$stream;
            const SOURCE: &'static str = $source;
        })*

        /// Everything that travels on the bus.
        pub const TOLD: &[Told] = &[
            $(Told { kind: $type, stream: StreamKind::$stream, source: $source },)*
        ];

        /// The known event of this type, and the stream that keeps it.
        #[must_use]
        pub fn type_of(text: &str) -> Option<(&'static str, StreamKind)> {
            match text { $($type => Some(($type, StreamKind::$stream)),)* _ => None }
        }
    };
}

// From the option `(devsignal.options.v1.event)` of the messages: the one table of events is in `proto/`.
include!(concat!(env!("OUT_DIR"), "/events.rs"));

/// The subject of an event: `<root>.<organization>.<object>.<action>`, after an optional namespace (tests share a server
/// by namespace).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Stream the subject belongs to.
    pub stream: StreamKind,
    /// Organization.
    pub org: OrgId,
    /// Event type.
    pub kind: String,
}

/// The subject is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subject is not <root>.<organization>.<object>.<action>")]
pub struct SubjectError;

impl Subject {
    /// The subject of event `E` of `org`.
    #[must_use]
    pub fn of<E: Event>(org: OrgId) -> Self {
        Self {
            stream: E::STREAM,
            org,
            kind: E::TYPE.to_owned(),
        }
    }

    /// As text, without namespace.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}.{}.{}", self.stream.root(), self.org, self.kind)
    }

    /// Reads a subject without namespace.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let (root, rest) = text.split_once('.').ok_or(SubjectError)?;
        let (org, kind) = rest.split_once('.').ok_or(SubjectError)?;
        let stream = match root {
            "pipeline" => StreamKind::Pipeline,
            "evt" => StreamKind::Events,
            _ => return Err(SubjectError),
        };
        Ok(Self {
            stream,
            org: org.parse().map_err(|_| SubjectError)?,
            kind: kind.to_owned(),
        })
    }
}

/// Subject filter for one event type of every organization, without namespace.
#[must_use]
pub fn filter_all_orgs(kind: &str, stream: StreamKind) -> String {
    format!("{}.*.{kind}", stream.root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{events, signals};

    #[test]
    fn what_travels_is_known_by_its_type() {
        assert_eq!(
            <signals::v1::SignalsAccepted as Event>::STREAM,
            StreamKind::Pipeline
        );
        assert_eq!(type_of("deal.closed"), Some(("deal.closed", StreamKind::Events)));
        assert_eq!(type_of("signal.received"), None, "carried by signals.recorded");
        let score = TOLD
            .iter()
            .find(|told| told.kind == "account.score_changed")
            .unwrap();
        assert_eq!((score.stream, score.source), (StreamKind::Events, "scoring"));
    }

    #[test]
    fn subjects_round_trip() {
        let org = OrgId(uuid::Uuid::from_u128(7));
        let subject = Subject::of::<events::v1::SignalsRecorded>(org);
        assert_eq!(
            subject.text(),
            "evt.00000000-0000-0000-0000-000000000007.signals.recorded"
        );
        assert_eq!(Subject::parse(&subject.text()), Ok(subject));
        assert_eq!(Subject::parse("evt.x.signals.recorded"), Err(SubjectError));
    }
}
