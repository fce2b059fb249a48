//! `account.discovered`: a company became known, or more became known about it.

use contracts::events::v1 as events;
use eventbus::HandlerError;

use super::id;
use super::together::{Frequent, Together};
use crate::domain::account::{AccountFacts, Profile};
use crate::error::CrmError;
use crate::store::{Delivered, Outcome, Records, ToldCompany};

/// Records the company.
pub type AccountDiscovered = Together<events::AccountDiscovered>;

impl Frequent for events::AccountDiscovered {
    const CONSUMER: &'static str = "crm_account_discovered";
    const LANE: &'static str = "companies";
    type Fact = ToldCompany;

    fn read(self, _: &Delivered) -> Result<ToldCompany, HandlerError> {
        Ok((id("account_id", &self.account_id)?, facts(self)))
    }

    async fn learn(records: &Records, told: &[(Delivered, ToldCompany)]) -> Result<Vec<Outcome>, CrmError> {
        records.learn_accounts(told).await
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
