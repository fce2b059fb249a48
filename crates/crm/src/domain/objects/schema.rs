//! A field of a custom object.

use serde::{Deserialize, Serialize};

use crate::domain::custom::Rule;
use crate::domain::extras::Object;

/// What a reference refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Target {
    /// An account, a contact or a deal.
    Known(Object),
    /// A record of the custom object of this key.
    Custom(String),
}

impl From<String> for Target {
    fn from(name: String) -> Self {
        Object::parse(&name).map_or(Self::Custom(name), Self::Known)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        match target {
            Target::Known(object) => object.name().to_owned(),
            Target::Custom(key) => key,
        }
    }
}

/// A field of a custom object, as it is stored in the object's fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// What values can be.
    pub rule: Rule,
    /// What a reference refers to.
    pub target: Option<Target>,
}
