//! `account.expansion_signal`: the account came close to a limit of its plan; its deals move.

use std::collections::BTreeMap;

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::AccountId;

use super::{Desk, delivered, id};
use crate::domain::deal::Milestone;

pub(super) const EVENT: &str = events::AccountExpansionSignal::TYPE;
const CONSUMER: &str = "crm_account_expansion_signal";

/// Notes the milestone.
pub struct AccountExpansionSignal(pub Desk);

impl Handler for AccountExpansionSignal {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::AccountExpansionSignal = envelope.read()?;
        let delivered = delivered(&envelope, CONSUMER);
        let account: AccountId = id("account_id", &event.account_id)?;
        let percent = (event.limit_ratio * 100.0).round();
        let reason = format!("the account uses {percent} % of a limit of its plan");
        let reasons = BTreeMap::from([(account, reason)]);
        let outcome = self
            .0
            .records
            .progress(&delivered, Milestone::ExpansionSignal, &reasons)
            .await;
        self.0.settle(EVENT, outcome)
    }
}
