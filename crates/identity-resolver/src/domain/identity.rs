//! Ways to recognise a person, and the one spelling of each.

use std::borrow::Cow;
use std::sync::Arc;

use super::rule::Rule;
use super::text::{lower, within};

/// Kinds of identities, in the order in which they decide when a signal carries several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// E-mail address.
    Email,
    /// The sender's own id of the person.
    UserId,
    /// GitHub login.
    Github,
    /// npm user name.
    Npm,
    /// PyPI user name.
    Pypi,
    /// LinkedIn public profile.
    Linkedin,
    /// X (Twitter) handle.
    Twitter,
    /// Phone number in E.164 form.
    Phone,
    /// The sender's id of a visitor; weak: says that signals belong together, not who it is.
    Anonymous,
}

impl IdentityKind {
    /// All kinds, in order.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::UserId,
        Self::Github,
        Self::Npm,
        Self::Pypi,
        Self::Linkedin,
        Self::Twitter,
        Self::Phone,
        Self::Anonymous,
    ];

    /// The name, as in the contract and in rows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::UserId => "user_id",
            Self::Github => "github",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Linkedin => "linkedin",
            Self::Twitter => "twitter",
            Self::Phone => "phone",
            Self::Anonymous => "anonymous",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The rule that decides by it.
    #[must_use]
    pub fn rule(self) -> Rule {
        match self {
            Self::Email => Rule::Email,
            Self::UserId => Rule::UserId,
            Self::Github => Rule::GithubLogin,
            Self::Npm => Rule::NpmUser,
            Self::Pypi => Rule::PypiUser,
            Self::Linkedin => Rule::LinkedinProfile,
            Self::Twitter => Rule::TwitterHandle,
            Self::Phone => Rule::Phone,
            Self::Anonymous => Rule::AnonymousId,
        }
    }

    /// Whether it says who somebody is.
    #[must_use]
    pub fn is_strong(self) -> bool {
        self != Self::Anonymous
    }
}

/// An identity in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey {
    /// What it is.
    pub kind: IdentityKind,
    /// The normal form.
    pub value: Arc<str>,
}

impl IdentityKey {
    /// An identity whose value is in its normal form already.
    pub fn new(kind: IdentityKind, value: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }
}

/// Values that clients send when they know nobody (`String(undefined)` and the like), in lower case, sorted.
const PLACEHOLDERS: [&str; 24] = [
    "",
    "-",
    "-1",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "[object object]",
    "anonymous",
    "distinct_id",
    "distinctid",
    "email",
    "false",
    "guest",
    "id",
    "n/a",
    "nan",
    "nil",
    "none",
    "not_authenticated",
    "null",
    "true",
    "undefined",
    "unknown",
    "user",
    "userid",
];

/// Longest identity that is an opaque text of the sender.
const MAX_OPAQUE: usize = 255;

/// An opaque id of the sender's: trimmed, letter case kept.
pub(super) fn opaque(kind: IdentityKind, stated: &str) -> Option<IdentityKey> {
    let value = within(stated, MAX_OPAQUE)?;
    if PLACEHOLDERS
        .binary_search(&&*lower(Cow::Borrowed(&value)))
        .is_ok()
    {
        return None;
    }
    Some(IdentityKey::new(kind, &*value))
}

/// A login of GitHub: letters, digits, hyphens (and `_` of enterprise-managed users), at most 39. Logins of apps
/// (`…[bot]`) are no persons.
pub(super) fn github(stated: &str) -> Option<IdentityKey> {
    handle(IdentityKind::Github, stated, &["github.com/"], 39, |c| {
        c.is_ascii_alphanumeric() || c == '-' || c == '_'
    })
    .filter(|key| !key.value.starts_with('-'))
}

/// An npm user name.
pub(super) fn npm(stated: &str) -> Option<IdentityKey> {
    handle(IdentityKind::Npm, stated, &["npmjs.com/~"], 214, |c| {
        c.is_ascii_alphanumeric() || "-._~".contains(c)
    })
}

/// A PyPI user name.
pub(super) fn pypi(stated: &str) -> Option<IdentityKey> {
    handle(IdentityKind::Pypi, stated, &["pypi.org/user/"], 50, |c| {
        c.is_ascii_alphanumeric() || "-._".contains(c)
    })
}

