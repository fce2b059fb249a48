//! Units of work on one replica.

use crate::harness::*;

#[tokio::test]
async fn a_batch_is_told_with_actors_and_accounts_and_what_became_known() {
    let base = Base::create().await;
    let replica = base.replica();
    let text = "email=Jane@Acme.com; name=Jane; company=Acme, Inc.";
    let id = replica
        .resolve(org(1), &[text, "anon=a1", "email=noreply@github.com"])
        .await;
    let told = base.told().await;
    assert_eq!(
        told.kinds,
        ["account.discovered", "contact.identified", "signals.resolved"]
    );
    let (contact, account) = (&told.contacts[0], &told.accounts[0]);
    assert_eq!((contact.revision, account.revision), (1, 1));
    assert_eq!(contact.account_id.as_ref(), Some(&account.account_id));
    assert_eq!(
        (contact.name.as_deref(), contact.company.as_deref()),
        (Some("Jane"), Some("Acme, Inc."))
    );
    assert_eq!(
        (account.domain.as_deref(), account.name.as_deref()),
        (Some("acme.com"), Some("Acme, Inc."))
    );
    let identity = &contact.identities[0];
    assert_eq!(
        (identity.r#type.as_str(), identity.value.as_str()),
        ("email", "jane@acme.com")
    );
    let [jane, visitor, nobody] = told.batch(id) else {
        panic!("three signals")
    };
    assert_eq!(
        (jane.actor_id.as_ref(), jane.contact_id.as_ref()),
        (Some(&contact.contact_id), Some(&contact.contact_id))
    );
    assert_eq!(jane.account_id.as_ref(), Some(&account.account_id));
    let by = jane.actor_resolution.as_ref().unwrap();
    assert_eq!(
        (by.rule.as_str(), by.evidence.as_str()),
        ("email", "jane@acme.com")
    );
    assert!((by.confidence - 0.9).abs() < f64::EPSILON);
    assert_eq!(jane.account_resolution.as_ref().unwrap().rule, "email_domain");
    assert!(visitor.actor_id.is_some() && visitor.contact_id.is_none());
    assert!(nobody.actor_id.is_none() && nobody.actor_resolution.is_none());
    // What was sent is passed on unchanged.
    assert_eq!(
        jane.actor.as_ref().unwrap().email.as_deref(),
        Some("Jane@Acme.com")
    );
}

#[tokio::test]
async fn a_batch_that_comes_again_has_no_second_effect() {
    let base = Base::create().await;
    let (one, two) = (base.replica(), base.replica());
    let batch = batch(&["email=jane@acme.com; anon=a1", "github=octo"]);
    let deliver = async |replica: &Replica| replica.deliver(org(1), &batch).await.unwrap();
    // At once on both replicas, then again on each.
    tokio::join!(deliver(&one), deliver(&one), deliver(&two), deliver(&two));
    deliver(&one).await;
    deliver(&two).await;
    let told = base.told().await;
    assert_eq!(told.resolved.len(), 1);
    assert_eq!((told.contacts.len(), told.accounts.len()), (2, 1));
    assert_eq!(base.count("SELECT count(*) FROM identities").await, 3);
    assert_eq!(one.batches("repeated") + two.batches("repeated"), 5);
}

#[tokio::test]
async fn who_is_known_costs_no_decision() {
    let base = Base::create().await;
    let replica = base.replica();
    let signals = [
        "email=jane@acme.com; anon=a1; company=Acme",
        "anon=a2",
        "domain=globex.com; github=octo",
    ];
    replica.resolve(org(1), &signals).await;
    let rows = "SELECT (SELECT count(*) FROM actors) + (SELECT count(*) FROM identities)
                     + (SELECT count(*) FROM decisions) + (SELECT count(*) FROM account_keys)";
    let before = base.count(rows).await;
    for _ in 0..5 {
        replica.resolve(org(1), &signals).await;
    }
    assert_eq!((replica.batches("decision"), replica.batches("memory")), (1, 5));
    assert_eq!(base.count(rows).await, before);
    let told = base.told().await;
    assert_eq!(
        told.kinds
            .iter()
            .filter(|kind| *kind != "signals.resolved")
            .count(),
        4
    );
    let first = &told.resolved[0].signals;
    for batch in &told.resolved {
        for (signal, same) in batch.signals.iter().zip(first) {
            assert_eq!(
                (&signal.actor_id, &signal.account_id),
                (&same.actor_id, &same.account_id)
            );
        }
    }
}

#[tokio::test]
async fn a_visitor_who_becomes_known_takes_the_earlier_signals_along() {
    let base = Base::create().await;
    let replica = base.replica();
    let visit = replica.resolve(org(1), &["anon=a1; title=CTO"]).await;
    let known = replica.resolve(org(1), &["anon=a1; email=jane@acme.com"]).await;
    let later = replica.resolve(org(1), &["anon=a1"]).await;
    let told = base.told().await;
    let [merged] = told.merged.as_slice() else {
        panic!("{:?}", told.merged)
    };
    let person = told.batch(known)[0].contact_id.clone().unwrap();
    assert_eq!(
        Some(&merged.from_actor_id),
        told.batch(visit)[0].actor_id.as_ref()
    );
    assert_eq!(merged.contact_id, person);
    assert_eq!(merged.account_id, told.batch(known)[0].account_id);
    assert_eq!(merged.resolution.as_ref().unwrap().rule, "anonymous_id");
    assert_eq!(told.batch(later)[0].contact_id.as_ref(), Some(&person));
    assert_eq!(told.batch(later)[0].account_id, merged.account_id);
    assert_eq!(told.contacts[0].title.as_deref(), Some("CTO"));
    // The rows agree: the profile is history, its identity is the person's.
    let rows: Vec<(uuid::Uuid,)> = base
        .rows("SELECT actor_id FROM identities WHERE type = 'anonymous'")
        .await;
    assert_eq!(rows[0].0.to_string(), person);
}

#[tokio::test]
async fn what_is_learnt_later_is_told_with_a_higher_revision() {
    let base = Base::create().await;
    let replica = base.replica();
    replica.resolve(org(1), &["github=octo"]).await;
    replica
        .resolve(org(1), &["github=octo; email=octo@acme.com; name=Octo"])
        .await;
    replica.resolve(org(1), &["domain=acme.com; employees=40"]).await;
    let told = base.told().await;
    let revisions: Vec<_> = told.contacts.iter().map(|contact| contact.revision).collect();
    assert_eq!(revisions, [1, 2]);
    assert_eq!(told.contacts[1].identities.len(), 2);
    let [linked] = told.linked.as_slice() else {
        panic!("{:?}", told.linked)
    };
    assert_eq!(
        (
            &linked.contact_id,
            linked.resolution.as_ref().unwrap().rule.as_str()
        ),
        (&told.contacts[0].contact_id, "email_domain")
    );
    let accounts: Vec<_> = told
        .accounts
        .iter()
        .map(|account| (account.revision, account.employees))
        .collect();
    assert_eq!(accounts, [(1, None), (2, Some(40))]);
}

#[tokio::test]
async fn two_organizations_never_share_a_person_or_an_account() {
    let base = Base::create().await;
    let replica = base.replica();
    let text = ["email=jane@acme.com; anon=a1"];
    let one = replica.resolve(org(1), &text).await;
    let two = replica.resolve(org(2), &text).await;
    let told = base.told().await;
    let (one, two) = (&told.batch(one)[0], &told.batch(two)[0]);
    assert_ne!(one.actor_id, two.actor_id);
    assert_ne!(one.account_id, two.account_id);
}

#[tokio::test]
async fn a_payload_of_another_organization_or_without_ids_is_poison() {
    let base = Base::create().await;
    let replica = base.replica();
    let mut foreign = accepted(org(1), &batch(&["anon=a1"]));
    foreign.subject.org = org(2);
    let mut nameless = batch(&["anon=a1"]);
    nameless.signals[0].id = "x".to_owned();
    let nameless = accepted(org(1), &nameless);
    for envelope in [foreign, nameless] {
        let read = identity_resolver::events::Accepted::read(&envelope);
        assert!(matches!(read, Err(eventbus::HandlerError::Poison(_))));
    }
    assert_eq!(base.told().await.kinds.len(), 0);
    drop(replica);
}

#[tokio::test]
async fn a_batch_too_large_for_a_unit_is_resolved_alone() {
    let base = Base::create().await;
    let mut settings = resolver_settings();
    settings.max_unit_signals = 2;
    let (clock, ids) = (ids::SystemClock::shared(), ids::SystemIds::shared());
    let metrics = telemetry::Metrics::new("identity-resolver");
    let pipeline = &base.stores.pipeline;
    let resolver =
        identity_resolver::resolver::Resolver::new(pipeline, &settings, clock, ids, &metrics).unwrap();
    let replica = Replica {
        resolver: resolver.into(),
        metrics,
    };
    replica.resolve(org(1), &["anon=a1", "anon=a2", "anon=a3"]).await;
    assert_eq!(base.told().await.resolved[0].signals.len(), 3);
}
