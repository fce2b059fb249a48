//! One signal as JSON: names and types of its fields.

use std::collections::HashSet;

use contracts::convert;
use contracts::signals::v1::{AccountHint, Actor, SignalInput};
use errors::FieldError;

use super::escape;
use super::metadata::{FreeForm, Spoiled};
use super::reader::{Malformed, Next, Reader};
use crate::domain::text::Fault;
use crate::domain::time;

/// More faults of one item than anyone reads at once.
const MAX_FAULTS: usize = 20;

const SIGNAL: &[&str] = &[
    "type",
    "timestamp",
    "sourceId",
    "idempotencyKey",
    "anonymousId",
    "actor",
    "account",
    "metadata",
];
const ACTOR: &[&str] = &[
    "email",
    "github",
    "npm",
    "pypi",
    "twitter",
    "linkedin",
    "userId",
    "name",
    "title",
    "company",
    "ip",
    "phone",
    "avatarUrl",
];
const ACCOUNT: &[&str] = &[
    "domain",
    "name",
    "githubOrg",
    "employees",
    "industry",
    "country",
    "fundingStage",
];

/// Reads one item; faults of its values are collected, faults of the document end it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    next: Next,
) -> Result<Result<SignalInput, Vec<FieldError>>, Malformed> {
    let mut item = ItemReader {
        reader,
        faults: Vec::new(),
    };
    let signal = item.signal(next)?;
    Ok(if item.faults.is_empty() {
        Ok(signal)
    } else {
        Err(item.faults)
    })
}

struct ItemReader<'r, 'j> {
    reader: &'r mut Reader<'j>,
    faults: Vec<FieldError>,
}

/// The field a key names, or the key itself when it names none.
enum Field {
    Known(usize),
    Unknown(String),
}

