//! On whose behalf a call is made.

use contracts::access::{Permission, Rule};
use errors::{ApiError, ErrorCode};
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
    /// Nobody known: a call of a public method without credentials.
    Nobody,
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
    /// None: nobody known, or a person who is in no organization.
    Guest,
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
    /// Nobody known.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            org: None,
            actor: Actor::Nobody,
            role: Role::Guest,
            scopes: Vec::new(),
        }
    }

    /// Whether role and scopes allow what a method's rule says. The one place where this is decided.
    ///
    /// # Errors
    /// `permission_denied`; `unauthenticated` for nobody.
    pub fn check(&self, rule: &Rule) -> Result<(), ApiError> {
        self.allows(rule.permission, rule.resource)
    }

    pub(crate) fn allows(&self, permission: Permission, resource: &str) -> Result<(), ApiError> {
        if self.may(permission) && self.in_scope(permission, resource) {
            return Ok(());
        }
        if self.actor == Actor::Nobody {
            return Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "send credentials as `Authorization: Bearer <key or token>`",
            ));
        }
        Err(ApiError::new(
            ErrorCode::PermissionDenied,
            "the credentials do not allow this",
        ))
    }

    fn may(&self, permission: Permission) -> bool {
        match (self.role, permission) {
            (Role::System, _) | (_, Permission::Public) => true,
            (_, Permission::System) => false,
            (_, Permission::Self_) => matches!(self.actor, Actor::User(_)),
            (Role::Guest, _) => false,
            (Role::Owner, _) => true,
            (Role::Admin, permission) => permission != Permission::Owner,
            (Role::Member, permission) => matches!(permission, Permission::Read | Permission::Write),
            (Role::Viewer, permission) => permission == Permission::Read,
        }
    }

    fn in_scope(&self, permission: Permission, resource: &str) -> bool {
        let verb = match permission {
            Permission::Public | Permission::Self_ | Permission::System => return true,
            Permission::Read => "read",
            Permission::Write => "write",
            Permission::Admin | Permission::Owner => "admin",
        };
        self.scopes.is_empty()
            || self.scopes.iter().any(|scope| {
                scope
                    .split_once(':')
                    .is_some_and(|(r, v)| (r == resource || r == "*") && (v == verb || v == "*"))
            })
    }

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
