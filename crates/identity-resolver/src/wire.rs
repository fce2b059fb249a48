//! Between the wire and the domain: what a signal claims, and what is told of decisions.

use contracts::convert;
use contracts::events::v1 as events;
use contracts::identity::v1::Identity;
use contracts::signals::v1::{Resolution, Signal};
use contracts::{Envelope, Event};
use ids::{Clock, EventId, IdGen, OrgId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::SERVICE;
use crate::domain::{
    Account, AccountFacts, AccountKeyKind, Actor, ActorFacts, Announcement, Attribution, Because, Claims,
    Observation, Seen, Stated, Told,
};
use crate::error::ResolveError;

/// What a signal claims, and when it happened.
pub(crate) fn claims(signal: &Signal) -> Result<(Claims, Seen), ResolveError> {
    let id: Uuid = signal
        .id
        .parse()
        .map_err(|_| ResolveError::Malformed("signal id"))?;
    let at = signal.timestamp.as_ref().and_then(convert::from_timestamp);
    let seen = Seen {
        signal: id,
        at: at.ok_or(ResolveError::Malformed("timestamp"))?,
    };
    let observation = Observation {
        anonymous_id: signal.anonymous_id.as_deref(),
        actor: signal.actor.as_ref().map(actor_facts).unwrap_or_default(),
        account: signal.account.as_ref().map(account_facts).unwrap_or_default(),
    };
    Ok((Claims::of(&observation), seen))
}

fn actor_facts(actor: &contracts::signals::v1::Actor) -> ActorFacts<'_> {
    ActorFacts {
        email: actor.email.as_deref(),
        github: actor.github.as_deref(),
        npm: actor.npm.as_deref(),
        pypi: actor.pypi.as_deref(),
        twitter: actor.twitter.as_deref(),
        linkedin: actor.linkedin.as_deref(),
        user_id: actor.user_id.as_deref(),
        phone: actor.phone.as_deref(),
        name: actor.name.as_deref(),
        title: actor.title.as_deref(),
        company: actor.company.as_deref(),
        avatar_url: actor.avatar_url.as_deref(),
    }
}

fn account_facts(account: &contracts::signals::v1::AccountHint) -> AccountFacts<'_> {
    AccountFacts {
        domain: account.domain.as_deref(),
        name: account.name.as_deref(),
        github_org: account.github_org.as_deref(),
        employees: account.employees,
        industry: account.industry.as_deref(),
        country: account.country.as_deref(),
        funding_stage: account.funding_stage.as_deref(),
    }
}

/// Writes what was decided into the signal.
pub(crate) fn attribute(signal: &mut Signal, attribution: Attribution) {
    if let Some((actor, because)) = attribution.actor {
        signal.actor_id = Some(actor.to_string());
        signal.contact_id = attribution.is_person.then(|| actor.to_string());
        signal.actor_resolution = Some(resolution(&because));
    }
    if let Some((account, because)) = attribution.account {
        signal.account_id = Some(account.to_string());
        signal.account_resolution = Some(resolution(&because));
    }
}

fn resolution(because: &Because) -> Resolution {
    Resolution {
        rule: because.rule.name().to_owned(),
        evidence: because.evidence.to_string(),
        confidence: because.rule.confidence(),
    }
}

fn told(told: &Told) -> Option<Resolution> {
    Some(Resolution {
        rule: told.rule.name().to_owned(),
        evidence: told.evidence.to_string(),
        confidence: told.rule.confidence(),
    })
}

/// Puts events into envelopes.
pub(crate) struct Announcer<'a> {
    /// Whose they are.
    pub(crate) org: OrgId,
    /// New ids.
    pub(crate) ids: &'a dyn IdGen,
    /// The time.
    pub(crate) clock: &'a dyn Clock,
}

impl Announcer<'_> {
    /// An event about `about`.
    pub(crate) fn wrap<E: Event>(&self, event: &E, about: String) -> Envelope {
        Envelope::wrap(
            event,
            EventId::new(self.ids),
            self.org,
            about,
            SERVICE,
            self.clock.now(),
        )
    }

    /// What was decided, as an event.
    pub(crate) fn announce(&self, announcement: &Announcement) -> Envelope {
        match announcement {
            Announcement::Account(account, why) => {
                self.wrap(&account_discovered(account, why), account.id.to_string())
            }
            Announcement::Person(actor, why) => {
                self.wrap(&contact_identified(actor, why), actor.id.to_string())
            }
            Announcement::Merged {
                from,
                into,
                account,
                told: why,
            } => {
                let event = events::IdentityMerged {
                    from_actor_id: from.to_string(),
                    contact_id: into.to_string(),
                    account_id: account.map(|id| id.to_string()),
                    resolution: told(why),
                    signal_id: why.signal.to_string(),
                };
                self.wrap(&event, into.to_string())
            }
            Announcement::Linked {
                person,
                account,
                told: why,
            } => {
                let event = events::IdentityAccountLinked {
                    contact_id: person.to_string(),
                    account_id: account.to_string(),
                    resolution: told(why),
                    signal_id: why.signal.to_string(),
                };
                self.wrap(&event, person.to_string())
            }
        }
    }
}

fn account_discovered(account: &Account, why: &Told) -> events::AccountDiscovered {
    let facts = &account.firmographics;
    let first = |kind| account.first(kind).map(ToString::to_string);
    events::AccountDiscovered {
        account_id: account.id.to_string(),
        revision: account.revision,
        domain: first(AccountKeyKind::Domain),
        name: text(account.name.as_ref()),
        github_org: first(AccountKeyKind::GithubOrg),
        employees: facts.employees.as_ref().map(|stated| stated.value),
        industry: text(facts.industry.as_ref()),
        country: text(facts.country.as_ref()),
        funding_stage: text(facts.funding_stage.as_ref()),
        resolution: told(why),
        signal_id: why.signal.to_string(),
        first_seen_at: time(account.first_seen),
    }
}

fn contact_identified(actor: &Actor, why: &Told) -> events::ContactIdentified {
    let identity = |key: &crate::domain::IdentityKey| Identity {
        r#type: key.kind.name().to_owned(),
        value: key.value.to_string(),
        verified: false,
        confidence: key.kind.rule().confidence(),
    };
    events::ContactIdentified {
        contact_id: actor.id.to_string(),
        revision: actor.revision,
        account_id: actor.link.as_ref().map(|link| link.account.to_string()),
        identities: actor.identities.iter().map(identity).collect(),
        name: text(actor.traits.name.as_ref()),
        title: text(actor.traits.title.as_ref()),
        company: text(actor.traits.company.as_ref()),
        avatar_url: text(actor.traits.avatar_url.as_ref()),
        resolution: told(why),
        signal_id: why.signal.to_string(),
        first_seen_at: time(actor.first_seen),
        last_seen_at: time(actor.last_seen),
    }
}

fn text(stated: Option<&Stated<std::sync::Arc<str>>>) -> Option<String> {
    stated.map(|stated| stated.value.to_string())
}

#[expect(clippy::unnecessary_wraps, reason = "message fields are optional on the wire")]
fn time(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(convert::timestamp(at))
}
