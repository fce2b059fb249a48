//! Who did it.

use super::*;

#[test]
fn an_email_makes_a_person_and_is_known_from_then_on() {
    let mut base = Base::new();
    let first = base.one("email=Dev@Acme.com; name=Jane Doe");
    assert_eq!(rules(&first), (Some("email"), Some("email_domain")));
    assert!(first.is_person);
    assert_eq!(
        base.decided(),
        ["person_created", "account_created", "account_linked"]
    );
    assert_eq!(base.told(), ["account", "person"]);
    assert_eq!(
        base.actor(who(&first))
            .traits
            .name
            .as_ref()
            .unwrap()
            .value
            .as_ref(),
        "Jane Doe"
    );
    let second = base.one("email=dev@acme.com");
    assert_eq!(second.actor, first.actor);
    assert_eq!(second.account, first.account);
    assert!(base.last.is_empty());
}

#[test]
fn a_signal_that_names_nobody_has_no_actor() {
    let mut base = Base::new();
    for nobody in [
        "",
        "email=noreply@github.com",
        "anon=null",
        "github=dependabot[bot]",
        "name=Jane",
        "email=nonsense",
    ] {
        let attribution = base.one(nobody);
        assert_eq!(
            (attribution.actor, attribution.is_person),
            (None, false),
            "{nobody}"
        );
    }
    assert!(base.actors.is_empty());
}

#[test]
fn a_visitor_is_a_profile_and_stays_one() {
    let mut base = Base::new();
    let visits = base.unit(&["anon=a1", "anon=a1; name=Jane"]);
    assert_eq!(rules(&visits[0]), (Some("anonymous_id"), None));
    assert!(!visits[0].is_person);
    assert_eq!(who(&visits[0]), who(&visits[1]));
    assert!(base.told().is_empty());
}

#[test]
fn a_visitor_who_becomes_known_takes_the_earlier_signals_along() {
    let mut base = Base::new();
    let visit = base.one("anon=a1; title=CTO");
    let known = base.one("email=dev@acme.com; anon=a1");
    assert_ne!(who(&visit), who(&known));
    let Some(Announcement::Merged {
        from,
        into,
        account: told_account,
        told,
    }) = base
        .last
        .announcements
        .iter()
        .find(|a| matches!(a, Announcement::Merged { .. }))
    else {
        panic!("{:?}", base.last.announcements)
    };
    assert_eq!(
        (*from, *into, *told_account),
        (who(&visit), who(&known), Some(account(&known)))
    );
    assert_eq!((told.rule, &*told.evidence), (Rule::AnonymousId, "a1"));
    assert_eq!(
        base.decided(),
        ["person_created", "stitched", "account_created", "account_linked"]
    );
    // What the profile had learnt is the person's, and the person was first seen when the visitor was.
    let person = base.actor(who(&known));
    assert_eq!(person.traits.title.as_ref().unwrap().value.as_ref(), "CTO");
    assert_eq!(person.first_seen, at(1));
    // Later visits count for the person and their account.
    let later = base.one("anon=a1");
    assert_eq!(
        (who(&later), later.is_person, account(&later)),
        (who(&known), true, account(&known))
    );
    assert!(base.last.is_empty());
}

#[test]
fn within_a_unit_earlier_signals_are_corrected_in_place() {
    let mut base = Base::new();
    let all = base.unit(&[
        "anon=a1",
        "github=octo; anon=a1",
        "email=dev@acme.com; github=octo",
        "anon=a1",
    ]);
    for attribution in &all {
        assert_eq!((who(attribution), attribution.is_person), (who(&all[3]), true));
        assert_eq!(account(attribution), account(&all[2]));
    }
    // Nobody outside ever heard of the profile.
    assert_eq!(base.told(), ["account", "person"]);
}

#[test]
fn a_shared_device_stays_with_the_first_person() {
    let mut base = Base::new();
    let jane = base.one("email=jane@acme.com; anon=kiosk");
    let john = base.one("email=john@acme.com; anon=kiosk");
    assert_ne!(who(&jane), who(&john));
    assert_eq!(base.decided(), ["person_created", "kept_apart", "account_linked"]);
    assert_eq!(who(&base.one("anon=kiosk")), who(&jane));
    // The conflict is noted once.
    assert_eq!(who(&base.one("email=john@acme.com; anon=kiosk")), who(&john));
    assert!(base.last.is_empty());
}

