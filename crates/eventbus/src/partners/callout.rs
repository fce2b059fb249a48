//! Answering the broker's question who a partner is.
//!
//! Owns the subscription to `$SYS.REQ.USER.AUTH`. Of several processes one answers each question. Whatever fails is a
//! refusal: the client comes back.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures::StreamExt as _;
use lifecycle::{Shutdown, TaskError};
use uuid::Uuid;

use super::answer::{Pass, Question, answer};
use super::directory::{Directory, Grant};
use super::key::IssuerKey;
use super::watch::Counts;
use crate::Bus;

/// Where the broker asks who somebody is.
pub(crate) const QUESTIONS: &str = "$SYS.REQ.USER.AUTH";
const GROUP: &str = "devsignal-partners";
/// Questions worked on at the same time: each is one short query.
const AT_ONCE: usize = 32;
/// The broker waits five seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

pub(super) struct Callout<D> {
    pub(super) bus: Bus,
    pub(super) key: IssuerKey,
    pub(super) account: String,
    pub(super) directory: Arc<D>,
    pub(super) counts: Counts,
}

impl<D: Directory> Callout<D> {
    pub(super) async fn run(self: Arc<Self>, shutdown: Shutdown) -> Result<(), TaskError> {
        let questions = self
            .bus
            .client()
            .queue_subscribe(QUESTIONS, GROUP.to_owned())
            .await?;
        let answering = questions.for_each_concurrent(AT_ONCE, |message| self.answer(message));
        tokio::select! {
            () = shutdown.requested() => Ok(()),
            () = answering => Err("the subscription to the broker's questions ended".into()),
        }
    }

    async fn answer(&self, message: Message) {
        let (Some(reply), Some(question)) = (message.reply, Question::read(&message.payload)) else {
            tracing::warn!("a question about a partner could not be read");
            return;
        };
        let stream = self.bus.names().stream(contracts::StreamKind::Events);
        let admitted = tokio::time::timeout(ANSWER_WITHIN, self.admit(&question)).await;
        let verdict = match &admitted {
            Ok(Ok((credential, grant))) => Ok(Pass {
                account: &self.account,
                credential: *credential,
                grant,
                stream: &stream,
            }),
            Ok(Err(reason)) => Err(*reason),
            Err(_) => Err("no answer in time"),
        };
        if let Err(reason) = &verdict {
            tracing::info!(user = %question.user.escape_debug(), reason, "a partner was refused");
        }
        let text = answer(&self.key, &question, verdict, self.bus.now().as_second());
        if let Err(error) = self.bus.client().publish(reply, text.into()).await {
            tracing::warn!(%error, "a partner could not be answered for");
        }
    }

    async fn admit(&self, question: &Question) -> Result<(Uuid, Grant), &'static str> {
        let credential = Uuid::try_parse(&question.user).map_err(|_| "the user is no credential's id")?;
        let found = self.directory.admit(credential, &question.password).await;
        let grant = match found {
            Ok(Some(grant)) => grant,
            Ok(None) => return Err("unknown, ended, or the wrong password"),
            Err(error) => {
                tracing::warn!(%error, "a credential could not be looked up");
                return Err("not available");
            }
        };
        if self.counts.of(credential) >= grant.max_connections {
            return Err("too many connections");
        }
        Ok((credential, grant))
    }
}
