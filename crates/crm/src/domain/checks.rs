//! Checks of values that several kinds of records have; each problem with its place.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::edit::Problems;
use super::extras::{MAX_TAG, MAX_TAGS, tag_key};

/// Longest text of a note, an activity or a task, in characters.
pub const MAX_BODY: usize = 20_000;

impl Problems {
    /// Whether nothing was wrong so far.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.count() == 0
    }

    /// A text of 1 to `max` characters, without control characters.
    pub fn line(&mut self, pointer: &str, given: Option<String>, max: usize) -> Option<String> {
        match self.removable(pointer, given, max)? {
            Some(text) => Some(text),
            None => {
                self.add(pointer, "required", format!("1 to {max} characters are needed"));
                None
            }
        }
    }

    /// A text of several lines that an empty one removes.
    pub fn body(&mut self, pointer: &str, given: Option<String>) -> Option<Option<String>> {
        let given = given?;
        if given
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        {
            self.add(
                pointer,
                "invalid_character",
                "control characters besides line breaks and tabs are not allowed".into(),
            );
            return None;
        }
        if given.chars().count() > MAX_BODY {
            self.add(
                pointer,
                "too_long",
                format!("at most {MAX_BODY} characters are allowed"),
            );
            return None;
        }
        Some((!given.trim().is_empty()).then_some(given))
    }

    /// An id that an empty text removes.
    pub fn id<T: FromStr>(&mut self, pointer: &str, given: Option<&str>) -> Option<Option<T>> {
        let given = given?;
        if given.is_empty() {
            return Some(None);
        }
        match given.parse() {
            Ok(id) => Some(Some(id)),
            Err(_) => {
                self.add(pointer, "invalid_id", "an id is a UUID in canonical form".into());
                None
            }
        }
    }

    /// The id of a user, who is kept elsewhere; an empty text removes.
    pub fn user(&mut self, pointer: &str, given: Option<&str>) -> Option<Option<Uuid>> {
        let id: Option<ids::ActorId> = self.id(pointer, given)?;
        Some(id.map(ids::ActorId::uuid))
    }

    /// One of `words`; an empty text removes.
    pub fn word(
        &mut self,
        pointer: &str,
        given: Option<&str>,
        words: &[&'static str],
    ) -> Option<Option<&'static str>> {
        let given = given?;
        if given.is_empty() {
            return Some(None);
        }
        match words.iter().find(|word| **word == given) {
            Some(word) => Some(Some(word)),
            None => {
                self.add(
                    pointer,
                    "unknown_value",
                    format!("it is one of: {}", words.join(", ")),
                );
                None
            }
        }
    }

    /// A time from the wire; `None` in the outer place stands for one that cannot be.
    pub fn time(&mut self, pointer: &str, given: Option<Option<Timestamp>>) -> Option<Timestamp> {
        let given = given?;
        let years = |at: &Timestamp| (0..=253_402_300_799).contains(&at.as_second());
        match given.filter(years) {
            Some(at) => Some(super::micros(at)),
            None => {
                self.add(
                    pointer,
                    "out_of_range",
                    "a time lies in the years 1970 to 9999".into(),
                );
                None
            }
        }
    }

    /// A day as `YYYY-MM-DD` that an empty text removes.
    pub fn day(&mut self, pointer: &str, given: Option<&str>) -> Option<Option<String>> {
        let given = given?;
        if given.is_empty() {
            return Some(None);
        }
        if let Some(day) = day(given) {
            return Some(Some(day));
        }
        self.add(pointer, "invalid_date", "a day is written YYYY-MM-DD".into());
        None
    }

    /// An e-mail address in lower case that an empty text removes.
    pub fn email(&mut self, pointer: &str, given: Option<&str>) -> Option<Option<String>> {
        let given = given?.trim();
        if given.is_empty() {
            return Some(None);
        }
        if let Some(email) = email(given) {
            return Some(Some(email));
        }
        self.add(
            pointer,
            "invalid_email",
            "an e-mail address is name@domain, in ASCII, at most 254 characters".into(),
        );
        None
    }

    /// A GitHub login in lower case.
    pub fn login(&mut self, pointer: &str, given: Option<&str>) -> Option<String> {
        let login = given?.trim().trim_start_matches('@').to_ascii_lowercase();
        if login.is_empty() {
            return None;
        }
        let fits = login.len() <= 39 && login.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits && !login.starts_with('-') {
            return Some(login);
        }
        self.add(pointer, "invalid_login", "it is no GitHub login".into());
        None
    }

    /// A phone number in E.164.
    pub fn phone(&mut self, pointer: &str, given: Option<&str>) -> Option<String> {
        let given = given?.trim();
        if given.is_empty() {
            return None;
        }
        let digits: String = given
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/'))
            .collect();
        let fits = digits.strip_prefix('+').is_some_and(|rest| {
            (7..=15).contains(&rest.len())
                && rest.bytes().all(|b| b.is_ascii_digit())
                && !rest.starts_with('0')
        });
        if fits {
            return Some(digits);
        }
        self.add(
            pointer,
            "invalid_phone",
            "a phone number begins with + and the country code".into(),
        );
        None
    }

    /// What an upsert goes by: `wanted`, and the request must have it.
    pub fn matches(&mut self, pointer: &str, given: &str, wanted: &str, is_there: bool) {
        if given != wanted {
            self.add(pointer, "unknown_value", format!("it can only be {wanted}"));
        } else if !is_there {
            self.add(
                &format!("/{wanted}"),
                "required",
                format!("{wanted} is needed to match by"),
            );
        }
    }

    /// A registrable domain that an empty text removes; of a longer host name the registrable part.
    pub fn domain(&mut self, pointer: &str, given: Option<&str>) -> Option<Option<String>> {
        let given = given?.trim();
        if given.is_empty() {
            return Some(None);
        }
        if let Some(domain) = domain(given) {
            return Some(Some(domain));
        }
        self.add(
            pointer,
            "invalid_domain",
            "a domain is one that can be registered, for example acme.com".into(),
        );
        None
    }

    /// Names of tags, cleaned, each once.
    pub fn tags(&mut self, pointer: &str, given: Option<Vec<Value>>) -> Option<Vec<String>> {
        let given = given?;
        if given.len() > MAX_TAGS {
            self.add(
                pointer,
                "too_many",
                format!("a record has at most {MAX_TAGS} tags"),
            );
            return None;
        }
        let mut names: Vec<String> = Vec::with_capacity(given.len());
        for (index, value) in given.into_iter().enumerate() {
            let place = format!("{pointer}/{index}");
            let Value::String(name) = value else {
                self.add(&place, "not_a_string", "a tag is a text".into());
                continue;
            };
            if let Some(name) = self.line(&place, Some(name), MAX_TAG) {
                let key = tag_key(&name);
                if names.iter().all(|known| tag_key(known) != key) {
                    names.push(name);
                }
            }
        }
        Some(names)
    }
}

