//! What a person gives of a field, of accounts, contacts, deals or custom objects: whether it makes sense.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::custom::{MAX_PATTERN, Rule, Type, compiled};
use crate::domain::edit::Problems;

/// Longest key, in characters.
const MAX_KEY: usize = 50;
/// Longest label and option, in characters.
pub(super) const MAX_LABEL: usize = 100;
/// Most options.
const MAX_OPTIONS: usize = 200;

/// A field as it is given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: String,
    pub(super) label: Option<String>,
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) unique: bool,
    pub(super) pattern: Option<String>,
    pub(super) options: Vec<String>,
    pub(super) default: Option<Value>,
}

/// The rule, without an id; `None` when something does not fit, which is noted under `at`.
pub(super) fn rule(problems: &mut Problems, at: &str, given: Given) -> Option<Rule> {
    let before = problems.count();
    let kind = Type::parse(&given.kind);
    if kind.is_none() {
        let names: Vec<&str> = Type::ALL.iter().map(|kind| kind.name()).collect();
        let message = format!("it is one of: {}", names.join(", "));
        problems.add(&format!("{at}/type"), "unknown_value", message);
    }
    if !is_key(&given.key) {
        let message = "a key has 1 to 50 characters of a-z, 0-9 and _, and begins with a letter";
        problems.add(&format!("{at}/key"), "invalid_key", message.to_owned());
    }
    let label = given.label.filter(|label| !label.is_empty());
    let label = problems.line(&format!("{at}/label"), label, MAX_LABEL);
    let options = options(problems, &format!("{at}/options"), given.options);
    let kind = kind?;
    check_limits(problems, at, kind, &options, given.unique);
    let pattern = pattern(problems, at, kind, given.pattern.unwrap_or_default());
    let mut rule = Rule {
        id: Uuid::nil(),
        label: label.unwrap_or_else(|| given.key.clone()),
        key: given.key,
        kind,
        required: given.required,
        unique: given.unique,
        pattern,
        options,
        default: None,
    };
    if problems.count() == before {
        set_default(problems, at, &mut rule, given.default);
    }
    (problems.count() == before).then_some(rule)
}

/// What only some types have.
fn check_limits(problems: &mut Problems, at: &str, kind: Type, options: &[String], unique: bool) {
    match kind {
        Type::Enum if options.is_empty() => {
            let message = "an enum has options".to_owned();
            problems.add(&format!("{at}/options"), "required", message);
        }
        Type::Enum | Type::List => {}
        _ if options.is_empty() => {}
        _ => {
            let message = "only an enum or a list has options".to_owned();
            problems.add(&format!("{at}/options"), "not_allowed", message);
        }
    }
    if unique && !kind.can_be_unique() {
        let message = "only text, number, url, email and reference can be unique".to_owned();
        problems.add(&format!("{at}/unique"), "not_allowed", message);
    }
}

fn set_default(problems: &mut Problems, at: &str, rule: &mut Rule, default: Option<Value>) {
    let Some(value) = default.filter(|value| !value.is_null()) else {
        return;
    };
    match rule.check(&value) {
        Ok(_) if rule.unique => {
            let message = "a unique field has no default".to_owned();
            problems.add(&format!("{at}/defaultValue"), "not_allowed", message);
        }
        Ok(value) => rule.default = Some(value),
        Err(problem) => problems.add(
            &format!("{at}/defaultValue{}", problem.place),
            problem.code,
            problem.message,
        ),
    }
}

/// Whether programs can call something so.
pub(super) fn is_key(key: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=MAX_KEY).contains(&key.len())
        && key.bytes().all(fits)
        && key.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Options, cleaned, each once.
pub(super) fn options(problems: &mut Problems, pointer: &str, given: Vec<String>) -> Vec<String> {
    if given.len() > MAX_OPTIONS {
        problems.add(
            pointer,
            "too_many",
            format!("at most {MAX_OPTIONS} options are allowed"),
        );
        return Vec::new();
    }
    let mut options: Vec<String> = Vec::with_capacity(given.len());
    for (index, option) in given.into_iter().enumerate() {
        let place = format!("{pointer}/{index}");
        match problems.line(&place, Some(option), MAX_LABEL) {
            Some(option) if options.contains(&option) => {
                problems.add(&place, "repeated", "an option stands once".to_owned());
            }
            Some(option) => options.push(option),
            None => {}
        }
    }
    options
}

fn pattern(problems: &mut Problems, at: &str, kind: Type, given: String) -> Option<String> {
    if given.is_empty() {
        return None;
    }
    if kind != Type::Text {
        let message = "only a text has a pattern".to_owned();
        problems.add(&format!("{at}/pattern"), "not_allowed", message);
        return None;
    }
    if given.chars().count() > MAX_PATTERN {
        problems.add(
            &format!("{at}/pattern"),
            "too_long",
            format!("at most {MAX_PATTERN} characters are allowed"),
        );
        return None;
    }
    match compiled(&given) {
        Ok(_) => Some(given),
        Err(_) => {
            problems.add(
                &format!("{at}/pattern"),
                "invalid_pattern",
                "it is no regular expression".to_owned(),
            );
            None
        }
    }
}
