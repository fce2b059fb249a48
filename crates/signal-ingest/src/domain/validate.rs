//! The rules every signal obeys, whatever way it came: JSON, gRPC or a webhook.

use contracts::convert;
use contracts::signals::v1::{AccountHint, Actor, SignalInput};
use errors::FieldError;
use ids::SourceId;
use jiff::Timestamp;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::limits::Limits;
use super::text::{self, Fault};
use super::time;

/// Deepest nesting inside `metadata`: the item itself is the first of [`convert::MAX_DEPTH`] levels.
const METADATA_DEPTH: usize = convert::MAX_DEPTH - 1;
/// Longest idempotency key and anonymous id, in characters.
pub const MAX_KEY: usize = 255;
/// Longest text for people: names, titles, industries.
const MAX_TEXT: usize = 255;
/// Longest short word: phone numbers, funding stages.
const MAX_WORD: usize = 64;
/// More people than any company has: beyond it, the sender mixed something up.
const MAX_EMPLOYEES: i64 = 100_000_000;

/// A signal that obeys every rule which needs no look at the database.
///
/// Holds the wire's own records for what is passed on unchanged: the accepted batch *is* that message.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSignal {
    /// What happened.
    pub kind: String,
    /// When it happened, in whole microseconds; `None` means now.
    pub occurred_at: Option<Timestamp>,
    /// The source it names; whether that exists is checked later.
    pub source_id: Option<SourceId>,
    /// The sender's key.
    pub idempotency_key: Option<String>,
    /// The sender's id of an unknown visitor.
    pub anonymous_id: Option<String>,
    /// Whoever did it.
    pub actor: Option<Actor>,
    /// The company.
    pub account: Option<AccountHint>,
    /// Everything else.
    pub metadata: Option<Struct>,
}

/// Checks one signal and brings its texts into the form in which they are kept.
///
/// # Errors
/// Every place that is wrong, with JSON pointers relative to the signal.
pub fn validate(input: SignalInput, limits: &Limits, now: Timestamp) -> Result<NewSignal, Vec<FieldError>> {
    let mut faults = Faults(Vec::new());
    faults.check("/type", text::signal_type(&input.r#type));
    let occurred_at = input
        .timestamp
        .and_then(|at| faults.check("/timestamp", when(&at, limits, now)));
    let source_id = input
        .source_id
        .and_then(|id| faults.check("/sourceId", source(&id)));
    let idempotency_key = input
        .idempotency_key
        .and_then(|key| faults.check("/idempotencyKey", opaque(key)));
    let anonymous_id = input
        .anonymous_id
        .and_then(|id| faults.check("/anonymousId", opaque(id)));
    let actor = input.actor.map(|actor| check_actor(actor, &mut faults));
    let account = input.account.map(|account| check_account(account, &mut faults));
    if let Some(metadata) = &input.metadata
        && let Err((pointer, fault)) = check_struct(metadata, METADATA_DEPTH)
    {
        faults.add(&format!("/metadata{pointer}"), fault);
    }
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    Ok(NewSignal {
        kind: input.r#type,
        occurred_at,
        source_id,
        idempotency_key,
        anonymous_id,
        actor,
        account,
        metadata: input.metadata,
    })
}

/// Checks the key a sender gave for a whole request.
///
/// # Errors
/// What is wrong with it.
pub fn request_key(key: &str) -> Result<(), Fault> {
    opaque(key.to_owned()).map(drop)
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, pointer: &str, fault: Fault) {
        self.0.push(FieldError::new(pointer, fault.code, fault.message));
    }

    fn check<T>(&mut self, pointer: &str, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.add(pointer, fault)).ok()
    }

    /// A text for people or an identity: trimmed; an empty one counts as absent.
    fn tidy<T>(&mut self, pointer: &str, field: Option<String>, rule: T) -> Option<String>
    where
        T: FnOnce(&str) -> Result<Option<String>, Fault>,
    {
        let kept = text::trimmed(field?);
        if kept.is_empty() {
            return None;
        }
        match self.check(pointer, rule(&kept))? {
            Some(changed) => Some(changed),
            None => Some(kept),
        }
    }
}

fn when(at: &prost_types::Timestamp, limits: &Limits, now: Timestamp) -> Result<Timestamp, Fault> {
    let Some(at) = convert::from_timestamp(at) else {
        return text::fault("invalid_timestamp", "is outside of the times that can be stored");
    };
    if at < limits.earliest(now) {
        return text::fault(
            "in_past",
            format!("must be at most {} days back", limits.max_age_days),
        );
    }
    if at > limits.latest(now) {
        return text::fault(
            "in_future",
            format!("must be at most {} seconds ahead of now", limits.max_ahead_secs),
        );
    }
    Ok(time::to_micros(at))
}

fn source(id: &str) -> Result<SourceId, Fault> {
    id.parse()
        .or_else(|_| text::fault("invalid_id", "must be the id of a source: a UUID"))
}

/// An opaque key: kept exactly as sent.
fn opaque(key: String) -> Result<String, Fault> {
    if key.is_empty() {
        return text::fault("too_short", "must not be empty");
    }
    text::plain(&key, MAX_KEY)?;
    Ok(key)
}

