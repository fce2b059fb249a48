//! Which events exist, in which stream they are kept, and under which subject they travel.

use ids::OrgId;

use crate::{crm, events, signals};

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
}

macro_rules! bus_events {
    ($($message:ty => $type:literal, $stream:ident;)*) => {
        $(impl Event for $message {
            const TYPE: &'static str = $type;
            const STREAM: StreamKind = StreamKind::$stream;
        })*

        /// The known event of this type, and the stream that keeps it.
        #[must_use]
        pub fn type_of(text: &str) -> Option<(&'static str, StreamKind)> {
            match text { $($type => Some(($type, StreamKind::$stream)),)* _ => None }
        }
    };
}

bus_events! {
    signals::v1::SignalsAccepted => "signals.accepted", Pipeline;
    signals::v1::SignalsResolved => "signals.resolved", Pipeline;
    events::v1::SignalsRecorded => "signals.recorded", Events;
    events::v1::ContactIdentified => "contact.identified", Events;
    events::v1::AccountDiscovered => "account.discovered", Events;
    events::v1::IdentityMerged => "identity.merged", Events;
    events::v1::IdentityAccountLinked => "identity.account_linked", Events;
    events::v1::AccountCreated => "account.created", Events;
    events::v1::AccountUpdated => "account.updated", Events;
    events::v1::ContactCreated => "contact.created", Events;
    events::v1::ContactUpdated => "contact.updated", Events;
    events::v1::ContactDeleted => "contact.deleted", Events;
    events::v1::AccountScoreChanged => "account.score_changed", Events;
    events::v1::AccountExpansionSignal => "account.expansion_signal", Events;
    events::v1::AccountDeleted => "account.deleted", Events;
    events::v1::DealCreated => "deal.created", Events;
    events::v1::DealUpdated => "deal.updated", Events;
    events::v1::DealStageChanged => "deal.stage_changed", Events;
    events::v1::DealClosed => "deal.closed", Events;
    events::v1::DealDeleted => "deal.deleted", Events;
    events::v1::TaskCreated => "task.created", Events;
    events::v1::TaskUpdated => "task.updated", Events;
    events::v1::TaskCompleted => "task.completed", Events;
    events::v1::TaskDeleted => "task.deleted", Events;
    events::v1::ActivityCreated => "activity.created", Events;
    events::v1::ActivityUpdated => "activity.updated", Events;
    events::v1::ActivityDeleted => "activity.deleted", Events;
    events::v1::NoteCreated => "note.created", Events;
    events::v1::NoteUpdated => "note.updated", Events;
    events::v1::NoteDeleted => "note.deleted", Events;
    crm::v1::PeopleStated => "people.stated", Pipeline;
    crm::v1::CompaniesStated => "companies.stated", Pipeline;
    events::v1::IdentityAccountMerged => "identity.account_merged", Events;
}

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
