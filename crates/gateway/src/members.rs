//! Whom a record is given to: a field of a request with the option `(devsignal.options.v1.member)` names a member of the
//! caller's organization, or the write is refused before a service is asked.
//!
//! Here and not in the services: only the gateway knows members, and what it knows is so at this moment. A member who
//! leaves later stays named on records.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use errors::{ApiError, FieldError};
use ids::OrgId;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, Kind, MessageDescriptor, Value};
use store::{Db, OrgScope, StoreError};
use uuid::Uuid;

use crate::contract::Contract;
use crate::error::StartError;
use crate::home::Home;

/// Messages in messages that are looked into: a batch has requests, a request has fields.
const DEPTH: usize = 3;

/// Looks members up. Cheap to clone.
#[derive(Clone)]
pub struct Members(Arc<Inner>);

struct Inner {
    db: Db,
    home: Home,
    /// The requests that name members, by `/package.Service/Method`.
    requests: HashMap<String, MessageDescriptor>,
    option: ExtensionDescriptor,
}

/// A user that a request names: where, and whom.
type Named = (String, Uuid);

impl Members {
    /// Members of this schema.
    ///
    /// # Errors
    /// The contract does not hold together.
    pub fn new(db: Db, home: Home, contract: &Contract) -> Result<Self, StartError> {
        let pool = contract.pool();
        let option = pool
            .get_extension_by_name("devsignal.options.v1.member")
            .ok_or_else(|| StartError::Descriptors("devsignal.options.v1.member is missing".to_owned()))?;
        let requests = requests(pool, &option);
        Ok(Self(Arc::new(Inner {
            db,
            home,
            requests,
            option,
        })))
    }

    /// Refuses a request that names somebody who is no member.
    ///
    /// # Errors
    /// `invalid_argument` with the pointer of each, or `unavailable` when it cannot be looked up.
    pub async fn check(&self, method: &str, org: Option<OrgId>, message: &Bytes) -> Result<(), ApiError> {
        let (Some(org), Some(request)) = (org, self.0.requests.get(method)) else {
            return Ok(());
        };
        // What cannot be read is refused by the service.
        let Ok(request) = DynamicMessage::decode(request.clone(), message.clone()) else {
            return Ok(());
        };
        let mut named = Vec::new();
        collect(&request, &self.0.option, "", &mut named);
        if named.is_empty() {
            return Ok(());
        }
        let known = self.known(org, named.iter().map(|(_, user)| *user).collect());
        let known = known.await.map_err(|error| {
            tracing::warn!(%error, "members cannot be looked up");
            ApiError::unavailable("members cannot be looked up just now; nothing was changed")
        })?;
        let strangers: Vec<FieldError> = named
            .into_iter()
            .filter(|(_, user)| !known.contains(user))
            .map(|(pointer, user)| {
                let message =
                    format!("{user} is no member of the organization; GET /api/v1/members lists them");
                FieldError::new(pointer, "not_a_member", message)
            })
            .collect();
        if strangers.is_empty() {
            return Ok(());
        }
        Err(ApiError::fields(strangers))
    }

    async fn known(&self, org: OrgId, users: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let db = self.0.db.clone();
        let section = async move {
            let mut tx = db.begin(&OrgScope::new(org)).await?;
            let known = sqlx::query_scalar("SELECT id FROM members WHERE org_id = $1 AND id = ANY ($2)")
                .bind(org.uuid())
                .bind(users)
                .fetch_all(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(known)
        };
        let run = self.0.home.run("members", section).await;
        run.unwrap_or_else(|_| Err(StoreError::Misuse("the look-up of members ended".to_owned())))
    }
}

fn requests(pool: &DescriptorPool, option: &ExtensionDescriptor) -> HashMap<String, MessageDescriptor> {
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .filter(|method| names_members(&method.input(), option, DEPTH))
        .map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            (path, method.input())
        })
        .collect()
}

fn names_members(message: &MessageDescriptor, option: &ExtensionDescriptor, depth: usize) -> bool {
    message.fields().any(|field| match field.kind() {
        Kind::String => field.options().has_extension(option),
        Kind::Message(inner) if depth > 0 => names_members(&inner, option, depth - 1),
        _ => false,
    })
}

/// The users that a message names. An empty text takes an owner away; one that is no id is refused by the service.
fn collect(message: &DynamicMessage, option: &ExtensionDescriptor, at: &str, named: &mut Vec<Named>) {
    for (field, value) in message.fields() {
        let at = format!("{at}/{}", field.json_name());
        match value {
            Value::String(text) if field.options().has_extension(option) => {
                named.extend(text.parse().ok().map(|user| (at, user)));
            }
            Value::Message(inner) => collect(inner, option, &at, named),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Message(inner) = item {
                        collect(inner, option, &format!("{at}/{index}"), named);
                    }
                }
            }
            _ => {}
        }
    }
}
