//! Publishing a batch of rows in waves: all of a wave are sent, then all acknowledgements are awaited.

use std::collections::HashMap;
use std::error::Error as _;

use async_nats::jetstream::{
    self, ErrorCode,
    context::{PublishAckFuture, PublishError, PublishErrorKind},
    message::PublishMessage,
    publish::PublishAck,
};
use contracts::Envelope;
use futures::future::join_all;
use ids::OrgId;
use store::outbox::{OutboxEvent, Published};

use crate::{Bus, message};

/// Why a row was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The stream is full; it may have room later.
    Full,
    /// There is no stream for it at this moment.
    NoStream,
    /// No answer, no connection, a broker that is busy.
    Later,
    /// No broker with these limits will ever take it.
    Never,
}

impl Verdict {
    /// As a metric's label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::NoStream => "no_stream",
            Self::Later => "other",
            Self::Never => "never",
        }
    }
}

/// A row that was not published.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) row: OutboxEvent,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Acknowledged rows by stream.
    pub(super) acked: Vec<(String, Published)>,
    pub(super) refused: Vec<Refused>,
}

impl Outcome {
    /// The first refusal that may pass, if any.
    pub(super) fn retryable(&self) -> Option<&Refused> {
        self.refused
            .iter()
            .find(|refused| refused.verdict != Verdict::Never)
    }
}

/// Publishes the rows so that the events of one object arrive in their order, whatever fails: the next one of an object
/// is sent when the one before is acknowledged. Those of different objects are on their way together. After a refusal
/// that may pass, the rest is left for the next try.
pub(super) async fn publish(bus: &Bus, rows: Vec<OutboxEvent>) -> Outcome {
    let mut outcome = Outcome::default();
    for wave in waves(rows) {
        publish_together(bus, wave, &mut outcome).await;
        if outcome.retryable().is_some() {
            break;
        }
    }
    outcome
}

/// The first rows of all objects, then the second ones, and so on, each wave in the order of the rows.
fn waves(rows: Vec<OutboxEvent>) -> Vec<Vec<OutboxEvent>> {
    let mut before: HashMap<(OrgId, String), usize> = HashMap::new();
    let mut waves: Vec<Vec<OutboxEvent>> = Vec::new();
    for row in rows {
        let rank = before.entry((row.org, row.about.clone())).or_default();
        match waves.get_mut(*rank) {
            Some(wave) => wave.push(row),
            None => waves.push(vec![row]),
        }
        *rank += 1;
    }
    waves
}

/// Sends all rows, up to the first one that cannot even be sent, then awaits all acknowledgements.
async fn publish_together(bus: &Bus, rows: Vec<OutboxEvent>, outcome: &mut Outcome) {
    let mut sent = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(envelope) = message::of_row(row.clone()) else {
            let reason = "the row is not an event of ours".to_owned();
            outcome.refused.push(Refused {
                row,
                verdict: Verdict::Never,
                reason,
            });
            continue;
        };
        match send(bus, &envelope).await {
            Ok(ack) => sent.push((row, ack)),
            Err(error) => {
                let refused = refusal(row, &error);
                let stop = refused.verdict != Verdict::Never;
                outcome.refused.push(refused);
                if stop {
                    break;
                }
            }
        }
    }
    // All timeouts run at once: a dead broker costs one of them, not one per row.
    let acks = join_all(sent.into_iter().map(|(row, ack)| async move { (row, ack.await) })).await;
    for (row, ack) in acks {
        match ack {
            Ok(PublishAck { stream, sequence, .. }) => {
                outcome.acked.push((
                    stream,
                    Published {
                        id: row.id,
                        seq: sequence,
                    },
                ));
            }
            Err(error) => outcome.refused.push(refusal(row, &error)),
        }
    }
}

/// Sends one event without waiting for its acknowledgement.
pub(super) async fn send(bus: &Bus, envelope: &Envelope) -> Result<PublishAckFuture, PublishError> {
    let mut message = PublishMessage::build()
        .payload(envelope.payload.clone())
        .message_id(envelope.id.to_string());
    for (name, value) in envelope.headers() {
        message = message.header(name, value.as_str());
    }
    bus.js()
        .send_publish(bus.names().qualified(&envelope.subject.text()), message)
        .await
}

fn refusal(row: OutboxEvent, error: &PublishError) -> Refused {
    Refused {
        row,
        verdict: verdict(error),
        reason: crate::bus::chain(error),
    }
}

/// Sorts the broker's refusals. Whatever is not known to be final is tried again: an outbox row costs nothing, a lost
/// event does.
pub(super) fn verdict(error: &PublishError) -> Verdict {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Verdict::Never,
        PublishErrorKind::StreamNotFound => Verdict::NoStream,
        PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence => Verdict::Later,
        PublishErrorKind::Other => {
            let code = error
                .source()
                .and_then(|cause| cause.downcast_ref::<jetstream::Error>());
            code.map_or(Verdict::Later, |error| by_code(error.error_code()))
        }
    }
}

fn by_code(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Verdict::Never,
        // 10077 with DiscardNew is "maximum bytes exceeded", 10023 a full account or disk.
        ErrorCode::STREAM_STORE_FAILED | ErrorCode::INSUFFICIENT_RESOURCES => Verdict::Full,
        ErrorCode::STREAM_NOT_FOUND => Verdict::NoStream,
        _ => Verdict::Later,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn row(org: u128, about: &str, id: u128) -> OutboxEvent {
        OutboxEvent {
            id: Uuid::from_u128(id),
            org: OrgId(Uuid::from_u128(org)),
            subject: String::new(),
            about: about.to_owned(),
            source: String::new(),
            encoding: String::new(),
            traceparent: None,
            payload: Bytes::new(),
            occurred_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn no_wave_has_two_events_of_an_object() {
        let rows = [
            (1, "a"),
            (1, "b"),
            (1, "a"),
            (2, "a"),
            (1, "a"),
            (1, "c"),
            (1, "b"),
        ];
        let rows = (1..)
            .zip(rows)
            .map(|(id, (org, about))| row(org, about, id))
            .collect();
        let ids: Vec<Vec<u128>> = waves(rows)
            .iter()
            .map(|wave| wave.iter().map(|row| row.id.as_u128()).collect())
            .collect();
        assert_eq!(ids, [vec![1, 2, 4, 6], vec![3, 7], vec![5]]);
        assert!(waves(Vec::new()).is_empty());
    }

    #[test]
    fn refusals_are_sorted_by_whether_they_can_pass() {
        let plain = |kind| verdict(&PublishError::new(kind));
        assert_eq!(plain(PublishErrorKind::MaxPayloadExceeded), Verdict::Never);
        assert_eq!(plain(PublishErrorKind::StreamNotFound), Verdict::NoStream);
        for kind in [
            PublishErrorKind::TimedOut,
            PublishErrorKind::BrokenPipe,
            PublishErrorKind::MaxAckPending,
        ] {
            assert_eq!(plain(kind), Verdict::Later);
        }
        let coded = |code: u64| {
            let text = format!(r#"{{"code":503,"err_code":{code},"description":"x"}}"#);
            let source: jetstream::Error = serde_json::from_str(&text).unwrap();
            verdict(&PublishError::with_source(PublishErrorKind::Other, source))
        };
        assert_eq!(coded(10_077), Verdict::Full);
        assert_eq!(coded(10_023), Verdict::Full);
        assert_eq!(coded(10_054), Verdict::Never);
        assert_eq!(coded(10_059), Verdict::NoStream);
        assert_eq!(coded(10_167), Verdict::Later);
        assert_eq!(coded(10_008), Verdict::Later);
    }
}
