//! `account.created` and `account.updated`: what crm has recorded about a company, edits by hand included.

use contracts::{Envelope, crm::v1 as crm, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Companies, firmographics, id, unreadable};
use crate::store::{Company, Source};

const CREATED: &str = "scoring_account_created";
const UPDATED: &str = "scoring_account_updated";

/// Keeps what is recorded of a new account.
pub struct AccountCreated(pub Companies);

/// Keeps what is recorded of a changed account.
pub struct AccountUpdated(pub Companies);

impl Handler for AccountCreated {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::AccountCreated = envelope.read()?;
        keep(&self.0, &envelope, CREATED, event.account).await
    }
}

impl Handler for AccountUpdated {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::AccountUpdated = envelope.read()?;
        keep(&self.0, &envelope, UPDATED, event.account).await
    }
}

async fn keep(
    companies: &Companies,
    envelope: &Envelope,
    consumer: &'static str,
    account: Option<crm::Account>,
) -> Result<(), HandlerError> {
    let account = account.ok_or_else(|| unreadable("there is no account"))?;
    let company = Company {
        account: id("account.id", &account.id)?,
        source: Source::Recorded,
        revision: account.version,
        firmographics: firmographics(
            account.employees,
            account.industry,
            account.country,
            account.funding_stage,
        ),
    };
    companies.learn(envelope, consumer, company).await
}
