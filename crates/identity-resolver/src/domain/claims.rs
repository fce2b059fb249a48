//! What one signal says about who did it and for which company, in normal form.

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use super::account::{AccountKey, AccountKeyKind};
use super::company_name::{self, Company, CompanyName, alike, is_label_of};
use super::email::{self, Email, Mailbox};
use super::identity::{self, IdentityKey, IdentityKind};
use super::rule::Rule;
use super::{host, text};

/// A signal, as far as identity is concerned. Texts as sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observation<'a> {
    /// The sender's id of a visitor.
    pub anonymous_id: Option<&'a str>,
    /// Whoever did it.
    pub actor: ActorFacts<'a>,
    /// The company.
    pub account: AccountFacts<'a>,
}

/// Whoever did it, as sent.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named and meant as in the contract's Actor")]
pub struct ActorFacts<'a> {
    pub email: Option<&'a str>,
    pub github: Option<&'a str>,
    pub npm: Option<&'a str>,
    pub pypi: Option<&'a str>,
    pub twitter: Option<&'a str>,
    pub linkedin: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub phone: Option<&'a str>,
    pub name: Option<&'a str>,
    pub title: Option<&'a str>,
    pub company: Option<&'a str>,
    pub avatar_url: Option<&'a str>,
}

/// The company, as sent.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named and meant as in the contract's AccountHint")]
pub struct AccountFacts<'a> {
    pub domain: Option<&'a str>,
    pub name: Option<&'a str>,
    pub github_org: Option<&'a str>,
    pub employees: Option<i64>,
    pub industry: Option<&'a str>,
    pub country: Option<&'a str>,
    pub funding_stage: Option<&'a str>,
}

/// One signal's claims. What is no valid identity is left out: it never fails a signal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Strong identities, the deciding one first.
    pub identities: Vec<IdentityKey>,
    /// The anonymous id.
    pub anonymous: Option<IdentityKey>,
    /// Display name.
    pub name: Option<Arc<str>>,
    /// Job title.
    pub title: Option<Arc<str>>,
    /// Company, as the person states it.
    pub company: Option<Arc<str>>,
    /// Picture.
    pub avatar_url: Option<Arc<str>>,
    /// The company that the signal states; also what the person's evidence adds to it, when it is clearly the same.
    pub stated: CompanyClaim,
    /// Another company that the person's evidence points to.
    pub employer: CompanyClaim,
    /// The id that the person has in crm, who was recorded there by hand.
    pub person: Option<Uuid>,
    /// Whether nothing is to be told of it: it came by an import. What only such claims named is told of when others name it.
    pub quiet: bool,
}

/// Traces of one company. Empty when nothing points to one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompanyClaim {
    /// The traces with the rules by which they count, strongest first.
    pub keys: Vec<(AccountKey, Rule)>,
    /// Its name as written.
    pub written: Option<Arc<str>>,
    /// Whether the sender states it (then the name is the latest word), or the person (then it only fills a gap).
    pub by_sender: bool,
    /// Number of employees.
    pub employees: Option<i64>,
    /// Industry.
    pub industry: Option<Arc<str>>,
    /// Country code.
    pub country: Option<Arc<str>>,
    /// Funding stage.
    pub funding_stage: Option<Arc<str>>,
    /// The id that the company has in crm, which was recorded there by hand.
    pub id: Option<Uuid>,
}

/// Longest display name, title, company, industry.
const MAX_TEXT: usize = 200;
/// Longest URL of a picture.
const MAX_URL: usize = 2_048;

impl Claims {
    /// Reads a signal.
    #[must_use]
    pub fn of(seen: &Observation<'_>) -> Self {
        let actor = &seen.actor;
        let mut identities = Vec::new();
        let mut own_login = None;
        let mut mailbox = None;
        match actor.email.and_then(email::parse) {
            Some(Mailbox::Person(email)) => {
                identities.push(IdentityKey::new(IdentityKind::Email, email.address.as_str()));
                mailbox = Some(email);
            }
            Some(Mailbox::GithubLogin(login)) => own_login = identity::github(&login),
            None => {}
        }
        identities.extend(
            actor
                .user_id
                .and_then(|id| identity::opaque(IdentityKind::UserId, id)),
        );
        identities.extend(actor.github.and_then(identity::github).or(own_login));
        identities.extend(actor.npm.and_then(identity::npm));
        identities.extend(actor.pypi.and_then(identity::pypi));
        identities.extend(actor.linkedin.and_then(identity::linkedin));
        identities.extend(actor.twitter.and_then(identity::twitter));
        identities.extend(actor.phone.and_then(identity::phone));
        let company = actor.company.and_then(company_name::field);
        let (stated, employer) = companies(&seen.account, mailbox.as_ref(), company);
        Self {
            identities,
            anonymous: seen
                .anonymous_id
                .and_then(|id| identity::opaque(IdentityKind::Anonymous, id)),
            name: actor.name.and_then(|name| owned(text::cut(name, MAX_TEXT))),
            title: actor.title.and_then(|title| owned(text::cut(title, MAX_TEXT))),
            company: actor
                .company
                .and_then(|company| owned(text::cut(company, MAX_TEXT))),
            avatar_url: actor.avatar_url.and_then(picture),
            stated,
            employer,
            person: None,
            quiet: false,
        }
    }

    /// The same, told of only when others name it too; a person's traces do not lead to a company.
    #[must_use]
    pub fn quietly(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        if quiet && self.person.is_some() {
            self.stated = CompanyClaim::default();
            self.employer = CompanyClaim::default();
        }
        self
    }

