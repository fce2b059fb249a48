//! What crm knows about companies and persons, as values: how facts from events and changes by hand combine, whatever
//! order they arrive in.
//!
//! Owns every rule. Must not: touch the database, the bus, gRPC, the clock or randomness.

pub mod account;
pub mod checks;
pub mod contact;
mod contact_hand;
pub mod country;
pub mod custom;
pub mod custom_values;
pub mod deal;
pub mod edit;
pub mod extras;
pub mod identity;
pub mod objects;
pub mod score;
pub mod search;
pub mod text;
pub mod timeline;
pub mod transfer;
pub mod work;

/// The same instant in whole microseconds, as Postgres keeps it: what is told in an event equals what is read later.
#[must_use]
pub fn micros(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// What a change did to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<F> {
    /// Nothing that a reader can see.
    None,
    /// The record can be read from now on.
    Created,
    /// These fields have other values now.
    Updated(Vec<F>),
}

impl<F: PartialEq> Change<F> {
    /// This change and then another one, as one.
    #[must_use]
    pub fn and(self, then: Self) -> Self {
        match (self, then) {
            (Self::Created, _) | (_, Self::Created) => Self::Created,
            (Self::None, change) | (change, Self::None) => change,
            (Self::Updated(mut fields), Self::Updated(more)) => {
                for field in more {
                    if !fields.contains(&field) {
                        fields.push(field);
                    }
                }
                Self::Updated(fields)
            }
        }
    }
}

impl<F> Change<F> {
    /// The change of a visible record, `None` if `fields` is empty.
    fn of(fields: Vec<F>) -> Self {
        if fields.is_empty() {
            Self::None
        } else {
            Self::Updated(fields)
        }
    }
}