/// The day, if it is one.
#[must_use]
pub fn day(text: &str) -> Option<String> {
    let day: jiff::civil::Date = text.parse().ok()?;
    (text.len() == 10 && (0..=9999).contains(&day.year())).then(|| day.to_string())
}

/// The address in lower case, if it is one: RFC 5321 without quoted names, address literals and non-ASCII letters.
#[must_use]
pub fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let (name, host) = text.rsplit_once('@')?;
    let name_fits = (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b));
    (name_fits && text.len() <= 254 && is_host(host)).then(|| text.to_ascii_lowercase())
}

/// The registrable domain of a host name, by the public suffix list.
#[must_use]
pub fn domain(text: &str) -> Option<String> {
    let host = text.trim().trim_end_matches('.').to_ascii_lowercase();
    if !is_host(&host) {
        return None;
    }
    let suffix = psl::suffix(host.as_bytes())?;
    if !suffix.is_known() {
        return None;
    }
    psl::domain_str(&host).map(str::to_owned)
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.len() <= 253
        && host.contains('.')
        && host.split('.').all(label)
        && host
            .rsplit('.')
            .next()
            .is_some_and(|top| top.bytes().any(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_lower_case_and_nothing_else_is_one() {
        assert_eq!(email(" Dev@Acme.COM ").as_deref(), Some("dev@acme.com"));
        assert_eq!(email("a+b@x.dev").as_deref(), Some("a+b@x.dev"));
        for bad in [
            "",
            "a",
            "@x.dev",
            "a@",
            "a@b",
            "a b@x.dev",
            ".a@x.dev",
            "a..b@x.dev",
            "a@-x.dev",
            "a@1.2.3.4",
            "ä@x.dev",
            "a@x.dev\0",
        ] {
            assert_eq!(email(bad), None, "{bad}");
        }
    }

    #[test]
    fn domains_are_the_registrable_part() {
        assert_eq!(domain("WWW.Acme.co.uk").as_deref(), Some("acme.co.uk"));
        for bad in [
            "com",
            "co.uk",
            "acme",
            "127.0.0.1",
            "a b.com",
            "https://acme.com",
            "",
        ] {
            assert_eq!(domain(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_are_cleaned_and_each_once() {
        let mut problems = Problems::default();
        let tags = problems.tags("/tags", Some(vec![" VIP ".into(), "vip".into(), "b".into()]));
        assert_eq!(tags, Some(vec!["VIP".to_owned(), "b".to_owned()]));
        problems.tags(
            "/tags",
            Some(vec![Value::from(1), "".into(), "x".repeat(51).into()]),
        );
        let found: Vec<_> = problems
            .unless(())
            .unwrap_err()
            .into_iter()
            .map(|f| (f.pointer, f.code))
            .collect();
        let expected = [
            ("/tags/0", "not_a_string"),
            ("/tags/1", "required"),
            ("/tags/2", "too_long"),
        ];
        assert_eq!(found, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    }

    #[test]
    fn days_are_days() {
        assert_eq!(day("2026-02-28").as_deref(), Some("2026-02-28"));
        for bad in ["2026-02-30", "2026-2-3", "26-02-03", "2026-02-03T00:00:00Z", ""] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
