//! Persons and companies that were recorded by hand in crm, under ids of its own.

use contracts::crm::v1::{CompaniesStated, PeopleStated, StatedCompany, StatedPerson};
use contracts::identity::v1::Identity;
use contracts::{Envelope, Event};
use identity_resolver::events::{companies, people};
use ids::{EventId, IdGen as _, OrgId, SystemIds};
use uuid::Uuid;

use crate::harness::*;

fn envelope<E: Event>(org: OrgId, event: &E) -> Envelope {
    Envelope::wrap(event, EventId::new(&SystemIds), org, "x".into(), now())
}

fn person(id: Uuid, identities: &[(&str, &str)]) -> PeopleStated {
    let identities = identities.iter().map(|(kind, value)| Identity {
        r#type: (*kind).to_owned(),
        value: (*value).to_owned(),
        verified: false,
        confidence: 0.95,
    });
    PeopleStated {
        quiet: false,
        people: vec![StatedPerson {
            contact_id: id.to_string(),
            identities: identities.collect(),
            name: Some("Jane".into()),
            ..StatedPerson::default()
        }],
    }
}

fn company(id: Uuid, domain: &str) -> CompaniesStated {
    CompaniesStated {
        quiet: false,
        companies: vec![StatedCompany {
            account_id: id.to_string(),
            domain: Some(domain.into()),
            ..StatedCompany::default()
        }],
    }
}

async fn state_person(replica: &Replica, envelope: &Envelope) {
    replica.resolver.resolve(people(envelope).unwrap()).await.unwrap();
}

async fn state_company(replica: &Replica, envelope: &Envelope) {
    replica
        .resolver
        .resolve(companies(envelope).unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn who_is_not_known_gets_the_id_they_were_recorded_with() {
    let base = Base::create().await;
    let replica = base.replica();
    let id = SystemIds.next();
    let event = envelope(org(1), &person(id, &[("email", "jane@acme.com")]));
    state_person(&replica, &event).await;
    state_person(&replica, &event).await;
    let batch = replica.resolve(org(1), &["email=Jane@Acme.com"]).await;
    let told = base.told().await;
    assert_eq!(
        told.kinds,
        ["account.discovered", "contact.identified", "signals.resolved"]
    );
    assert_eq!(told.contacts[0].contact_id, id.to_string());
    assert_eq!(told.contacts[0].name.as_deref(), Some("Jane"));
    assert_eq!(told.batch(batch)[0].contact_id, Some(id.to_string()));
}

#[tokio::test]
async fn who_is_imported_is_told_of_when_a_signal_names_them() {
    let base = Base::create().await;
    let (one, two) = (base.replica(), base.replica());
    let (jane, firm) = (SystemIds.next(), SystemIds.next());
    let quiet = PeopleStated {
        quiet: true,
        ..person(jane, &[("email", "jane@acme.com")])
    };
    state_person(&one, &envelope(org(1), &quiet)).await;
    let quiet = CompaniesStated {
        quiet: true,
        ..company(firm, "acme.com")
    };
    state_company(&one, &envelope(org(1), &quiet)).await;
    assert!(base.told().await.kinds.is_empty(), "nobody hears of an import");
    let batch = two.resolve(org(1), &["email=jane@acme.com"]).await;
    let told = base.told().await;
    assert_eq!(told.batch(batch)[0].contact_id, Some(jane.to_string()));
    assert_eq!((told.contacts.len(), told.accounts.len()), (1, 1));
    assert_eq!(told.contacts[0].contact_id, jane.to_string());
    assert_eq!(told.contacts[0].account_id, Some(firm.to_string()));
    assert_eq!(told.accounts[0].account_id, firm.to_string());
    one.resolve(org(1), &["email=jane@acme.com"]).await;
    assert_eq!(base.told().await.contacts.len(), 1, "once");
}

#[tokio::test]
async fn who_is_known_is_told_to_be_that_one_once_whatever_replica_hears_of_it() {
    let base = Base::create().await;
    let (one, two) = (base.replica(), base.replica());
    one.resolve(org(1), &["email=jane@acme.com"]).await;
    let id = SystemIds.next();
    let event = envelope(org(1), &person(id, &[("email", "jane@acme.com")]));
    state_person(&two, &event).await;
    state_person(&one, &event).await;
    let told = base.told().await;
    assert_eq!(told.merged.len(), 1);
    assert_eq!(told.merged[0].from_actor_id, id.to_string());
    assert_eq!(told.merged[0].contact_id, told.contacts[0].contact_id);
    assert_eq!(told.merged[0].account_id, told.contacts[0].account_id);
    // In another organization it is somebody else.
    let other = envelope(org(2), &person(id, &[("email", "jane@acme.com")]));
    state_person(&one, &other).await;
    assert_eq!(base.told().await.merged.len(), 1, "none besides the one before");
}

#[tokio::test]
async fn an_address_added_by_hand_goes_to_the_person_and_takes_nobody_elses_away() {
    let base = Base::create().await;
    let replica = base.replica();
    let id = SystemIds.next();
    state_person(
        &replica,
        &envelope(org(1), &person(id, &[("email", "jane@acme.com")])),
    )
    .await;
    replica.resolve(org(1), &["email=joe@acme.com"]).await;
    base.told().await;
    let more = person(id, &[("email", "jane@acme.com"), ("email", "j@acme.com")]);
    state_person(&replica, &envelope(org(1), &more)).await;
    let batch = replica.resolve(org(1), &["email=j@acme.com"]).await;
    assert_eq!(base.told().await.batch(batch)[0].contact_id, Some(id.to_string()));

    let joes = person(id, &[("email", "joe@acme.com"), ("email", "jane@acme.com")]);
    state_person(&replica, &envelope(org(1), &joes)).await;
    assert!(base.told().await.merged.is_empty(), "two who are known stay two");
}

#[tokio::test]
async fn companies_get_their_id_or_are_told_to_be_another() {
    let base = Base::create().await;
    let replica = base.replica();
    let (new, known) = (SystemIds.next(), SystemIds.next());
    state_company(&replica, &envelope(org(1), &company(new, "acme.com"))).await;
    let event = envelope(org(1), &company(known, "acme.com"));
    state_company(&replica, &event).await;
    state_company(&replica, &event).await;
    let told = base.told().await;
    assert_eq!(told.accounts[0].account_id, new.to_string());
    assert_eq!(told.accounts_merged.len(), 1);
    assert_eq!(told.accounts_merged[0].from_account_id, known.to_string());
    assert_eq!(told.accounts_merged[0].account_id, new.to_string());
    assert!(told.resolved.is_empty());
}

#[tokio::test]
async fn ids_that_are_none_are_poison() {
    let mut bad = person(Uuid::nil(), &[]);
    bad.people[0].contact_id = "x".into();
    assert!(people(&envelope(org(1), &bad)).is_err());
    let mut bad = company(Uuid::nil(), "acme.com");
    bad.companies[0].account_id = "x".into();
    assert!(companies(&envelope(org(1), &bad)).is_err());
}