/// A handle of X.
pub(super) fn twitter(stated: &str) -> Option<IdentityKey> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    handle(
        IdentityKind::Twitter,
        stated,
        &["twitter.com/", "x.com/"],
        15,
        valid,
    )
}

/// The last part of a LinkedIn profile's URL.
pub(super) fn linkedin(stated: &str) -> Option<IdentityKey> {
    let valid = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '%';
    handle(IdentityKind::Linkedin, stated, &["linkedin.com/in/"], 100, valid)
}

/// A phone number with its country code, E.164: `+` and 7 to 15 digits. Without the code it is ambiguous, and ignored.
pub(super) fn phone(stated: &str) -> Option<IdentityKey> {
    let stated = within(stated, 40)?;
    let number = stated.strip_prefix('+').or_else(|| stated.strip_prefix("00"))?;
    let mut value = String::with_capacity(16);
    value.push('+');
    for c in number.chars() {
        match c {
            '0'..='9' => value.push(c),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' => {}
            _ => return None,
        }
    }
    let plausible = (8..=16).contains(&value.len()) && !value.starts_with("+0");
    plausible.then(|| IdentityKey::new(IdentityKind::Phone, value))
}

/// A name on a platform: leading `@` or `~` and the platform's URL removed, lower case.
fn handle(
    kind: IdentityKind,
    stated: &str,
    sites: &[&str],
    max: usize,
    valid: impl Fn(char) -> bool,
) -> Option<IdentityKey> {
    let stated = lower(within(stated, 512)?);
    let mut rest = stated
        .strip_prefix("https://")
        .or_else(|| stated.strip_prefix("http://"))
        .unwrap_or(&stated);
    rest = rest.strip_prefix("www.").unwrap_or(rest);
    match sites.iter().find_map(|site| rest.strip_prefix(site)) {
        Some(path) => rest = path.split(['/', '?', '#']).next().unwrap_or_default(),
        None => rest = rest.trim_start_matches(['@', '~']),
    }
    let fits = !rest.is_empty() && rest.chars().count() <= max && rest.chars().all(valid);
    if !fits || PLACEHOLDERS.binary_search(&rest).is_ok() {
        return None;
    }
    Some(IdentityKey::new(kind, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: Option<IdentityKey>) -> Option<String> {
        key.map(|key| key.value.to_string())
    }

    #[test]
    fn handles_have_one_normal_form() {
        assert!(PLACEHOLDERS.is_sorted());
        for (key, expected) in [
            (github(" @OctoCat "), Some("octocat")),
            (
                github("https://github.com/OctoCat?tab=repositories"),
                Some("octocat"),
            ),
            (github("dependabot[bot]"), None),
            (github("-x"), None),
            (github("a b"), None),
            (github("null"), None),
            (github(&"a".repeat(40)), None),
            (npm("~Sindre.Sorhus"), Some("sindre.sorhus")),
            (npm("https://www.npmjs.com/~x"), Some("x")),
            (pypi("Jane_D"), Some("jane_d")),
            (twitter("https://x.com/Jane/status/1"), Some("jane")),
            (twitter("way_too_long_for_it"), None),
            (
                linkedin("https://www.linkedin.com/in/Jane-Doe-123/"),
                Some("jane-doe-123"),
            ),
            (linkedin("jörg"), Some("jörg")),
            (phone("+49 (30) 123-4567"), Some("+49301234567")),
            (phone("0049 30 1234567"), Some("+49301234567")),
            (phone("030 1234567"), None),
            (phone("+12"), None),
            (phone("+49abc1234567"), None),
        ] {
            assert_eq!(value(key).as_deref(), expected);
        }
    }

    #[test]
    fn opaque_ids_keep_their_case_and_placeholders_are_nobody() {
        assert_eq!(
            value(opaque(IdentityKind::UserId, " U-1a ")).as_deref(),
            Some("U-1a")
        );
        for nobody in [
            "null",
            "Undefined",
            "[object Object]",
            "0",
            " ",
            "NaN",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(opaque(IdentityKind::Anonymous, nobody), None, "{nobody}");
        }
        assert_eq!(opaque(IdentityKind::UserId, &"x".repeat(256)), None);
    }

    #[test]
    fn kinds_have_names_rules_and_an_order() {
        assert!(IdentityKind::ALL.is_sorted());
        for kind in IdentityKind::ALL {
            assert_eq!(IdentityKind::parse(kind.name()), Some(kind));
            assert!(Rule::parse(kind.rule().name()).is_some());
        }
    }
}
