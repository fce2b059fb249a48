//! Who answers for credentials and consumers: the service that stores them.

use std::collections::HashMap;
use std::future::Future;

use uuid::Uuid;

use super::PartnerConsumer;

/// What a credential is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Connections at once.
    pub max_connections: u32,
    /// Subscriptions of one connection.
    pub max_subscriptions: u32,
    /// Consumers that it may read: those that there are and those that may come, so that a new one needs no new
    /// connection.
    pub max_consumers: u16,
}

/// What is stored about partners. Every method may fail, and is asked again.
pub trait Directory: Send + Sync + 'static {
    /// What the credential is good for; `None` if there is none such, the password is wrong, or it has ended.
    fn admit(
        &self,
        credential: Uuid,
        password: &str,
    ) -> impl Future<Output = anyhow::Result<Option<Grant>>> + Send;

    /// Those of the credentials that are still good, each with the connections it may have.
    fn standing(
        &self,
        credentials: &[Uuid],
    ) -> impl Future<Output = anyhow::Result<HashMap<Uuid, u32>>> + Send;

    /// Every consumer of a credential that is still good.
    fn consumers(&self) -> impl Future<Output = anyhow::Result<Vec<PartnerConsumer>>> + Send;
}
