//! `signals.recorded`: a meaningful product action of an account moves its deals. Other signals are not looked at.

use std::collections::BTreeMap;

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::{AccountId, OrgId};
use moka::sync::Cache;

use super::{Desk, delivered, id};
use crate::domain::deal::{Milestone, is_activation};

pub(super) const EVENT: &str = events::SignalsRecorded::TYPE;
const CONSUMER: &str = "crm_signals_recorded";

/// Accounts of which it is remembered that they were activated; about 100 bytes each.
const REMEMBERED: u64 = 50_000;

/// Notes which accounts were activated.
pub struct SignalsRecorded {
    desk: Desk,
    /// Accounts that were activated, which is once and for all: of most signals this is all there is to know.
    activated: Cache<(OrgId, AccountId), ()>,
}

impl SignalsRecorded {
    /// A handler that remembers nothing yet.
    #[must_use]
    pub fn new(desk: Desk) -> Self {
        Self {
            desk,
            activated: Cache::new(REMEMBERED),
        }
    }
}

impl Handler for SignalsRecorded {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::SignalsRecorded = envelope.read()?;
        let mut reasons: BTreeMap<AccountId, String> = BTreeMap::new();
        for signal in event
            .signals
            .iter()
            .filter(|signal| is_activation(&signal.r#type))
        {
            if let Some(account) = &signal.account_id {
                let account = id("account_id", account)?;
                if self.activated.contains_key(&(envelope.org(), account)) {
                    continue;
                }
                reasons
                    .entry(account)
                    .or_insert_with(|| format!("{} (signal {})", signal.r#type, signal.id));
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        let delivered = delivered(&envelope, CONSUMER);
        let records = &self.desk.records;
        let outcome = records.progress(&delivered, Milestone::Activated, &reasons).await;
        if outcome.is_ok() {
            for account in reasons.into_keys() {
                self.activated.insert((envelope.org(), account), ());
            }
        }
        self.desk.settle(EVENT, outcome)
    }
}
