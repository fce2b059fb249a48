//! Changes by hand: what is allowed, with the exact place of everything that is not.

use errors::FieldError;

use super::account::AccountField;
use super::contact::{ContactField, ToldAccount};
use super::extras::Extras;
use super::identity::Identity;
use super::{country, text};

/// Most employees a company can have.
const MAX_EMPLOYEES: i64 = 10_000_000;

/// Values a person sets on an account; `None` stays, `Some(None)` removes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccountEdit {
    /// Name.
    pub name: Option<String>,
    /// Number of employees.
    pub employees: Option<i64>,
    /// Industry.
    pub industry: Option<Option<String>>,
    /// Country.
    pub country: Option<Option<String>>,
    /// Funding stage.
    pub funding_stage: Option<Option<String>>,
    /// Registrable domain.
    pub domain: Option<Option<String>>,
    /// GitHub organization.
    pub github_org: Option<Option<String>>,
    /// Owner, tags and own fields, as they are after the change.
    pub extras: Option<Extras>,
}

impl AccountEdit {
    /// The fields that are set.
    pub fn fields(&self) -> impl Iterator<Item = AccountField> {
        let set = [
            (AccountField::Name, self.name.is_some()),
            (AccountField::Employees, self.employees.is_some()),
            (AccountField::Industry, self.industry.is_some()),
            (AccountField::Country, self.country.is_some()),
            (AccountField::FundingStage, self.funding_stage.is_some()),
            (AccountField::Domain, self.domain.is_some()),
            (AccountField::GithubOrg, self.github_org.is_some()),
        ];
        set.into_iter()
            .filter_map(|(field, is_set)| is_set.then_some(field))
    }
}

/// Values a person sets on a contact; `None` stays, `Some(None)` removes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactEdit {
    /// Name.
    pub name: Option<String>,
    /// Job title.
    pub title: Option<Option<String>>,
    /// Company as stated.
    pub company: Option<Option<String>>,
    /// The primary e-mail address, one of `stated`.
    pub email: Option<String>,
    /// Identities that are stated.
    pub stated: Vec<Identity>,
    /// The account.
    pub account: Option<Option<ToldAccount>>,
    /// Owner, tags and own fields, as they are after the change.
    pub extras: Option<Extras>,
}

impl ContactEdit {
    /// The fields that are set.
    pub fn fields(&self) -> impl Iterator<Item = ContactField> {
        let set = [
            (ContactField::Name, self.name.is_some()),
            (ContactField::Title, self.title.is_some()),
            (ContactField::Company, self.company.is_some()),
            (ContactField::Email, self.email.is_some()),
            (ContactField::AccountId, self.account.is_some()),
        ];
        set.into_iter()
            .filter_map(|(field, is_set)| is_set.then_some(field))
    }
}

/// What is wrong with an edit, all of it. JSON pointers as in the REST body.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldError>);

impl Problems {
    /// `value` if nothing was wrong.
    ///
    /// # Errors
    /// Everything that was wrong.
    pub fn unless<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Notes a problem.
    pub fn add(&mut self, pointer: &str, code: &str, message: String) {
        self.0.push(FieldError::new(pointer, code, message));
    }

    /// A name: 1 to 200 characters, not only spaces.
    pub fn name(&mut self, pointer: &str, given: Option<String>) -> Option<String> {
        let given = given?;
        match self.bounded(pointer, &given, text::MAX_NAME)? {
            Some(name) => Some(name),
            None => {
                self.add(
                    pointer,
                    "required",
                    format!("a name has 1 to {} characters", text::MAX_NAME),
                );
                None
            }
        }
    }

    /// A text that an empty one removes.
    pub fn removable(&mut self, pointer: &str, given: Option<String>, max: usize) -> Option<Option<String>> {
        self.bounded(pointer, &given?, max)
    }

