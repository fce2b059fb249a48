//! `account.discovered`: a company became known, or more became known about it.

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Desk, delivered, id};
use crate::domain::account::{AccountFacts, Profile};

pub(super) const EVENT: &str = events::AccountDiscovered::TYPE;
const CONSUMER: &str = "crm_account_discovered";

/// Records the company.
pub struct AccountDiscovered(pub Desk);

impl Handler for AccountDiscovered {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::AccountDiscovered = envelope.read()?;
        let account = id("account_id", &event.account_id)?;
        let facts = facts(event);
        let outcome = self
            .0
            .records
            .learn_account(&delivered(&envelope, CONSUMER), account, &facts)
            .await;
        self.0.settle(EVENT, outcome)
    }
}

fn facts(event: events::AccountDiscovered) -> AccountFacts {
    let profile = Profile {
        name: event.name.unwrap_or_default(),
        domain: event.domain,
        github_org: event.github_org,
        employees: event.employees,
        industry: event.industry,
        country: event.country,
        funding_stage: event.funding_stage,
    };
    AccountFacts {
        revision: event.revision,
        profile,
    }
}
