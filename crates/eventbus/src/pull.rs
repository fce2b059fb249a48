//! Pulling messages of one consumer: requests, heartbeats, and noticing when the other end has gone silent.
//!
//! Not async-nats' own iterators: `Batch` loses its wake-up after a heartbeat (0.51), and neither iterator shows
//! heartbeats, so silence cannot be told from an empty stream. Here everything heard moves one wall-clock deadline.

use std::time::Duration;

use async_nats::{
    Client, StatusCode, Subject, Subscriber,
    jetstream::{self, Context},
};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

/// A request is answered within this time, with messages or without.
const EXPIRES: Duration = Duration::from_secs(5);
/// The broker says at least this often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Without a word for so long, something is wrong: connection, broker, or the consumer itself.
const SILENCE: Duration = Duration::from_millis(3_500);

/// Why the pull must be set up again, after making sure of stream and consumer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// Nothing was heard for too long.
    #[error("nothing was heard for {SILENCE:?}")]
    Silence,
    /// There is no such consumer (any more).
    #[error("the consumer is gone: {0}")]
    Gone(String),
    /// The broker ended the request for a reason of its own.
    #[error("the broker ended the request: {0}")]
    Refused(String),
    /// The client is closed.
    #[error("the subscription ended")]
    Ended,
    /// The request could not be sent.
    #[error("the request could not be sent")]
    Send(#[source] async_nats::Error),
}

/// One subscription that a consumer's messages come by. Dropping it gives what was delivered but not read back to the
/// broker only after the ack wait; see [`Puller::drain`].
pub(crate) struct Puller {
    client: Client,
    js: Context,
    subscriber: Subscriber,
    /// Requests go here.
    api: String,
    inbox: String,
    /// Tells the answers to this request from late answers to the one before.
    request: u64,
    /// Messages still to come for the running request; 0 when none runs.
    outstanding: usize,
    deadline: Instant,
}

impl Puller {
    /// Prepares to pull from `consumer` of `stream`; sends nothing yet.
    pub(crate) async fn open(js: &Context, stream: &str, consumer: &str) -> Result<Self, PullError> {
        let client = js.client();
        let inbox = client.new_inbox();
        let subscriber = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|e| PullError::Send(e.into()))?;
        Ok(Self {
            js: js.clone(),
            subscriber,
            api: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox,
            request: 0,
            outstanding: 0,
            deadline: Instant::now() + SILENCE,
            client,
        })
    }

    /// The next message, or `None` when the running request ended without one (call again, with what is free then).
    /// Asks for up to `want` messages when no request is running. Safe to cancel.
    pub(crate) async fn next(&mut self, want: usize) -> Result<Option<jetstream::Message>, PullError> {
        if self.outstanding == 0 {
            self.ask(want).await?;
        }
        loop {
            let heard = tokio::time::timeout_at(self.deadline, self.subscriber.next()).await;
            let message = heard.map_err(|_| PullError::Silence)?.ok_or(PullError::Ended)?;
            self.deadline = Instant::now() + SILENCE;
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    return Ok(Some(jetstream::Message {
                        message,
                        context: self.js.clone(),
                    }));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(_) if !self.is_current(&message.subject) => {}
                Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                    self.outstanding = 0;
                    return Ok(None);
                }
                Some(status) => {
                    self.outstanding = 0;
                    return Err(refusal(status, message.description));
                }
            }
        }
    }

    /// What was delivered and not read, without waiting: to be handed back at shutdown.
    pub(crate) fn drain(&mut self) -> Vec<jetstream::Message> {
        let mut unread = Vec::new();
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            if matches!(message.status, None | Some(StatusCode::OK)) {
                unread.push(jetstream::Message {
                    message,
                    context: self.js.clone(),
                });
            }
        }
        unread
    }

    async fn ask(&mut self, want: usize) -> Result<(), PullError> {
        let want = want.max(1);
        let request = self.request + 1;
        let body = format!(
            r#"{{"batch":{want},"expires":{},"idle_heartbeat":{}}}"#,
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let reply = format!("{}.{request}", self.inbox);
        self.client
            .publish_with_reply(self.api.clone(), reply, body.into())
            .await
            .map_err(|error| PullError::Send(error.into()))?;
        self.request = request;
        self.outstanding = want;
        self.deadline = Instant::now() + SILENCE;
        Ok(())
    }

    /// Statuses come under the request's own inbox; messages come under the subject they were published to.
    fn is_current(&self, subject: &Subject) -> bool {
        let number = subject.as_str().rsplit('.').next();
        number.and_then(|n| n.parse().ok()) == Some(self.request)
    }
}

fn refusal(status: StatusCode, description: Option<String>) -> PullError {
    let text = description.unwrap_or_default();
    match status {
        StatusCode::NO_RESPONDERS => PullError::Gone("no responders".to_owned()),
        _ if text == "Consumer Deleted" || text == "Consumer is push based" => PullError::Gone(text),
        _ => PullError::Refused(format!("{status} {text}")),
    }
}
