//! Tests of [`super`].

use uuid::Uuid;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn empty() -> Account {
    Account {
        id: AccountId(Uuid::from_u128(1)),
        recorded: false,
        deleted_at: None,
        extras: Extras::default(),
        profile: Profile::default(),
        edited: BTreeSet::new(),
        learnt_revision: -1,
        score: None,
        score_revision: -1,
        contact_count: 0,
        created_at: at(0),
        updated_at: at(0),
        version: 0,
    }
}

fn facts(revision: i64, name: &str, domain: Option<&str>, industry: Option<&str>) -> AccountFacts {
    let profile = Profile {
        name: name.into(),
        domain: domain.map(Into::into),
        industry: industry.map(Into::into),
        ..Profile::default()
    };
    AccountFacts { revision, profile }
}

#[test]
fn the_name_falls_back_to_the_domain_and_then_to_the_organization() {
    let mut account = empty();
    assert_eq!(
        account.learn(facts(0, "", Some("acme.com"), None), at(1)),
        Change::Created
    );
    assert_eq!((account.profile.name.as_str(), account.version), ("acme.com", 1));

    let mut by_github = facts(1, "", None, None);
    by_github.profile.github_org = Some("acme-inc".into());
    assert_eq!(
        account.learn(by_github, at(2)),
        Change::Updated(vec![
            AccountField::Name,
            AccountField::Domain,
            AccountField::GithubOrg
        ])
    );
    assert_eq!(account.profile.name, "acme-inc");
}

#[test]
fn older_and_repeated_facts_change_nothing() {
    let mut account = empty();
    account.learn(facts(5, "Acme", None, None), at(1));
    let before = account.clone();
    for revision in [0, 4, 5] {
        assert_eq!(
            account.learn(facts(revision, "Other", None, None), at(9)),
            Change::None
        );
    }
    assert_eq!(account, before);
}

#[test]
fn what_a_person_set_stays_and_the_rest_goes_on_being_learnt() {
    let mut account = empty();
    account.learn(facts(1, "acme", Some("acme.com"), Some("Retail")), at(1));
    let edit = AccountEdit {
        name: Some("Acme Inc".into()),
        industry: Some(None),
        ..AccountEdit::default()
    };
    assert_eq!(
        account.edit(edit, at(2)),
        Change::Updated(vec![AccountField::Name, AccountField::Industry])
    );
    let learnt = account.learn(facts(2, "ACME", Some("acme.dev"), Some("Software")), at(3));
    assert_eq!(learnt, Change::Updated(vec![AccountField::Domain]));
    assert_eq!(account.profile.name, "Acme Inc");
    assert_eq!(account.profile.industry, None);
    assert_eq!(account.version, 3);
}

#[test]
fn setting_the_same_value_keeps_the_version_and_still_holds_the_field() {
    let mut account = empty();
    account.learn(facts(1, "Acme", None, None), at(1));
    let same = AccountEdit {
        name: Some("Acme".into()),
        ..AccountEdit::default()
    };
    assert_eq!(account.edit(same, at(2)), Change::None);
    assert_eq!(account.version, 1);
    assert_eq!(account.learn(facts(2, "Other", None, None), at(3)), Change::None);
    assert_eq!(account.profile.name, "Acme");
}

#[test]
fn odd_learnt_values_are_left_out() {
    let mut account = empty();
    let mut odd = facts(1, "A\0B", Some(" "), None);
    odd.profile.country = Some("Narnia".into());
    odd.profile.employees = Some(-4);
    account.learn(odd, at(1));
    assert_eq!(
        account.profile,
        Profile {
            name: "A B".into(),
            ..Profile::default()
        }
    );
}
