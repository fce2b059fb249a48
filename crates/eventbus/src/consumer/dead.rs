//! A message that may have to be kept as a dead letter.

use async_nats::jetstream;
use bytes::Bytes;
use contracts::{Envelope, EnvelopeError};
use ids::OrgId;
use store::{
    StoreError,
    dead_letters::{self, DeadLetter, NewDeadLetter},
};
use uuid::Uuid;

use super::{Handler, Worker, process::one_line};
use crate::{message, names::Names};

/// Reasons are for people; the whole chain of a deep error is not.
const MAX_REASON: usize = 2_000;

/// Everything of a message that is needed to handle it, or to keep it and handle it later.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    id: Uuid,
    subject: String,
    headers: serde_json::Value,
    payload: Bytes,
    pub(crate) attempts: i64,
}

impl Letter {
    /// A delivered message.
    pub(crate) fn of_delivery(delivery: &jetstream::Message, names: &Names, attempts: i64) -> Self {
        let message = &delivery.message;
        // Ids of messages that are not ours are made from where they are, so that each has one dead letter.
        let place = delivery.info().map_or_else(
            |_| Uuid::nil(),
            |info| {
                message::id_by_place(
                    info.stream,
                    info.published.unix_timestamp_nanos(),
                    info.stream_sequence,
                )
            },
        );
        let headers = message::headers_json(message.headers.as_ref());
        Self::new(
            message.subject.as_str(),
            headers,
            message.payload.clone(),
            names,
            attempts,
            place,
        )
    }

    /// A message fetched from its stream.
    pub(crate) fn of_stored(
        stream: &str,
        stored: jetstream::message::StreamMessage,
        names: &Names,
        attempts: i64,
    ) -> Self {
        let place = message::id_by_place(stream, stored.time.unix_timestamp_nanos(), stored.sequence);
        let headers = message::headers_json(Some(&stored.headers));
        Self::new(
            stored.subject.as_str(),
            headers,
            stored.payload,
            names,
            attempts,
            place,
        )
    }

    /// A message kept before.
    pub(crate) fn of_dead(dead: &DeadLetter) -> Self {
        let kept = &dead.letter;
        Self {
            id: kept.message_id,
            subject: kept.subject.clone(),
            headers: kept.headers.clone(),
            payload: kept.payload.clone(),
            attempts: i64::from(kept.attempts),
        }
    }

    fn new(
        subject: &str,
        headers: serde_json::Value,
        payload: Bytes,
        names: &Names,
        attempts: i64,
        place: Uuid,
    ) -> Self {
        let id = lookup(&headers, contracts::header::ID)
            .and_then(|id| id.parse().ok())
            .unwrap_or(place);
        Self {
            id,
            subject: names.bare(subject).unwrap_or(subject).to_owned(),
            headers,
            payload,
            attempts,
        }
    }

    /// As an event; an error for anything that is not one of ours.
    pub(crate) fn envelope(&self) -> Result<Envelope, EnvelopeError> {
        Envelope::from_parts(
            &self.subject,
            |name| lookup(&self.headers, name),
            self.payload.clone(),
        )
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    fn org(&self) -> Option<OrgId> {
        message::org_of(&self.subject)
    }

    /// As a dead letter of `consumer`.
    pub(crate) fn to_dead(&self, consumer: &str, reason: &str) -> NewDeadLetter {
        NewDeadLetter {
            message_id: self.id,
            org: self.org(),
            consumer: consumer.to_owned(),
            subject: self.subject.clone(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
            reason: reason.chars().take(MAX_REASON).collect(),
            attempts: u32::try_from(self.attempts.max(0)).unwrap_or(u32::MAX),
        }
    }
}

fn lookup<'a>(headers: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    headers.get(name)?.as_str()
}

impl<H: Handler> Worker<H> {
    /// Stores the message as a dead letter, once per message however often it fails.
    pub(crate) async fn keep_dead(&self, letter: &Letter, error: &anyhow::Error) -> Result<(), StoreError> {
        let dead = letter.to_dead(&self.durable, &one_line(error));
        dead_letters::insert(&self.stores.pipeline, &dead).await?;
        self.metrics.dead.inc();
        tracing::error!(
            consumer = %self.durable,
            message_id = %letter.id,
            attempts = letter.attempts,
            reason = %dead.reason,
            "a message is given up on and kept as a dead letter"
        );
        Ok(())
    }
}
