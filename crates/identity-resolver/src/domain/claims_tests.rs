//! Tests of what a signal claims.

use super::*;

fn keys(claim: &CompanyClaim) -> Vec<(String, &'static str)> {
    claim
        .keys
        .iter()
        .map(|(key, rule)| (format!("{}:{}", key.kind.name(), key.value), rule.name()))
        .collect()
}

fn claims(email: &str, company: &str, domain: &str, name: &str, org: &str) -> Claims {
    let some = |text: &'static str| (!text.is_empty()).then_some(text);
    let leak = |text: &str| some(Box::leak(text.to_owned().into_boxed_str()));
    Claims::of(&Observation {
        anonymous_id: None,
        actor: ActorFacts {
            email: leak(email),
            company: leak(company),
            ..ActorFacts::default()
        },
        account: AccountFacts {
            domain: leak(domain),
            name: leak(name),
            github_org: leak(org),
            ..AccountFacts::default()
        },
    })
}

#[test]
fn an_employer_is_found_by_domain_organization_or_name() {
    let employer = |email, company| keys(&claims(email, company, "", "", "").employer);
    let key = |key: &str, rule| (key.to_owned(), rule);
    assert_eq!(
        employer("dev@eu.acme.com", ""),
        [key("domain:acme.com", "email_domain")]
    );
    assert_eq!(employer("dev@gmail.com", ""), []);
    assert_eq!(
        employer("dev@gmail.com", "@acme"),
        [key("github_org:acme", "company_github_org")]
    );
    assert_eq!(employer("", "Acme, Inc."), [key("name:acme", "company_name")]);
    assert_eq!(
        employer("dev@acme.com", "Acme, Inc."),
        [
            key("domain:acme.com", "email_domain"),
            key("name:acme", "company_name")
        ]
    );
    // What is clearly another company is not taken for the same.
    assert_eq!(
        employer("dev@consultancy.com", "@kubernetes"),
        [key("domain:consultancy.com", "email_domain")]
    );
}

#[test]
fn what_the_person_says_joins_what_the_sender_states_only_where_both_agree() {
    let both = |email, company, domain, name, org| {
        let claims = claims(email, company, domain, name, org);
        (keys(&claims.stated), keys(&claims.employer))
    };
    let key = |key: &str, rule| (key.to_owned(), rule);
    assert_eq!(
        both("dev@acme.com", "@acme", "www.acme.com", "Acme", "acme-inc"),
        (
            vec![
                key("domain:acme.com", "stated_domain"),
                key("github_org:acme-inc", "github_org"),
                key("github_org:acme", "company_github_org"),
                key("name:acme", "stated_name")
            ],
            vec![]
        )
    );
    assert_eq!(
        both("dev@acme.com", "", "", "ACME Corp.", ""),
        (
            vec![
                key("domain:acme.com", "email_domain"),
                key("name:acme", "stated_name")
            ],
            vec![]
        )
    );
    assert_eq!(
        both("", "@acme-corp", "", "Acme Corp Labs", "acmecorp"),
        (
            vec![
                key("github_org:acmecorp", "github_org"),
                key("github_org:acme-corp", "company_github_org"),
                key("name:acme corp labs", "stated_name")
            ],
            vec![]
        )
    );
    assert_eq!(
        both("dev@agency.com", "Agency", "", "Acme", ""),
        (
            vec![key("name:acme", "stated_name")],
            vec![
                key("domain:agency.com", "email_domain"),
                key("name:agency", "company_name")
            ]
        )
    );
}

#[test]
fn identities_come_in_the_order_in_which_they_decide() {
    let claims = Claims::of(&Observation {
        anonymous_id: Some(" a-1 "),
        actor: ActorFacts {
            email: Some("1+octo@users.noreply.github.com"),
            phone: Some("+49 30 1234567"),
            user_id: Some("u1"),
            npm: Some("@jane"),
            name: Some(" "),
            title: Some(" CTO "),
            avatar_url: Some("javascript:alert(1)"),
            ..ActorFacts::default()
        },
        account: AccountFacts {
            country: Some("de"),
            employees: Some(-1),
            ..AccountFacts::default()
        },
    });
    let named: Vec<_> = claims
        .identities
        .iter()
        .map(|key| format!("{}:{}", key.kind.name(), key.value))
        .collect();
    assert_eq!(
        named,
        ["user_id:u1", "github:octo", "npm:jane", "phone:+49301234567"]
    );
    assert_eq!(claims.anonymous.as_ref().map(|key| &*key.value), Some("a-1"));
    assert_eq!(
        (claims.name, claims.title.as_deref(), claims.avatar_url),
        (None, Some("CTO"), None)
    );
    assert_eq!(
        (claims.stated.country.as_deref(), claims.stated.employees),
        (Some("DE"), None)
    );
}
