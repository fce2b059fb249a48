//! What the login of a service may say and hear at the broker: the events it tells, the consumers it has, and those
//! requests of JetStream's API that keep its streams and consumers as they should be. Everything else is refused.
//!
//! Subjects are those of an installation, without a namespace. Who may make a consumer can make the broker deliver its
//! events to another subject; against that there is no permission, so a login is as secret as a database's password.

use contracts::{StreamKind, TOLD};

use crate::{BusError, BusSettings, ConsumerSpec, names::Names};

/// What a service does with the broker.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Its name: the user, the `ce-source` of its events, the beginning of its consumers' names.
    pub service: &'static str,
    /// Types of the events that it consumes.
    pub consumes: &'static [&'static str],
    /// Whether it reads all public events for others, makes partners' consumers and answers for partners.
    pub serves_partners: bool,
}

/// Subjects, as in the broker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// What may be published.
    pub publish: Vec<String>,
    /// What may be subscribed to.
    pub subscribe: Vec<String>,
    /// Whether what it is asked may be answered, wherever to.
    pub answers: bool,
}

impl Login {
    /// What the login may say and hear.
    ///
    /// # Errors
    /// It consumes an event that nobody tells.
    pub fn permissions(&self) -> Result<Permissions, BusError> {
        let names = Names::new(&BusSettings::default());
        let mut publish = keeping_streams(&names);
        let told = TOLD.iter().filter(|told| told.source == self.service);
        publish.extend(told.map(|told| names.filter(told.kind, told.stream)));
        for event in self.consumes {
            let spec = ConsumerSpec::new(self.service, event);
            publish.extend(consuming(&names, &spec)?);
        }
        let mut subscribe = vec![format!("{}.>", inbox_prefix(self.service))];
        if self.serves_partners {
            publish.extend(reading_all(&names));
            subscribe.push(crate::partners::QUESTIONS.to_owned());
        }
        Ok(Permissions {
            publish,
            subscribe,
            answers: self.serves_partners,
        })
    }
}

/// Where answers to a client of this name go; nobody else may listen there.
pub(crate) fn inbox_prefix(client: &str) -> String {
    format!("_INBOX_{client}")
}

/// Every service makes the streams that are missing, and looks up whether its events are still there.
fn keeping_streams(names: &Names) -> Vec<String> {
    let kept = [StreamKind::Pipeline, StreamKind::Events].map(|kind| names.stream(kind));
    let mut subjects: Vec<String> = kept
        .iter()
        .map(|stream| format!("$JS.API.STREAM.MSG.GET.{stream}"))
        .collect();
    for stream in kept.into_iter().chain([names.advisories()]) {
        subjects.extend(["INFO", "CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
    }
    subjects
}

/// A consumer with its filter, and the one that sweeps up what the broker gave up on.
fn consuming(names: &Names, spec: &ConsumerSpec) -> Result<Vec<String>, BusError> {
    let (kind, durable) = (spec.stream()?, spec.durable());
    let (stream, filter) = (names.stream(kind), names.filter(spec.event, kind));
    let mut subjects = using(&stream, &durable, &format!(".{filter}"));
    subjects.extend(using(
        &names.advisories(),
        &crate::consumer::sweep_of(&durable),
        "",
    ));
    Ok(subjects)
}

fn using(stream: &str, durable: &str, filter: &str) -> Vec<String> {
    vec![
        format!("$JS.API.CONSUMER.INFO.{stream}.{durable}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.{durable}{filter}"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"),
        format!("$JS.ACK.{stream}.{durable}.>"),
    ]
}

/// Tails, and the consumers of partners.
fn reading_all(names: &Names) -> Vec<String> {
    let stream = names.stream(StreamKind::Events);
    let of_each = ["CREATE", "INFO", "MSG.NEXT", "DELETE"];
    let mut subjects: Vec<String> = of_each
        .iter()
        .map(|verb| format!("$JS.API.CONSUMER.{verb}.{stream}.>"))
        .collect();
    subjects.push(format!("$JS.API.CONSUMER.CREATE.{stream}"));
    subjects.push(format!("$JS.API.CONSUMER.NAMES.{stream}"));
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_may_tell_its_own_events_and_use_its_own_consumers() {
        let login = Login {
            service: "scoring",
            consumes: &["signals.recorded"],
            serves_partners: false,
        };
        let permissions = login.permissions().unwrap();
        let events: Vec<&str> = permissions
            .publish
            .iter()
            .filter(|subject| !subject.starts_with('$'))
            .map(String::as_str)
            .collect();
        assert_eq!(
            events,
            ["evt.*.account.expansion_signal", "evt.*.account.score_changed"]
        );
        assert_eq!(permissions.subscribe, ["_INBOX_scoring.>"]);
        let create =
            "$JS.API.CONSUMER.CREATE.EVENTS.scoring_signals_recorded.evt.*.signals.recorded".to_owned();
        assert!(permissions.publish.contains(&create), "{permissions:?}");
        assert!(!permissions.answers);
        let unknown = Login {
            consumes: &["signals.dreamt"],
            ..login
        };
        assert!(unknown.permissions().is_err());
    }
}
