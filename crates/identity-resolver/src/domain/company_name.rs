//! Company names as people write them: the form in which two spellings are one, and GitHub's `@org` convention.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use unicode_normalization::UnicodeNormalization as _;

use super::{host, identity, text};

/// What people write who name no company. `data/no_company.txt`.
static NO_COMPANY: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| text::lines(include_str!("../../data/no_company.txt")).collect());

/// Legal forms at the end of a name; dropped, since half of the writers do.
const LEGAL_FORMS: [&str; 41] = [
    "ab",
    "ag",
    "aps",
    "as",
    "asa",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "doo",
    "eood",
    "gmbh",
    "inc",
    "incorporated",
    "kft",
    "kg",
    "kk",
    "limited",
    "llc",
    "llp",
    "lp",
    "ltd",
    "ltda",
    "mbh",
    "nv",
    "ohg",
    "oy",
    "oyj",
    "plc",
    "pte",
    "pty",
    "pvt",
    "sa",
    "sarl",
    "sas",
    "se",
    "spa",
    "srl",
    "sro",
    "ug",
];

/// Longest name that is looked up.
const MAX_NAME: usize = 200;

/// What a person's `company` field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Company {
    /// `@acme`: a GitHub organization.
    GithubOrg(Arc<str>),
    /// A name.
    Name(CompanyName),
}

/// A company's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CompanyName {
    /// As written.
    pub(super) written: Arc<str>,
    /// The form in which spellings are compared: `acme` of `Acme, Inc.`
    pub(super) key: Arc<str>,
}

/// Reads a `company` field. Of `@acme @foo` the first counts.
pub(super) fn field(stated: &str) -> Option<Company> {
    let stated = text::cut(stated, MAX_NAME)?;
    if stated.starts_with('@') || stated.to_ascii_lowercase().contains("github.com/") {
        let first = stated.split([' ', ',', ';', '|']).next().unwrap_or_default();
        return identity::github(first).map(|org| Company::GithubOrg(org.value));
    }
    name(&stated).map(Company::Name)
}

/// Reads a name. `None` when it names nobody (`Freelancer`, `N/A`).
pub(super) fn name(stated: &str) -> Option<CompanyName> {
    let written = text::cut(stated, MAX_NAME)?;
    let mut words: Vec<String> = Vec::new();
    // Compatibility form, so that full-width letters and ligatures compare equal. Dots and apostrophes join (`Inc.`,
    // `S.A.`, `Levi's`), everything else that is no letter or digit parts.
    let folded: String = written
        .nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| !".'’".contains(*c))
        .collect();
    words.extend(
        folded
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned),
    );
    if words.len() > 1 && words.first().is_some_and(|word| word == "the") {
        words.remove(0);
    }
    while words.len() > 1
        && words
            .last()
            .is_some_and(|word| LEGAL_FORMS.binary_search(&word.as_str()).is_ok())
    {
        words.pop();
    }
    let key = words.join(" ");
    let letters = key.chars().filter(|c| c.is_alphanumeric()).count();
    if letters < 2 || key.len() > MAX_NAME * 4 || NO_COMPANY.contains(key.as_str()) {
        return None;
    }
    Some(CompanyName {
        written: Arc::from(&*written),
        key: Arc::from(key),
    })
}

/// Whether two written names are one in compared form.
pub(super) fn is_spelling_of(one: &str, two: &str) -> bool {
    match (name(one), name(two)) {
        (Some(one), Some(two)) => one.key == two.key,
        _ => one == two,
    }
}

/// Whether a domain is registered under this name: `acme.com` and `Acme, Inc.`, `@acme` or `ac-me`. What makes a
/// person's two statements about an employer one statement.
pub(super) fn is_label_of(name_or_org: &str, domain: &str) -> bool {
    alike(name_or_org, host::registered_label(domain))
}

/// Whether two names are the same but for spaces and hyphens.
pub(super) fn alike(one: &str, two: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    letters(one) == letters(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(stated: &str) -> Option<String> {
        name(stated).map(|name| name.key.to_string())
    }

    #[test]
    fn spellings_of_one_name_have_one_key() {
        assert!(LEGAL_FORMS.is_sorted());
        for spelling in [
            "Acme",
            "ACME, Inc.",
            "acme inc",
            "The Acme Company",
            "Acme GmbH & Co. KG",
            " Acme  Ltd. ",
            "Ａｃｍｅ",
        ] {
            assert_eq!(key(spelling).as_deref(), Some("acme"), "{spelling}");
        }
        assert_eq!(key("Foo-Bar Labs S.A.").as_deref(), Some("foo bar labs"));
        assert_eq!(key("Levi's").as_deref(), Some("levis"));
        assert_eq!(key("株式会社メルカリ").as_deref(), Some("株式会社メルカリ"));
    }

    #[test]
    fn who_names_no_company_has_none() {
        for nobody in [
            "",
            "-",
            "N/A",
            "none",
            "Freelancer",
            "Self-employed",
            "student",
            "x",
            "@",
            "@ acme",
            "...",
        ] {
            assert_eq!(field(nobody), None, "{nobody}");
        }
        assert!(text::lines(include_str!("../../data/no_company.txt")).is_sorted());
        for line in text::lines(include_str!("../../data/no_company.txt")) {
            let written: Vec<_> = line.split(' ').collect();
            assert!(
                written.iter().all(|w| w.chars().all(char::is_alphanumeric)),
                "not in compared form: {line}"
            );
        }
    }

    #[test]
    fn the_company_field_names_a_github_organization_or_a_name() {
        let org = |org: &str| Some(Company::GithubOrg(Arc::from(org)));
        assert_eq!(field("@Acme"), org("acme"));
        assert_eq!(field("@acme-labs, @foo"), org("acme-labs"));
        assert_eq!(field("https://github.com/Acme"), org("acme"));
        assert!(matches!(field("Acme, Inc."), Some(Company::Name(name)) if &*name.written == "Acme, Inc."));
    }

    #[test]
    fn a_domain_is_registered_under_a_name() {
        assert!(is_label_of("acme", "acme.com"));
        assert!(is_label_of("foo bar", "foo-bar.io"));
        assert!(!is_label_of("kubernetes", "consultancy.com"));
    }
}
