//! `account.discovered`: more became known about a company.

use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Companies, firmographics, id};
use crate::store::{Company, Source};

const CONSUMER: &str = "scoring_account_discovered";

/// Keeps what was learnt.
pub struct AccountDiscovered(pub Companies);

impl Handler for AccountDiscovered {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::AccountDiscovered = envelope.read()?;
        let company = Company {
            account: id("account_id", &event.account_id)?,
            source: Source::Discovered,
            revision: event.revision,
            firmographics: firmographics(
                event.employees,
                event.industry,
                event.country,
                event.funding_stage,
            ),
        };
        self.0.learn(&envelope, CONSUMER, company).await
    }
}
