//! `contact.identified`: a person became known, or more became known about them.

use contracts::{events::v1 as events, identity::v1 as identity};
use eventbus::HandlerError;
use ids::{AccountId, ContactId};

use super::together::{Frequent, Together};
use super::{id, time, unreadable};
use crate::domain::contact::{ContactFacts, ToldAccount};
use crate::domain::identity::{Identity, MAX_TYPE, MAX_VALUE};
use crate::error::CrmError;
use crate::store::{Delivered, Outcome, Records};

/// Records the person.
pub type ContactIdentified = Together<events::ContactIdentified>;

impl Frequent for events::ContactIdentified {
    const CONSUMER: &'static str = "crm_contact_identified";
    const LANE: &'static str = "people";
    type Fact = ContactFacts;

    fn read(self, delivered: &Delivered) -> Result<ContactFacts, HandlerError> {
        facts(self, delivered)
    }

    async fn learn(records: &Records, told: &[(Delivered, ContactFacts)]) -> Result<Vec<Outcome>, CrmError> {
        records.learn_contacts(told).await
    }
}

fn facts(event: events::ContactIdentified, delivered: &Delivered) -> Result<ContactFacts, HandlerError> {
    let person: ContactId = id("contact_id", &event.contact_id)?;
    let account: Option<AccountId> = event
        .account_id
        .as_deref()
        .map(|text| id("account_id", text))
        .transpose()?;
    Ok(ContactFacts {
        person,
        revision: event.revision,
        account: account.map(|account| ToldAccount {
            at: delivered.at,
            by: delivered.event,
            account,
        }),
        identities: event
            .identities
            .into_iter()
            .map(one_identity)
            .collect::<Result<_, _>>()?,
        name: event.name,
        title: event.title,
        company: event.company,
        avatar_url: event.avatar_url,
        first_seen_at: time(event.first_seen_at.as_ref(), delivered.at),
        last_seen_at: time(event.last_seen_at.as_ref(), delivered.at),
    })
}

/// An identity is never cut: a part of it would be another identity.
fn one_identity(told: identity::Identity) -> Result<Identity, HandlerError> {
    let fits = |text: &str, max: usize| (1..=max).contains(&text.len()) && !text.contains('\0');
    if !fits(&told.r#type, MAX_TYPE) || !fits(&told.value, MAX_VALUE) {
        return Err(unreadable("an identity is empty, too long, or holds U+0000"));
    }
    let confidence = if told.confidence.is_nan() {
        0.0
    } else {
        told.confidence.clamp(0.0, 1.0)
    };
    Ok(Identity {
        kind: told.r#type,
        value: told.value,
        verified: told.verified,
        confidence,
    })
}