    /// A headcount: 1 to 10,000,000.
    pub fn employees(&mut self, pointer: &str, given: Option<i64>) -> Option<i64> {
        let given = given?;
        if (1..=MAX_EMPLOYEES).contains(&given) {
            return Some(given);
        }
        self.add(
            pointer,
            "out_of_range",
            format!("the number of employees is 1 to {MAX_EMPLOYEES}"),
        );
        None
    }

    /// A country code that an empty one removes.
    pub fn country(&mut self, pointer: &str, given: Option<String>) -> Option<Option<String>> {
        let given = given?;
        if given.is_empty() {
            return Some(None);
        }
        let known = country::normalised(&given);
        if known.is_none() {
            self.add(
                pointer,
                "unknown_country",
                "a country is an ISO 3166-1 alpha-2 code, for example `DE`".into(),
            );
        }
        known.map(Some)
    }

    /// Trims; `Some(None)` for what is empty then, `None` for what was refused.
    fn bounded(&mut self, pointer: &str, given: &str, max: usize) -> Option<Option<String>> {
        if given.chars().any(char::is_control) {
            self.add(
                pointer,
                "invalid_character",
                "control characters are not allowed".into(),
            );
            return None;
        }
        let trimmed = given.trim();
        if trimmed.chars().count() > max {
            self.add(
                pointer,
                "too_long",
                format!("at most {max} characters are allowed"),
            );
            return None;
        }
        Some((!trimmed.is_empty()).then(|| trimmed.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of<T>(check: impl Fn(&mut Problems) -> Option<T>) -> Option<String> {
        let mut problems = Problems::default();
        let value = check(&mut problems);
        match problems.unless(()) {
            Ok(()) => None,
            Err(fields) => {
                assert!(value.is_none(), "what is refused has no value");
                assert_eq!(fields.len(), 1);
                assert_eq!(fields[0].pointer, "/x");
                Some(fields[0].code.clone())
            }
        }
    }

    #[test]
    fn names_are_trimmed_bounded_and_not_empty() {
        let name = |given: &str| code_of(|p| p.name("/x", Some(given.to_owned())));
        assert_eq!(name(" Acme "), None);
        assert_eq!(name(&"ü".repeat(200)), None);
        assert_eq!(name(&"ü".repeat(201)).as_deref(), Some("too_long"));
        assert_eq!(name("  ").as_deref(), Some("required"));
        assert_eq!(name("").as_deref(), Some("required"));
        assert_eq!(name("a\0b").as_deref(), Some("invalid_character"));
        assert_eq!(
            Problems::default().name("/x", Some(" Acme ".into())).as_deref(),
            Some("Acme")
        );
    }

    #[test]
    fn an_empty_text_removes_and_an_absent_one_stays() {
        let mut problems = Problems::default();
        assert_eq!(problems.removable("/x", Some(String::new()), 5), Some(None));
        assert_eq!(
            problems.removable("/x", Some(" ab ".into()), 5),
            Some(Some("ab".into()))
        );
        assert_eq!(problems.removable("/x", None, 5), None);
        assert_eq!(problems.country("/x", Some(String::new())), Some(None));
        assert_eq!(problems.country("/x", Some("de".into())), Some(Some("DE".into())));
        assert!(problems.unless(()).is_ok());
    }

    #[test]
    fn headcounts_and_countries_are_checked() {
        for bad in [0, -1, 10_000_001, i64::MAX] {
            assert_eq!(
                code_of(|p| p.employees("/x", Some(bad))).as_deref(),
                Some("out_of_range"),
                "{bad}"
            );
        }
        assert_eq!(code_of(|p| p.employees("/x", Some(1))), None);
        assert_eq!(
            code_of(|p| p.country("/x", Some("XX".into()))).as_deref(),
            Some("unknown_country")
        );
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut problems = Problems::default();
        problems.name("/name", Some(String::new()));
        problems.employees("/employees", Some(0));
        let pointers: Vec<String> = problems
            .unless(())
            .unwrap_err()
            .into_iter()
            .map(|f| f.pointer)
            .collect();
        assert_eq!(pointers, ["/name", "/employees"]);
    }
}
