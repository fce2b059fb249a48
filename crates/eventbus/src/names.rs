//! Names at the broker: streams and subjects, each with the namespace in front.

use contracts::StreamKind;

use crate::BusSettings;

/// Makes names of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Before stream names: empty or `<namespace>_`.
    stream_prefix: String,
    /// Before subjects: empty or `<namespace>.`.
    subject_prefix: String,
}

/// Advisories that tell of a message nobody will get again.
const GIVEN_UP: [&str; 2] = ["MAX_DELIVERIES", "MSG_TERMINATED"];

impl Names {
    pub(crate) fn new(settings: &BusSettings) -> Self {
        let namespace = &settings.namespace;
        if namespace.is_empty() {
            return Self {
                stream_prefix: String::new(),
                subject_prefix: String::new(),
            };
        }
        Self {
            stream_prefix: format!("{namespace}_"),
            subject_prefix: format!("{namespace}."),
        }
    }

    /// The stream's name.
    pub(crate) fn stream(&self, kind: StreamKind) -> String {
        format!("{}{}", self.stream_prefix, kind.name())
    }

    /// Name of the stream of advisories.
    pub(crate) fn advisories(&self) -> String {
        format!("{}ADVISORIES", self.stream_prefix)
    }

    /// Everything that a stream keeps.
    pub(crate) fn stream_subjects(&self, kind: StreamKind) -> String {
        format!("{}{}.>", self.subject_prefix, kind.root())
    }

    /// Advisories about any consumer of our streams. The stream's name is part of the subject, so namespaces do not
    /// see each other's.
    pub(crate) fn advisory_subjects(&self) -> Vec<String> {
        let streams = [self.stream(StreamKind::Pipeline), self.stream(StreamKind::Events)];
        let all = GIVEN_UP
            .iter()
            .flat_map(|kind| streams.iter().map(move |stream| (kind, stream)));
        all.map(|(kind, stream)| format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.>"))
            .collect()
    }

    /// Advisories about one consumer.
    pub(crate) fn advisories_of(&self, stream: StreamKind, durable: &str) -> Vec<String> {
        let stream = self.stream(stream);
        GIVEN_UP
            .iter()
            .map(|kind| format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{durable}"))
            .collect()
    }

    /// Events of one type, of every organization.
    pub(crate) fn filter(&self, event: &str, stream: StreamKind) -> String {
        format!(
            "{}{}",
            self.subject_prefix,
            contracts::filter_all_orgs(event, stream)
        )
    }

    /// A subject with the namespace in front; `subject` is as `contracts::Subject::text` makes it.
    pub(crate) fn qualified(&self, subject: &str) -> String {
        format!("{}{subject}", self.subject_prefix)
    }

    /// A subject without the namespace; `None` if it is of another one.
    pub(crate) fn bare<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(self.subject_prefix.as_str())
    }
}
