//! The rules by name, in the order of their strength, with how far they are to be trusted.

/// What decided. Declared in order of strength: within persons and within accounts, an earlier rule outranks a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The signal names the person's e-mail address.
    Email,
    /// The signal names the sender's own id of the person.
    UserId,
    /// The signal names a GitHub login (also by a GitHub no-reply address).
    GithubLogin,
    /// The signal names an npm user.
    NpmUser,
    /// The signal names a PyPI user.
    PypiUser,
    /// The signal names a LinkedIn profile.
    LinkedinProfile,
    /// The signal names a handle on X (Twitter).
    TwitterHandle,
    /// The signal names a phone number.
    Phone,
    /// The signal names a visitor's anonymous id.
    AnonymousId,
    /// The signal states its account's domain.
    StatedDomain,
    /// The person's e-mail address is at the company's domain.
    EmailDomain,
    /// The signal states its account's GitHub organization.
    GithubOrg,
    /// The person's `company` field is a GitHub organization, `@acme`.
    CompanyGithubOrg,
    /// The signal states its account's name.
    StatedName,
    /// The person's `company` field is a name.
    CompanyName,
}

impl Rule {
    const ALL: [Self; 15] = [
        Self::Email,
        Self::UserId,
        Self::GithubLogin,
        Self::NpmUser,
        Self::PypiUser,
        Self::LinkedinProfile,
        Self::TwitterHandle,
        Self::Phone,
        Self::AnonymousId,
        Self::StatedDomain,
        Self::EmailDomain,
        Self::GithubOrg,
        Self::CompanyGithubOrg,
        Self::StatedName,
        Self::CompanyName,
    ];

    /// The name, as in events, rows and the README's table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::UserId => "user_id",
            Self::GithubLogin => "github_login",
            Self::NpmUser => "npm_user",
            Self::PypiUser => "pypi_user",
            Self::LinkedinProfile => "linkedin_profile",
            Self::TwitterHandle => "twitter_handle",
            Self::Phone => "phone",
            Self::AnonymousId => "anonymous_id",
            Self::StatedDomain => "stated_domain",
            Self::EmailDomain => "email_domain",
            Self::GithubOrg => "github_org",
            Self::CompanyGithubOrg => "company_github_org",
            Self::StatedName => "stated_name",
            Self::CompanyName => "company_name",
        }
    }

    /// The rule of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// How far it is to be trusted, 0 to 1. All of it is stated by clients so far; what a provider vouches for will be 1.
    #[must_use]
    pub fn confidence(self) -> f64 {
        match self {
            Self::StatedDomain => 0.95,
            Self::Email | Self::UserId | Self::GithubLogin => 0.9,
            Self::EmailDomain => 0.85,
            Self::NpmUser | Self::PypiUser | Self::LinkedinProfile | Self::Phone | Self::GithubOrg => 0.8,
            Self::TwitterHandle => 0.7,
            Self::CompanyGithubOrg | Self::StatedName => 0.6,
            Self::AnonymousId => 0.5,
            Self::CompanyName => 0.4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_one_name_and_a_confidence() {
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.name()), Some(rule));
            assert!((0.0..=1.0).contains(&rule.confidence()));
        }
        assert!(Rule::ALL.is_sorted());
        assert_eq!(Rule::parse("guess"), None);
    }
}