    /// The same, about a person who has this id in crm, and these identities in normal form beside those of the signal.
    #[must_use]
    pub fn of_person(mut self, id: Uuid, identities: Vec<IdentityKey>) -> Self {
        self.person = Some(id);
        for key in identities {
            if !self.identities.contains(&key) {
                self.identities.push(key);
            }
        }
        self.identities.sort_by_key(|key| key.kind);
        self
    }

    /// The same, about a company that has this id in crm.
    #[must_use]
    pub fn of_company(mut self, id: Uuid) -> Self {
        self.stated.id = Some(id);
        self
    }

    /// Every identity it names.
    pub fn identity_keys(&self) -> impl Iterator<Item = &IdentityKey> {
        self.identities.iter().chain(&self.anonymous)
    }

    /// Every trace of a company it names.
    pub fn account_keys(&self) -> impl Iterator<Item = &AccountKey> {
        self.stated
            .keys
            .iter()
            .chain(&self.employer.keys)
            .map(|(key, _)| key)
    }
}

impl CompanyClaim {
    fn push(&mut self, kind: AccountKeyKind, value: Arc<str>, rule: Rule) {
        let key = AccountKey { kind, value };
        if self.keys.iter().all(|(known, _)| *known != key) {
            self.keys.push((key, rule));
        }
    }

    /// The trace of this kind.
    pub(super) fn get(&self, kind: AccountKeyKind) -> Option<&Arc<str>> {
        self.keys
            .iter()
            .find(|(key, _)| key.kind == kind)
            .map(|(key, _)| &key.value)
    }

    /// The strongest rule.
    pub(super) fn strength(&self) -> Option<Rule> {
        self.keys.first().map(|(_, rule)| *rule)
    }

    /// Whether a domain is registered under the organization or the name that it names.
    fn is_named_like(&self, domain: &str) -> bool {
        let named = |kind| self.get(kind).is_some_and(|value| is_label_of(value, domain));
        named(AccountKeyKind::GithubOrg) || named(AccountKeyKind::Name)
    }

    fn name(&mut self, name: CompanyName, rule: Rule) {
        self.push(AccountKeyKind::Name, name.key, rule);
        self.written.get_or_insert(name.written);
    }
}

/// Sorts the traces of a signal into one or two companies. What the person says joins what the sender states only where
/// domain and name agree: an address at a consultancy and `company: "@kubernetes"` are two companies.
fn companies(
    account: &AccountFacts<'_>,
    mailbox: Option<&Email>,
    company: Option<Company>,
) -> (CompanyClaim, CompanyClaim) {
    let mut stated = stated_company(account);
    let mut employer = CompanyClaim::default();
    if let Some(domain) = mailbox.and_then(|email| host::company_domain(email.domain())) {
        let same = match stated.get(AccountKeyKind::Domain) {
            Some(known) => **known == *domain,
            None => stated.is_named_like(domain),
        };
        if same { &mut stated } else { &mut employer }.push(
            AccountKeyKind::Domain,
            domain.into(),
            Rule::EmailDomain,
        );
    }
    if let Some(company) = company {
        let (Company::GithubOrg(value) | Company::Name(CompanyName { key: value, .. })) = &company;
        let fits = |claim: &CompanyClaim| match claim.get(AccountKeyKind::Domain) {
            Some(domain) => is_label_of(value, domain),
            None => claim.keys.iter().any(|(known, _)| alike(&known.value, value)),
        };
        let claim = if fits(&stated) {
            Some(&mut stated)
        } else if employer.keys.is_empty() || fits(&employer) {
            Some(&mut employer)
        } else {
            None
        };
        match (claim, company) {
            (Some(claim), Company::GithubOrg(org)) => {
                claim.push(AccountKeyKind::GithubOrg, org, Rule::CompanyGithubOrg);
            }
            (Some(claim), Company::Name(name)) => claim.name(name, Rule::CompanyName),
            (None, _) => {}
        }
    }
    stated.keys.sort_by_key(|(_, rule)| *rule);
    employer.keys.sort_by_key(|(_, rule)| *rule);
    (stated, employer)
}

fn stated_company(account: &AccountFacts<'_>) -> CompanyClaim {
    let mut claim = CompanyClaim {
        by_sender: true,
        employees: account.employees.filter(|n| (0..=10_000_000).contains(n)),
        industry: account
            .industry
            .and_then(|industry| owned(text::cut(industry, MAX_TEXT))),
        country: account.country.and_then(country),
        funding_stage: account
            .funding_stage
            .and_then(|stage| owned(text::cut(stage, MAX_TEXT))),
        ..CompanyClaim::default()
    };
    if let Some(domain) = account.domain.and_then(host::stated_domain) {
        claim.push(AccountKeyKind::Domain, domain, Rule::StatedDomain);
    }
    if let Some(org) = account.github_org.and_then(identity::github) {
        claim.push(AccountKeyKind::GithubOrg, org.value, Rule::GithubOrg);
    }
    if let Some(name) = account.name.and_then(company_name::name) {
        claim.name(name, Rule::StatedName);
    }
    claim
}

fn country(code: &str) -> Option<Arc<str>> {
    let code = code.trim();
    let valid = code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
    valid.then(|| Arc::from(code.to_ascii_uppercase()))
}

fn picture(url: &str) -> Option<Arc<str>> {
    let url = text::within(url, MAX_URL)?;
    (url.starts_with("https://") || url.starts_with("http://")).then(|| Arc::from(&*url))
}

fn owned(text: Option<Cow<'_, str>>) -> Option<Arc<str>> {
    text.map(|text| Arc::from(&*text))
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