fn unchanged(outcome: Result<(), Fault>) -> Result<Option<String>, Fault> {
    outcome.map(|()| None)
}

fn check_actor(actor: Actor, faults: &mut Faults) -> Actor {
    let plain = |max: usize| move |text: &str| unchanged(text::plain(text, max));
    let handle = |text: &str| unchanged(text::handle(text));
    Actor {
        email: faults.tidy("/actor/email", actor.email, |t| {
            text::email(t).map(|kept| Some(kept.into_owned()))
        }),
        github: faults.tidy("/actor/github", actor.github, |t| {
            unchanged(text::github_login(t))
        }),
        npm: faults.tidy("/actor/npm", actor.npm, handle),
        pypi: faults.tidy("/actor/pypi", actor.pypi, handle),
        twitter: faults.tidy("/actor/twitter", actor.twitter, handle),
        linkedin: faults.tidy("/actor/linkedin", actor.linkedin, plain(MAX_TEXT)),
        user_id: faults.tidy("/actor/userId", actor.user_id, plain(MAX_KEY)),
        name: faults.tidy("/actor/name", actor.name, plain(MAX_TEXT)),
        title: faults.tidy("/actor/title", actor.title, plain(MAX_TEXT)),
        company: faults.tidy("/actor/company", actor.company, plain(MAX_TEXT)),
        ip: faults.tidy("/actor/ip", actor.ip, |t| text::ip(t).map(Some)),
        phone: faults.tidy("/actor/phone", actor.phone, plain(MAX_WORD)),
        avatar_url: faults.tidy("/actor/avatarUrl", actor.avatar_url, |t| {
            unchanged(text::web_url(t))
        }),
    }
}

fn check_account(account: AccountHint, faults: &mut Faults) -> AccountHint {
    let plain = |max: usize| move |text: &str| unchanged(text::plain(text, max));
    let employees = account.employees.and_then(|count| {
        let outcome = if (0..=MAX_EMPLOYEES).contains(&count) {
            Ok(count)
        } else {
            text::fault("out_of_range", format!("must be from 0 to {MAX_EMPLOYEES}"))
        };
        faults.check("/account/employees", outcome)
    });
    AccountHint {
        domain: faults.tidy("/account/domain", account.domain, |t| {
            text::host(t).map(|kept| Some(kept.into_owned()))
        }),
        name: faults.tidy("/account/name", account.name, plain(MAX_TEXT)),
        github_org: faults.tidy("/account/githubOrg", account.github_org, |t| {
            unchanged(text::github_login(t))
        }),
        employees,
        industry: faults.tidy("/account/industry", account.industry, plain(MAX_TEXT)),
        country: faults.tidy("/account/country", account.country, |t| {
            text::country(t).map(Some)
        }),
        funding_stage: faults.tidy("/account/fundingStage", account.funding_stage, plain(MAX_WORD)),
    }
}

/// The first thing wrong in free-form data, with the pointer to it. `depth` levels are left, this one included.
///
/// # Errors
/// `too_deep`, `nul_character`, `number_out_of_range` or `required` (a value without a kind).
pub fn check_struct(data: &Struct, depth: usize) -> Result<(), (String, Fault)> {
    if depth == 0 {
        let message = format!("must be nested at most {} levels deep", convert::MAX_DEPTH);
        return Err((
            String::new(),
            Fault {
                code: "too_deep",
                message,
            },
        ));
    }
    for (key, value) in &data.fields {
        let outcome = if key.contains('\0') {
            Err((String::new(), nul()))
        } else {
            check_value(value, depth)
        };
        outcome.map_err(|(pointer, fault)| (format!("/{}{pointer}", super::json::escape(key)), fault))?;
    }
    Ok(())
}

fn check_value(value: &Value, depth: usize) -> Result<(), (String, Fault)> {
    let here = |fault: Fault| Err((String::new(), fault));
    match &value.kind {
        Some(Kind::NullValue(_) | Kind::BoolValue(_)) => Ok(()),
        Some(Kind::NumberValue(n)) if n.is_finite() => Ok(()),
        Some(Kind::NumberValue(_)) => here(Fault {
            code: "number_out_of_range",
            message: "must be a finite number".to_owned(),
        }),
        Some(Kind::StringValue(text)) if text.contains('\0') => here(nul()),
        Some(Kind::StringValue(_)) => Ok(()),
        Some(Kind::StructValue(data)) => check_struct(data, depth - 1),
        Some(Kind::ListValue(_)) if depth == 1 => {
            let message = format!("must be nested at most {} levels deep", convert::MAX_DEPTH);
            here(Fault {
                code: "too_deep",
                message,
            })
        }
        Some(Kind::ListValue(list)) => {
            for (index, value) in list.values.iter().enumerate() {
                check_value(value, depth - 1)
                    .map_err(|(pointer, fault)| (format!("/{index}{pointer}"), fault))?;
            }
            Ok(())
        }
        None => here(Fault {
            code: "required",
            message: "must have a value (null is one)".to_owned(),
        }),
    }
}

fn nul() -> Fault {
    Fault {
        code: "nul_character",
        message: "must not contain the character U+0000".to_owned(),
    }
}

#[cfg(test)]
mod tests;
