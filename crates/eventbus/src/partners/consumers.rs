//! The consumers that partners read from: their names, what they look like, and keeping them as the directory says.
//!
//! A consumer that the broker lost is made again from its start: a partner then sees events again that it had seen, with
//! the same ids, and never misses one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use contracts::StreamKind;
use futures::TryStreamExt as _;
use ids::OrgId;
use jiff::Timestamp;
use lifecycle::{Shutdown, TaskError};
use uuid::Uuid;

use super::{Directory, Partners};
use crate::{BusError, attach, time};

/// What partners' clients call the JetStream that they read: the broker imports ours under this name.
pub const DOMAIN: &str = "DEVSIGNAL";
const PREFIX: &str = "partner_";
/// Also without a word from anybody: a broker may lose a consumer.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Events that were delivered and not acknowledged: more wait at the broker.
const MAX_ACK_PENDING: i64 = 1_000;
/// Pulls that wait at the same time, of all of a credential's connections.
const MAX_WAITING: i64 = 64;
const MAX_BATCH: i64 = 1_000;
const MAX_EXPIRES: Duration = Duration::from_secs(120);

/// A consumer of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerConsumer {
    /// Whose it is.
    pub credential: Uuid,
    /// 1 to the credential's most.
    pub slot: u16,
    /// Whose events.
    pub org: OrgId,
    /// Event types; empty for all.
    pub types: Vec<String>,
    /// The first event: the first since then.
    pub start: Timestamp,
    /// One event at a time: in order also when one has to be delivered again.
    pub ordered: bool,
}

/// How far a consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerState {
    /// Events that wait.
    pub pending: u64,
    /// Events that were delivered and not acknowledged.
    pub unacknowledged: u64,
}

impl PartnerConsumer {
    /// Its name at the broker.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.credential, self.slot)
    }
}

pub(super) fn name_of(credential: Uuid, slot: u16) -> String {
    format!("{PREFIX}{}_{slot}", credential.simple())
}

/// What a partner's client must be told to use for answers: nobody else may listen there.
pub(super) fn inbox_of(credential: Uuid) -> String {
    format!("_INBOX_{}", credential.simple())
}

/// All that a partner may say about one consumer.
pub(super) fn subjects(stream: &str, consumer: &str) -> [String; 3] {
    [
        format!("$JS.{DOMAIN}.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
        format!("$JS.{DOMAIN}.API.CONSUMER.INFO.{stream}.{consumer}"),
        format!("$JS.ACK.{stream}.{consumer}.>"),
    ]
}

impl Partners {
    /// The inbox prefix that a credential's clients must use.
    #[must_use]
    pub fn inbox_of(credential: Uuid) -> String {
        inbox_of(credential)
    }

    /// Makes the consumer; harmless if it is there.
    ///
    /// # Errors
    /// The broker refuses or does not answer. It is made later, by itself.
    pub async fn ensure(&self, consumer: &PartnerConsumer) -> Result<(), BusError> {
        let config = self.config(consumer)?;
        let made = self
            .bus
            .js()
            .create_consumer_on_stream(config, self.stream())
            .await;
        made.map_err(|error| BusError::broker("create partner's consumer", error))?;
        Ok(())
    }

    /// Removes the consumer; harmless if it is gone.
    ///
    /// # Errors
    /// The broker refuses or does not answer. It is removed later, by itself.
    pub async fn remove(&self, name: &str) -> Result<(), BusError> {
        let found = attach::info(&self.bus, &self.stream(), name).await;
        if found.is_err_and(|error| error.kind() == ConsumerInfoErrorKind::NotFound) {
            return Ok(());
        }
        let removed = self
            .bus
            .js()
            .delete_consumer_from_stream(name, self.stream())
            .await;
        removed.map_err(|error| BusError::broker("delete partner's consumer", error))?;
        Ok(())
    }

    /// How far the consumer is; `None` while the broker has none such.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn state(&self, consumer: &PartnerConsumer) -> Result<Option<ConsumerState>, BusError> {
        match attach::info(&self.bus, &self.stream(), &consumer.name()).await {
            Ok(info) => Ok(Some(ConsumerState {
                pending: info.num_pending,
                unacknowledged: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
            })),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(BusError::broker("get partner's consumer", error)),
        }
    }

    fn config(&self, consumer: &PartnerConsumer) -> Result<pull::Config, BusError> {
        let name = consumer.name();
        let refuse = |reason| BusError::Spec {
            consumer: name.clone(),
            reason,
        };
        let start_time = time::datetime(consumer.start).ok_or_else(|| refuse("its start is out of range"))?;
        let root = format!("{}.{}", StreamKind::Events.root(), consumer.org);
        let filters = if consumer.types.is_empty() {
            vec![self.bus.names().qualified(&format!("{root}.>"))]
        } else {
            let each = consumer.types.iter().map(|kind| {
                let known = contracts::type_of(kind).filter(|(_, stream)| *stream == StreamKind::Events);
                // Only known types: text of a stranger must not become a subject.
                known.map(|(kind, _)| self.bus.names().qualified(&format!("{root}.{kind}")))
            });
            each.collect::<Option<_>>()
                .ok_or_else(|| refuse("it names an unknown event"))?
        };
        Ok(pull::Config {
            durable_name: Some(name.clone()),
            filter_subjects: filters,
            deliver_policy: DeliverPolicy::ByStartTime { start_time },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: if consumer.ordered { 1 } else { MAX_ACK_PENDING },
            max_waiting: MAX_WAITING,
            max_batch: MAX_BATCH,
            max_expires: MAX_EXPIRES,
            ..pull::Config::default()
        })
    }

    /// Makes what is missing and removes what nobody has.
    async fn reconcile(&self, directory: &impl Directory) -> anyhow::Result<()> {
        // The broker first: what it has and the directory does not know then, nobody is about to make.
        let stream = self.bus.js().get_stream(self.stream()).await?;
        let names: BTreeSet<String> = stream.consumer_names().try_collect().await?;
        let wanted: BTreeMap<String, PartnerConsumer> = directory
            .consumers()
            .await?
            .into_iter()
            .map(|c| (c.name(), c))
            .collect();
        for (_, consumer) in wanted.iter().filter(|(name, _)| !names.contains(*name)) {
            self.ensure(consumer).await?;
        }
        for name in names
            .iter()
            .filter(|n| n.starts_with(PREFIX) && !wanted.contains_key(*n))
        {
            self.remove(name).await?;
        }
        Ok(())
    }
}

/// Keeps the consumers after every connect, on a word, and now and then.
pub(super) async fn keep<D: Directory>(
    partners: Partners,
    directory: Arc<D>,
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    let mut epochs = partners.bus.epochs();
    loop {
        let pause = match partners.reconcile(&*directory).await {
            Ok(()) => LOOK_INTERVAL,
            Err(error) => {
                tracing::warn!(%error, "partners' consumers could not be looked after");
                RETRY
            }
        };
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = partners.look.notified() => {}
            changed = epochs.changed() => changed?,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
