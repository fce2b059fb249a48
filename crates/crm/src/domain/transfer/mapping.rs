//! What is to become of the columns of a file.

use std::collections::{BTreeMap, HashMap};

use errors::FieldError;
use serde::{Deserialize, Serialize};

use super::layout::fields;
use crate::domain::custom::Definition;
use crate::domain::extras::Object;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub header: String,
    /// The field it is for.
    pub field: Option<String>,
    /// Its first cells.
    pub samples: Vec<String>,
}

/// The order of a date such as `03/04/2026`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// Month first.
    #[default]
    Mdy,
    /// Day first.
    Dmy,
}

impl DateOrder {
    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mdy => "mdy",
            Self::Dmy => "dmy",
        }
    }

    /// The order of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Mdy, Self::Dmy]
            .into_iter()
            .find(|order| order.name() == name)
    }
}

/// How values are read and what may be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Order of dates.
    pub date_order: DateOrder,
    /// Whether accounts that rows name are made.
    pub create_accounts: bool,
    /// Whether public events are told.
    pub tell_events: bool,
}

/// Checks a mapping: known fields, each once.
///
/// # Errors
/// Everything that is wrong, at `/columns/<index>/field`.
pub fn check(
    object: Object,
    columns: &[Column],
    own: &BTreeMap<String, Definition>,
) -> Result<(), Vec<FieldError>> {
    let mut problems = Vec::new();
    let mut taken: HashMap<&str, usize> = HashMap::new();
    for (index, column) in columns.iter().enumerate() {
        let Some(field) = column.field.as_deref() else {
            continue;
        };
        let pointer = format!("/columns/{index}/field");
        let known = match field.strip_prefix("custom.") {
            Some(key) => own.contains_key(key),
            None => fields(object).contains(&field),
        };
        if !known {
            let message = format!("a {} has no field {field}", object.name());
            problems.push(FieldError::new(pointer, "unknown_field", message));
        } else if let Some(first) = taken.insert(field, index) {
            let message = format!("column {first} is for {field} already");
            problems.push(FieldError::new(pointer, "repeated", message));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// The columns that are used, by field.
#[derive(Debug, Clone)]
pub struct Mapping {
    places: HashMap<String, usize>,
    own: Vec<(String, usize)>,
    width: usize,
    /// How values are read.
    pub options: Options,
}

impl Mapping {
    /// The mapping of these columns.
    #[must_use]
    pub fn new(columns: &[Column], options: Options) -> Self {
        let mut places = HashMap::new();
        let mut own = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let Some(field) = &column.field else { continue };
            places.insert(field.clone(), index);
            if let Some(key) = field.strip_prefix("custom.") {
                own.push((key.to_owned(), index));
            }
        }
        Self {
            places,
            own,
            width: columns.len(),
            options,
        }
    }

    /// The column of a field.
    #[must_use]
    pub fn place(&self, field: &str) -> Option<usize> {
        self.places.get(field).copied()
    }

    /// Own fields by key, with their columns.
    pub fn own(&self) -> impl Iterator<Item = (&str, usize)> {
        self.own.iter().map(|(key, index)| (key.as_str(), *index))
    }

    /// How many columns a row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }
}
