//! Between our records and the messages of the contract. Must not: decide anything.

use contracts::convert::timestamp;
use contracts::crm::v1 as crm;
use contracts::identity::v1 as identity;

use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::identity::Identity;

/// An account as callers and events carry it.
#[must_use]
pub fn account(account: &Account) -> crm::Account {
    let profile = account.profile.clone();
    crm::Account {
        id: account.id.to_string(),
        name: profile.name,
        domain: profile.domain,
        github_org: profile.github_org,
        employees: profile.employees,
        industry: profile.industry,
        country: profile.country,
        funding_stage: profile.funding_stage,
        score: account.score.map(|score| i32::from(score.points)),
        tier: account.score.map_or(0, |score| score.tier.number()),
        trend: account.score.map_or(0, |score| score.trend.number()),
        scored_at: account.score.map(|score| timestamp(score.at)),
        contact_count: account.contact_count,
        created_at: Some(timestamp(account.created_at)),
        updated_at: Some(timestamp(account.updated_at)),
        version: account.version,
    }
}

/// A contact as callers and events carry it.
#[must_use]
pub fn contact(contact: &Contact) -> crm::Contact {
    crm::Contact {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        email: contact.email.clone(),
        title: contact.title.clone(),
        company: contact.company.clone(),
        avatar_url: contact.avatar_url.clone(),
        account_id: contact.account_id().map(|id| id.to_string()),
        identities: contact
            .visible_identities()
            .into_iter()
            .map(identity_message)
            .collect(),
        first_seen_at: contact.first_seen_at.map(timestamp),
        last_seen_at: contact.last_seen_at.map(timestamp),
        created_at: Some(timestamp(contact.created_at)),
        updated_at: Some(timestamp(contact.updated_at)),
        version: contact.version,
    }
}

fn identity_message(identity: Identity) -> identity::Identity {
    let Identity {
        kind,
        value,
        verified,
        confidence,
    } = identity;
    identity::Identity {
        r#type: kind,
        value,
        verified,
        confidence,
    }
}
