//! What became known, as events: `account.discovered`, `contact.identified`, `identity.merged`,
//! `identity.account_linked`.

use std::sync::Arc;

use contracts::events::v1::{
    AccountDiscovered, ContactIdentified, IdentityAccountLinked, IdentityAccountMerged, IdentityMerged,
};
use contracts::identity::v1::Identity;
use contracts::{Envelope, Event, convert};
use ids::{EventId, IdGen, OrgId};
use jiff::Timestamp;
use uuid::Uuid;

use super::resolution;
use crate::domain::{Account, AccountKeyKind, Actor, Announcement, IdentityKey, Stated, Told};

/// The events, in the order of the announcements; their ids increase in it.
#[must_use]
pub fn announcements(org: OrgId, told: &[Announcement], now: Timestamp, ids: &dyn IdGen) -> Vec<Envelope> {
    let telling = Telling { org, now, ids };
    told.iter()
        .map(|announcement| match announcement {
            Announcement::Account(account, told) => telling.event(&discovered(account, told), account.id),
            Announcement::Person(person, told) => telling.event(&identified(person, told), person.id),
            Announcement::Merged {
                from,
                into,
                account,
                told,
            } => telling.event(&merged(*from, *into, *account, told), *into),
            Announcement::AccountMerged { from, into } => telling.event(
                &IdentityAccountMerged {
                    from_account_id: from.to_string(),
                    account_id: into.to_string(),
                },
                *into,
            ),
            Announcement::Linked {
                person,
                account,
                told,
            } => telling.event(&linked(*person, *account, told), *person),
        })
        .collect()
}

struct Telling<'a> {
    org: OrgId,
    now: Timestamp,
    ids: &'a dyn IdGen,
}

impl Telling<'_> {
    fn event<E: Event>(&self, event: &E, about: Uuid) -> Envelope {
        Envelope::wrap(
            event,
            EventId::new(self.ids),
            self.org,
            about.to_string(),
            self.now,
        )
    }
}

fn discovered(account: &Account, told: &Told) -> AccountDiscovered {
    let firm = &account.firmographics;
    let key = |kind| account.first(kind).map(|value| value.to_string());
    AccountDiscovered {
        account_id: account.id.to_string(),
        revision: account.revision,
        domain: key(AccountKeyKind::Domain),
        name: text(&account.name),
        github_org: key(AccountKeyKind::GithubOrg),
        employees: firm.employees.as_ref().map(|stated| stated.value),
        industry: text(&firm.industry),
        country: text(&firm.country),
        funding_stage: text(&firm.funding_stage),
        resolution: Some(resolution(told.rule, &told.evidence)),
        signal_id: told.signal.to_string(),
        first_seen_at: Some(convert::timestamp(account.first_seen)),
    }
}

fn identified(person: &Actor, told: &Told) -> ContactIdentified {
    ContactIdentified {
        contact_id: person.id.to_string(),
        revision: person.revision,
        account_id: person.link.as_ref().map(|link| link.account.to_string()),
        identities: person.identities.iter().map(identity).collect(),
        name: text(&person.traits.name),
        title: text(&person.traits.title),
        company: text(&person.traits.company),
        avatar_url: text(&person.traits.avatar_url),
        resolution: Some(resolution(told.rule, &told.evidence)),
        signal_id: told.signal.to_string(),
        first_seen_at: Some(convert::timestamp(person.first_seen)),
        last_seen_at: Some(convert::timestamp(told.at)),
    }
}

fn identity(key: &IdentityKey) -> Identity {
    Identity {
        r#type: key.kind.name().to_owned(),
        value: key.value.to_string(),
        // Nothing in a signal says yet that its source vouches for it.
        verified: false,
        confidence: key.kind.rule().confidence(),
    }
}

fn merged(from: Uuid, into: Uuid, account: Option<Uuid>, told: &Told) -> IdentityMerged {
    IdentityMerged {
        from_actor_id: from.to_string(),
        contact_id: into.to_string(),
        account_id: account.map(|id| id.to_string()),
        resolution: Some(resolution(told.rule, &told.evidence)),
        signal_id: told.signal.to_string(),
    }
}

fn linked(person: Uuid, account: Uuid, told: &Told) -> IdentityAccountLinked {
    IdentityAccountLinked {
        contact_id: person.to_string(),
        account_id: account.to_string(),
        resolution: Some(resolution(told.rule, &told.evidence)),
        signal_id: told.signal.to_string(),
    }
}

fn text(stated: &Option<Stated<Arc<str>>>) -> Option<String> {
    stated.as_ref().map(|stated| stated.value.to_string())
}
