//! On whose behalf a call is made.

use ids::{ApiKeyId, OrgId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// A program, by an API key.
    ApiKey(ApiKeyId),
    /// A person.
    User(Uuid),
    /// One of our own services, on its own behalf.
    System(String),
}

/// What the actor may do in the organization, in falling order; [`Role::System`] stands outside of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Everything, also to end the organization.
    Owner,
    /// Everything but to end the organization.
    Admin,
    /// Reads and writes records.
    Member,
    /// Reads.
    Viewer,
    /// Calls between our own services.
    System,
}

/// The verified identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The organization; absent for calls that serve several.
    pub org: Option<OrgId>,
    /// Who acts.
    pub actor: Actor,
    /// In which role.
    pub role: Role,
    /// What an API key is limited to (`signals:write`, …); empty means no further limit than the role.
    pub scopes: Vec<String>,
}

impl Principal {
    /// One of our own services, acting for no organization in particular.
    #[must_use]
    pub fn system(service: &str) -> Self {
        Self {
            org: None,
            actor: Actor::System(service.to_owned()),
            role: Role::System,
            scopes: Vec::new(),
        }
    }
}
