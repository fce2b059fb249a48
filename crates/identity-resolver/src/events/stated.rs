//! `people.stated` and `companies.stated`: persons and companies that were recorded by hand, with their ids in crm.
//!
//! They go through the same units as signals: who is not known gets the id of crm, who is known is told to be that one.

use std::sync::Arc;

use contracts::crm::v1::{CompaniesStated, PeopleStated};
use contracts::{Envelope, Event as _, convert};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::{AccountId, BatchId, ContactId};

use super::Accepted;
use super::accepted::{micros, unreadable};
use crate::domain::{AccountFacts, ActorFacts, Claims, IdentityKey, IdentityKind, Observation, Seen};
use crate::resolver::Resolver;

/// The event about persons.
pub const PEOPLE: &str = PeopleStated::TYPE;
/// The event about companies.
pub const COMPANIES: &str = CompaniesStated::TYPE;

/// Reads `people.stated`.
///
/// # Errors
/// Poison: the payload is not such an event, or holds ids that are none.
pub fn people(envelope: &Envelope) -> Result<Accepted, HandlerError> {
    let event: PeopleStated = envelope.read()?;
    let claims = event.people.iter().map(|person| {
        let id: ContactId = person
            .contact_id
            .parse()
            .map_err(|_| unreadable("contact_id is no id"))?;
        let of_kind = |kind: &str| {
            person
                .identities
                .iter()
                .find(|identity| identity.r#type == kind)
                .map(|identity| identity.value.as_str())
        };
        let observation = Observation {
            actor: ActorFacts {
                email: of_kind("email"),
                github: of_kind("github"),
                phone: of_kind("phone"),
                name: person.name.as_deref(),
                title: person.title.as_deref(),
                company: person.company.as_deref(),
                ..ActorFacts::default()
            },
            ..Observation::default()
        };
        // What was told by us before is in normal form; what a person wrote is read like a signal's.
        let others = person.identities.iter().filter_map(|identity| {
            let kind = IdentityKind::parse(&identity.r#type).filter(|kind| kind.is_strong())?;
            let first = of_kind(&identity.r#type) == Some(identity.value.as_str());
            (!first).then(|| IdentityKey::new(kind, identity.value.as_str()))
        });
        let claims = Claims::of(&observation)
            .of_person(id.uuid(), others.collect())
            .quietly(event.quiet);
        Ok((claims, seen(envelope, person.stated_at.as_ref())))
    });
    batch(envelope, claims.collect::<Result<_, HandlerError>>()?)
}

/// Reads `companies.stated`.
///
/// # Errors
/// As [`people`].
pub fn companies(envelope: &Envelope) -> Result<Accepted, HandlerError> {
    let event: CompaniesStated = envelope.read()?;
    let claims = event.companies.iter().map(|company| {
        let id: AccountId = company
            .account_id
            .parse()
            .map_err(|_| unreadable("account_id is no id"))?;
        let observation = Observation {
            account: AccountFacts {
                domain: company.domain.as_deref(),
                name: company.name.as_deref(),
                github_org: company.github_org.as_deref(),
                ..AccountFacts::default()
            },
            ..Observation::default()
        };
        let claims = Claims::of(&observation)
            .of_company(id.uuid())
            .quietly(event.quiet);
        Ok((claims, seen(envelope, company.stated_at.as_ref())))
    });
    batch(envelope, claims.collect::<Result<_, HandlerError>>()?)
}

fn batch(envelope: &Envelope, claims: Vec<(Claims, Seen)>) -> Result<Accepted, HandlerError> {
    Ok(Accepted {
        id: BatchId(envelope.id.uuid()),
        org: envelope.org(),
        signals: Vec::new(),
        claims,
        traceparent: envelope.traceparent.clone(),
    })
}

fn seen(envelope: &Envelope, at: Option<&prost_types::Timestamp>) -> Seen {
    Seen {
        signal: envelope.id.uuid(),
        at: micros(at.and_then(convert::from_timestamp).unwrap_or(envelope.time)),
    }
}

/// Hands persons to the resolver.
pub struct PeopleHandler(pub Arc<Resolver>);

impl Handler for PeopleHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let batch = people(&envelope)?;
        self.0.resolve(batch).await.map_err(HandlerError::retry)
    }
}

/// Hands companies to the resolver.
pub struct CompaniesHandler(pub Arc<Resolver>);

impl Handler for CompaniesHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let batch = companies(&envelope)?;
        self.0.resolve(batch).await.map_err(HandlerError::retry)
    }
}
