//! `signals.recorded`: a meaningful product action of an account moves its deals. Other signals are not looked at.

use std::collections::BTreeMap;

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::AccountId;

use super::{Desk, delivered, id};
use crate::domain::deal::{Milestone, is_activation};

pub(super) const EVENT: &str = events::SignalsRecorded::TYPE;
const CONSUMER: &str = "crm_signals_recorded";

/// Notes which accounts were activated.
pub struct SignalsRecorded(pub Desk);

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
                reasons
                    .entry(account)
                    .or_insert_with(|| format!("{} (signal {})", signal.r#type, signal.id));
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        let delivered = delivered(&envelope, CONSUMER);
        let outcome = self
            .0
            .records
            .progress(&delivered, Milestone::Activated, &reasons)
            .await;
        self.0.settle(EVENT, outcome)
    }
}
