//! `identity.merged` and `identity.account_linked`: recorded signals are corrected.
//!
//! No inbox: the work is the same however often it is done, and a redelivery must finish what was cut.

use ::store::PipelineDb;
use contracts::events::v1::{IdentityAccountLinked, IdentityMerged};
use contracts::{Envelope, Event};
use eventbus::{Delivery as _, Handler, HandlerError};

use crate::metrics::IngestMetrics;
use crate::store::rewrite::{self, Link, Merge};

/// Moves the signals of actors that turned out to be somebody.
pub struct MergeHandler {
    /// The workers' role.
    pub db: PipelineDb,
    /// What is counted.
    pub metrics: IngestMetrics,
}

/// Gives signals the account of their person.
pub struct LinkHandler {
    /// The workers' role.
    pub db: PipelineDb,
    /// What is counted.
    pub metrics: IngestMetrics,
}

impl Handler for MergeHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: IdentityMerged = envelope.read()?;
        let account = event.account_id.as_deref().map(str::parse).transpose();
        let merge = Merge {
            event: envelope.id,
            from: event.from_actor_id.parse().map_err(HandlerError::poison)?,
            contact: event.contact_id.parse().map_err(HandlerError::poison)?,
            account: account.map_err(HandlerError::poison)?,
            resolution: event.resolution.unwrap_or_default(),
        };
        let changed = rewrite::merge(&self.db, envelope.org(), &merge).await?;
        self.metrics
            .rewritten
            .with_label_values(&[IdentityMerged::TYPE])
            .inc_by(changed);
        Ok(())
    }
}

impl Handler for LinkHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: IdentityAccountLinked = envelope.read()?;
        let link = Link {
            event: envelope.id,
            contact: event.contact_id.parse().map_err(HandlerError::poison)?,
            account: event.account_id.parse().map_err(HandlerError::poison)?,
            resolution: event.resolution.unwrap_or_default(),
        };
        let changed = rewrite::link(&self.db, envelope.org(), &link).await?;
        self.metrics
            .rewritten
            .with_label_values(&[IdentityAccountLinked::TYPE])
            .inc_by(changed);
        Ok(())
    }
}