impl<'j> ItemReader<'_, 'j> {
    fn signal(&mut self, next: Next) -> Result<SignalInput, Malformed> {
        let mut signal = SignalInput::default();
        if !self.is_object("", next)? {
            return Ok(signal);
        }
        self.fields("", SIGNAL, |item, field, next| {
            match field {
                0 => signal.r#type = item.text("/type", next)?.unwrap_or_default(),
                1 => signal.timestamp = item.timestamp(next)?,
                2 => signal.source_id = item.text("/sourceId", next)?,
                3 => signal.idempotency_key = item.text("/idempotencyKey", next)?,
                4 => signal.anonymous_id = item.text("/anonymousId", next)?,
                5 => signal.actor = item.actor(next)?,
                6 => signal.account = item.account(next)?,
                _ => signal.metadata = item.metadata(next)?,
            }
            Ok(())
        })?;
        Ok(signal)
    }

    fn actor(&mut self, next: Next) -> Result<Option<Actor>, Malformed> {
        if !self.is_object("/actor", next)? {
            return Ok(None);
        }
        let mut actor = Actor::default();
        self.fields("/actor", ACTOR, |item, field, next| {
            let slot = match field {
                0 => &mut actor.email,
                1 => &mut actor.github,
                2 => &mut actor.npm,
                3 => &mut actor.pypi,
                4 => &mut actor.twitter,
                5 => &mut actor.linkedin,
                6 => &mut actor.user_id,
                7 => &mut actor.name,
                8 => &mut actor.title,
                9 => &mut actor.company,
                10 => &mut actor.ip,
                11 => &mut actor.phone,
                _ => &mut actor.avatar_url,
            };
            *slot = item.text_of("/actor", ACTOR[field], next)?;
            Ok(())
        })?;
        Ok(Some(actor))
    }

    fn account(&mut self, next: Next) -> Result<Option<AccountHint>, Malformed> {
        if !self.is_object("/account", next)? {
            return Ok(None);
        }
        let mut account = AccountHint::default();
        self.fields("/account", ACCOUNT, |item, field, next| {
            let slot = match field {
                0 => &mut account.domain,
                1 => &mut account.name,
                2 => &mut account.github_org,
                3 => {
                    account.employees = item.whole("/account/employees", next)?;
                    return Ok(());
                }
                4 => &mut account.industry,
                5 => &mut account.country,
                _ => &mut account.funding_stage,
            };
            *slot = item.text_of("/account", ACCOUNT[field], next)?;
            Ok(())
        })?;
        Ok(Some(account))
    }

    fn metadata(&mut self, next: Next) -> Result<Option<prost_types::Struct>, Malformed> {
        if !self.is_object("/metadata", next)? {
            return Ok(None);
        }
        let mut free = FreeForm {
            reader: self.reader,
            spoiled: None,
        };
        let data = free.object(2)?;
        if let Some((pointer, fault)) = free.spoiled {
            self.fault(format!("/metadata{pointer}"), fault);
        }
        Ok(Some(data))
    }

    /// Reads the members of an object that was looked at but not entered.
    fn fields(
        &mut self,
        prefix: &str,
        names: &[&str],
        mut read: impl FnMut(&mut Self, usize, Next) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let find = |key: &str| {
            names
                .iter()
                .position(|name| *name == key)
                .map_or_else(|| Field::Unknown(key.to_owned()), Field::Known)
        };
        let (mut seen, mut strangers) = (0_u32, HashSet::new());
        let mut first = true;
        while let Some(field) = self.reader.key(first, find)? {
            first = false;
            let next = self.reader.peek()?;
            let twice = match &field {
                Field::Known(index) => seen & (1 << index) != 0,
                Field::Unknown(key) => strangers.contains(key),
            };
            if twice {
                return Err(self.reader.malformed("a key stands twice in one object"));
            }
            match field {
                Field::Known(index) => {
                    seen |= 1 << index;
                    read(self, index, next)?;
                }
                Field::Unknown(key) => {
                    let level = if prefix.is_empty() { 2 } else { 3 };
                    self.skip(next, level)?;
                    self.unknown(prefix, &key, names);
                    strangers.insert(key);
                }
            }
        }
        Ok(())
    }

    /// Passes over a value that is not wanted, strictly.
    fn skip(&mut self, next: Next, level: usize) -> Result<Spoiled, Malformed> {
        let mut free = FreeForm {
            reader: self.reader,
            spoiled: None,
        };
        free.value(next, level)?;
        Ok(free.spoiled)
    }

    fn is_object(&mut self, pointer: &str, next: Next) -> Result<bool, Malformed> {
        match next {
            Next::Object => Ok(true),
            Next::Null if !pointer.is_empty() => self.reader.null().map(|()| false),
            other => self.wrong_type(pointer, other, "an object").map(|()| false),
        }
    }

    fn text_of(&mut self, prefix: &str, name: &str, next: Next) -> Result<Option<String>, Malformed> {
        match next {
            Next::String => self.reader.text().map(Some),
            Next::Null => self.reader.null().map(|()| None),
            other => self
                .wrong_type(&format!("{prefix}/{name}"), other, "a string")
                .map(|()| None),
        }
    }

    fn text(&mut self, pointer: &str, next: Next) -> Result<Option<String>, Malformed> {
        self.text_of("", &pointer[1..], next)
    }

    fn timestamp(&mut self, next: Next) -> Result<Option<prost_types::Timestamp>, Malformed> {
        let Some(text) = self.text("/timestamp", next)? else {
            return Ok(None);
        };
        match time::parse_rfc3339(&text) {
            Ok(at) => Ok(Some(convert::timestamp(at))),
            Err(message) => {
                self.fault(
                    "/timestamp".to_owned(),
                    Fault {
                        code: "invalid_timestamp",
                        message,
                    },
                );
                Ok(None)
            }
        }
    }

    fn whole(&mut self, pointer: &str, next: Next) -> Result<Option<i64>, Malformed> {
        let digits = match next {
            Next::Number(peek) => self.reader.number(peek)?,
            Next::Null => return self.reader.null().map(|()| None),
            other => return self.wrong_type(pointer, other, "a whole number").map(|()| None),
        };
        let is_whole = digits.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let fault = match digits.parse::<i64>() {
            Ok(whole) => return Ok(Some(whole)),
            Err(_) if is_whole => Fault {
                code: "out_of_range",
                message: "is too large".to_owned(),
            },
            Err(_) => Fault {
                code: "wrong_type",
                message: "must be a whole number".to_owned(),
            },
        };
        self.fault(pointer.to_owned(), fault);
        Ok(None)
    }

    fn wrong_type(&mut self, pointer: &str, found: Next, wanted: &str) -> Result<(), Malformed> {
        let level = 1 + pointer.bytes().filter(|b| *b == b'/').count();
        self.skip(found, level)?;
        let message = format!("must be {wanted}, not {}", found.name());
        self.fault(
            pointer.to_owned(),
            Fault {
                code: "wrong_type",
                message,
            },
        );
        Ok(())
    }

    fn unknown(&mut self, prefix: &str, key: &str, names: &[&str]) {
        let message = format!("is not a known field; allowed are {}", names.join(", "));
        self.fault(
            format!("{prefix}/{}", escape(key)),
            Fault {
                code: "unknown_field",
                message,
            },
        );
    }

    fn fault(&mut self, pointer: String, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults
                .push(FieldError::new(pointer, fault.code, fault.message));
        }
    }
}