#[test]
fn an_unknown_identity_joins_the_known_person() {
    let mut base = Base::new();
    let first = base.one("github=octo");
    let second = base.one("email=dev@acme.com; github=octo; npm=octo");
    assert_eq!(who(&first), who(&second));
    assert_eq!(rules(&second), (Some("github_login"), Some("email_domain")));
    assert_eq!(
        base.decided(),
        [
            "identity_attached",
            "identity_attached",
            "account_created",
            "account_linked"
        ]
    );
    // The person was known without an account: earlier signals follow.
    assert_eq!(base.told(), ["account", "person", "linked"]);
    assert_eq!(base.actor(who(&first)).identities.len(), 3);
    assert_eq!(base.actor(who(&first)).revision, 2);
}

#[test]
fn two_known_persons_without_contradiction_are_the_older_one() {
    let mut base = Base::new();
    let octo = base.one("github=octo; name=Octo");
    let jane = base.one("email=jane@acme.com; name=Jane");
    let both = base.one("email=jane@acme.com; github=octo");
    assert_eq!(who(&both), who(&octo));
    assert_eq!(base.follow(who(&jane)), who(&octo));
    assert_eq!(base.decided(), ["merged"]);
    assert_eq!(base.told(), ["person", "merged", "linked"]);
    let person = base.actor(who(&octo));
    assert_eq!(person.link.as_ref().unwrap().account, account(&jane));
    assert_eq!(person.traits.name.as_ref().unwrap().value.as_ref(), "Jane");
    assert_eq!(who(&base.one("email=jane@acme.com")), who(&octo));
}

#[test]
fn two_known_persons_with_different_emails_stay_two_and_the_email_decides() {
    let mut base = Base::new();
    let jane = base.one("email=jane@acme.com; github=octo");
    let john = base.one("email=john@acme.com");
    let both = base.one("email=john@acme.com; github=octo");
    assert_eq!((who(&both), base.decided()), (who(&john), vec!["kept_apart"]));
    assert!(base.told().is_empty());
    assert_eq!(who(&base.one("github=octo")), who(&jane));
    assert_eq!(who(&base.one("email=john@acme.com; github=octo")), who(&john));
    assert!(base.last.is_empty());
}

#[test]
fn a_login_that_many_share_does_not_make_them_one() {
    let mut base = Base::new();
    base.one("github=acme-bot");
    for i in 0..Actor::MAX_OF_A_KIND {
        base.one(&format!("email=dev{i}@acme.com; github=acme-bot"));
    }
    let bot = base.one("github=acme-bot");
    let next = base.one("email=new@acme.com; github=acme-bot");
    assert_ne!(who(&bot), who(&next));
    assert_eq!(rules(&next).0, Some("email"));
    assert_eq!(base.decided(), ["person_created", "kept_apart", "account_linked"]);
}

#[test]
fn anonymous_ids_of_a_person_are_bounded_in_the_person_and_all_resolve() {
    let mut base = Base::new();
    let jane = base.one("email=jane@acme.com");
    for i in 0..2 * Actor::MAX_ANONYMOUS {
        base.one(&format!("email=jane@acme.com; anon=visit-{i}"));
        assert_eq!(who(&base.one(&format!("anon=visit-{i}"))), who(&jane));
    }
    assert_eq!(
        base.actor(who(&jane)).count(IdentityKind::Anonymous),
        Actor::MAX_ANONYMOUS
    );
}

#[test]
fn the_latest_statement_wins_and_absence_is_none() {
    let mut base = Base::new();
    let jane = base.one("email=j@acme.com; name=Jane; title=Dev");
    base.one("email=j@acme.com; name=Jane Doe; title= ");
    assert_eq!(base.told(), ["person"]);
    // An older signal that comes late fills gaps, and overwrites nothing.
    let late = (
        signal("email=j@acme.com; name=J.; company=Acme"),
        Seen {
            signal: Uuid::from_u128(99),
            at: at(-50),
        },
    );
    base.run_at(&[late]);
    let traits = &base.actor(who(&jane)).traits;
    let value = |stated: &Option<Stated<Arc<str>>>| stated.as_ref().unwrap().value.to_string();
    assert_eq!(
        (value(&traits.name), value(&traits.title), value(&traits.company)),
        ("Jane Doe".into(), "Dev".into(), "Acme".into())
    );
    assert_eq!(base.actor(who(&jane)).first_seen, at(-50));
}

#[test]
fn placeholders_do_not_make_everybody_one_person() {
    let mut base = Base::new();
    let one = base.one("user=undefined; email=a@acme.com");
    let two = base.one("user=undefined; email=b@acme.com");
    assert_ne!(who(&one), who(&two));
}
