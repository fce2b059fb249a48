//! For which company.

use super::*;

fn keys(base: &Base, id: Uuid) -> Vec<String> {
    base.account(id)
        .keys
        .iter()
        .map(|held| format!("{}:{}", held.key.kind.name(), held.key.value))
        .collect()
}

#[test]
fn colleagues_share_the_account_of_their_domain() {
    let mut base = Base::new();
    let jane = base.one("email=jane@acme.co.uk");
    let john = base.one("email=john@mail.acme.co.uk");
    assert_eq!(account(&jane), account(&john));
    assert_eq!(base.told(), ["person"]);
    let other = base.one("email=x@other.co.uk");
    assert_ne!(account(&other), account(&jane));
}

#[test]
fn free_mail_and_throw_away_mail_never_lead_to_a_company() {
    let mut base = Base::new();
    for email in [
        "a@gmail.com",
        "b@mailinator.com",
        "c@mx.yahoo.co.uk",
        "d@privaterelay.appleid.com",
        "e@co.uk.local",
    ] {
        let attribution = base.one(&format!("email={email}"));
        assert_eq!(attribution.account, None, "{email}");
    }
    let stated = base.one("domain=gmail.com; email=a@gmail.com");
    assert_eq!(stated.account, None);
    assert!(base.accounts.is_empty());
}

#[test]
fn tenants_of_a_private_suffix_are_different_companies() {
    let mut base = Base::new();
    let one = base.one("domain=one.github.io");
    let two = base.one("domain=two.github.io");
    assert_ne!(account(&one), account(&two));
    assert_eq!(base.one("domain=github.io").account, None);
}

#[test]
fn all_traces_of_a_stated_company_lead_to_it() {
    let mut base = Base::new();
    let first = base.one("domain=acme.com; org=acme-inc; account=Acme, Inc.; employees=40; country=de");
    let id = account(&first);
    assert_eq!(rules(&first), (None, Some("stated_domain")));
    assert_eq!(
        keys(&base, id),
        ["domain:acme.com", "github_org:acme-inc", "name:acme"]
    );
    assert_eq!(base.decided(), ["account_created"]);
    for trace in [
        "org=Acme-Inc",
        "account=ACME",
        "email=x@acme.com",
        "email=x@gmail.com; company=@acme-inc",
    ] {
        assert_eq!(account(&base.one(trace)), id, "{trace}");
    }
    let held = &base.account(id);
    assert_eq!(held.firmographics.employees.as_ref().unwrap().value, 40);
    assert_eq!(held.firmographics.country.as_ref().unwrap().value.as_ref(), "DE");
    assert_eq!(held.name.as_ref().unwrap().value.as_ref(), "Acme, Inc.");
    base.one("domain=acme.com; employees=41");
    assert_eq!((base.told(), base.account(id).revision), (vec!["account"], 2));
}

#[test]
fn a_company_known_by_organization_or_name_gets_its_domain_later() {
    let mut base = Base::new();
    let dev = base.one("github=octo; company=@acme");
    assert_eq!(rules(&dev).1, Some("company_github_org"));
    let colleague = base.one("email=jane@acme.com; company=@acme");
    assert_eq!(account(&colleague), account(&dev));
    assert_eq!(keys(&base, account(&dev)), ["github_org:acme", "domain:acme.com"]);
    assert!(base.decided().contains(&"key_attached"));

    let named = base.one("github=hubot; company=Globex Corp.");
    assert_eq!(rules(&named).1, Some("company_name"));
    let stated = base.one("domain=globex.com; account=Globex");
    assert_eq!(account(&stated), account(&named));
}

#[test]
fn also_the_address_of_a_person_with_an_account_tells_its_domain() {
    let mut base = Base::new();
    let dev = base.one("github=octo; company=Acme");
    base.one("github=octo; email=octo@acme.com; company=Acme");
    let colleague = base.one("email=jane@acme.com");
    assert_eq!(account(&colleague), account(&dev));
}

#[test]
fn a_person_at_a_consultancy_does_not_lend_it_their_project() {
    let mut base = Base::new();
    let consultant = base.one("email=jane@consultancy.com; company=@kubernetes");
    let other = base.one("github=octo; company=@kubernetes");
    assert_ne!(account(&consultant), account(&other));
}

#[test]
fn one_domain_is_one_company_and_the_domain_decides() {
    let mut base = Base::new();
    let com = base.one("domain=acme.com; org=acme");
    let io = base.one("domain=acme.io; org=acme");
    assert_ne!(account(&com), account(&io));
    assert_eq!(base.decided(), ["kept_apart", "account_created"]);
    assert_eq!(account(&base.one("org=acme")), account(&com));
    base.one("domain=acme.io; org=acme");
    assert!(base.last.is_empty());
}

#[test]
fn a_name_that_two_companies_bear_decides_nothing_any_more() {
    let mut base = Base::new();
    let mut create = |domain: &str| account(&base.one(&format!("domain={domain}; account=Mercury")));
    let (bank, rocket) = (create("mercury.com"), create("mercury.space"));
    assert_ne!(bank, rocket);
    assert_eq!(base.decided(), ["name_ambiguous", "account_created"]);
    let lost = base.one("email=x@gmail.com; company=Mercury");
    assert_eq!(lost.account, None);
    assert!(base.last.new_accounts.is_empty());
    base.one("domain=mercury.space; account=Mercury");
    assert!(base.last.is_empty());
}

#[test]
fn the_signals_own_account_counts_for_the_signal_and_the_persons_first_one_stays() {
    let mut base = Base::new();
    let jane = base.one("email=jane@agency.com");
    let visit = base.one("email=jane@agency.com; domain=customer.com");
    assert_ne!(account(&visit), account(&jane));
    assert_eq!(rules(&visit), (Some("email"), Some("stated_domain")));
    assert_eq!(account(&base.one("email=jane@agency.com")), account(&jane));
}

#[test]
fn the_stronger_evidence_gives_a_person_their_account() {
    let mut base = Base::new();
    let by_email = base.one("email=jane@agency.com; account=Customer");
    assert_eq!(rules(&by_email).1, Some("stated_name"));
    let link = |base: &Base, id| base.actor(id).link.as_ref().unwrap().rule.name();
    assert_eq!(link(&base, who(&by_email)), "email_domain");
    let by_statement = base.one("email=john@agency.com; domain=customer.com");
    assert_eq!(link(&base, who(&by_statement)), "stated_domain");
}

#[test]
fn a_visitor_counts_for_the_company_the_signal_names() {
    let mut base = Base::new();
    let visit = base.one("anon=a1; domain=acme.com");
    assert_eq!(
        (visit.is_person, rules(&visit)),
        (false, (Some("anonymous_id"), Some("stated_domain")))
    );
    let next = base.one("anon=a1");
    assert_eq!(next.account, None);
}

#[test]
fn who_names_no_company_gets_none() {
    let mut base = Base::new();
    for company in ["Freelancer", "N/A", "self-employed", "@"] {
        assert_eq!(
            base.one(&format!("github=octo; company={company}")).account,
            None,
            "{company}"
        );
    }
}
