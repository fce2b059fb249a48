//! The audit log: every write that is asked for, by whatever interface, and what became of it.
//!
//! Owns: the tables `audit_entries` and `audit_outcomes`. An entry is committed before the service is asked, its outcome
//! after the answer: a crash between leaves an entry without an outcome, and never a write without an entry. Must not:
//! hold a secret; change or delete what it holds.

mod before;
mod note;
mod redact;

pub(crate) use note::{Note, note};

use std::sync::Arc;

use bytes::Bytes;
use contracts::access::{Permission, rule_of};
use errors::{ApiError, ErrorCode};
use ids::{Clock, IdGen, OrgId};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use rpc::{Actor, Principal};
use serde_json::Value;
use store::{Db, OrgScope, StoreError, ToSqlx as _};
use uuid::Uuid;

use crate::backends::Backends;
use crate::contract::Contract;
use crate::error::StartError;
use crate::home::Home;
use crate::transcode::Routes;
use before::Befores;
use redact::{record_of, told};

/// Writes the log. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    db: Db,
    home: Home,
    pool: DescriptorPool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    befores: Befores,
}

/// A write, before it is asked for.
pub struct Asked<'a> {
    /// `/package.Service/Method`.
    pub method: &'a str,
    /// Who.
    pub principal: &'a Principal,
    /// The client's request.
    pub request_id: &'a str,
    /// The client's address.
    pub address: &'a str,
    /// The encoded request.
    pub message: &'a Bytes,
}

/// An entry whose outcome is to come.
pub struct Open {
    audit: Audit,
    org: OrgId,
    id: Uuid,
    output: Option<MessageDescriptor>,
}

impl Audit {
    /// A log in this schema.
    ///
    /// # Errors
    /// The contract does not hold together.
    pub fn new(
        db: Db,
        home: Home,
        contract: &Contract,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
    ) -> Result<Self, StartError> {
        let pool = contract.pool().clone();
        Ok(Self(Arc::new(Inner {
            befores: Befores::new(&pool, &Routes::new(contract)?),
            db,
            home,
            pool,
            clock,
            ids,
        })))
    }

    /// Whether calls of a method are kept: writes; signals aside, which are kept whole elsewhere, and
    /// positions in the events, which change no record.
    #[must_use]
    pub fn keeps(method: &str, principal: &Principal) -> bool {
        let rule = rule_of(method);
        principal.org.is_some()
            && rule.is_some_and(|rule| match rule.permission {
                Permission::Write | Permission::Admin | Permission::Owner | Permission::Self_ => {
                    !matches!(rule.resource, "signals" | "event_positions") && !reads(method)
                }
                Permission::Public | Permission::Read | Permission::System => false,
            })
    }

    /// Keeps an entry, if calls of the method are kept. Only after that may the service be asked.
    ///
    /// # Errors
    /// `unavailable`: the log cannot be written, so nothing may be changed.
    pub async fn open(&self, asked: Asked<'_>, backends: &Backends) -> Result<Option<Open>, ApiError> {
        let (Some(org), true) = (asked.principal.org, Self::keeps(asked.method, asked.principal)) else {
            return Ok(None);
        };
        let (actor_type, actor_id) = match &asked.principal.actor {
            Actor::User(id) => ("user", id.to_string()),
            Actor::ApiKey(id) => ("api_key", id.to_string()),
            Actor::System(name) => ("system", name.clone()),
            Actor::Nobody => ("nobody", String::new()),
        };
        let types = self.types(asked.method);
        let request = types
            .as_ref()
            .map_or(Value::Null, |(input, _)| told(input, asked.message));
        let befores = &self.0.befores;
        let before = match &types {
            Some((input, _)) => {
                let what = (asked.method, asked.request_id);
                Box::pin(befores.read(backends, org, what, input, asked.message)).await
            }
            None => None,
        };
        let role = serde_json::to_value(asked.principal.role).unwrap_or_default();
        let (id, now) = (self.0.ids.next(), self.0.clock.now().to_sqlx());
        let action = asked.method.trim_start_matches("/devsignal.").to_owned();
        let resource = rule_of(asked.method).map_or("", |rule| rule.resource);
        let record = befores.names(asked.method).and_then(|name| request.get(name));
        let record = record.and_then(Value::as_str).map(str::to_owned);
        let address = asked.address.to_owned();
        let (request_id, db) = (asked.request_id.to_owned(), self.0.db.clone());
        let work = async move {
            let mut tx = db.begin(&OrgScope::new(org)).await?;
            sqlx::query(
                "INSERT INTO audit_entries (org_id, id, created_at, actor_type, actor_id, role, action, resource, \
                 record_id, request, address, request_id, before) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)",
            )
            .bind(org.uuid())
            .bind(id)
            .bind(now)
            .bind(actor_type)
            .bind(actor_id)
            .bind(role.as_str().unwrap_or_default())
            .bind(action)
            .bind(resource)
            .bind(record)
            .bind(request)
            .bind(address)
            .bind(request_id)
            .bind(before)
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        };
        self.stored(work).await?;
        Ok(Some(Open {
            audit: self.clone(),
            org,
            id,
            output: types.map(|(_, output)| output),
        }))
    }

    async fn stored(
        &self,
        work: impl Future<Output = Result<(), StoreError>> + Send + 'static,
    ) -> Result<(), ApiError> {
        let done = self.0.home.run("audit", work).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "the audit log cannot be written");
                Err(ApiError::unavailable(
                    "changes cannot be recorded just now, so none are made",
                ))
            }
            Err(_) => Err(ApiError::internal()),
        }
    }

    fn types(&self, method: &str) -> Option<(MessageDescriptor, MessageDescriptor)> {
        let (service, name) = method.strip_prefix('/')?.split_once('/')?;
        let service = self.0.pool.get_service_by_name(service)?;
        let method = service.methods().find(|m| m.name() == name)?;
        Some((method.input(), method.output()))
    }
}

impl Open {
    /// Keeps what became of it. A failure to do so is logged: the entry stays without an outcome.
    pub async fn close(self, answer: Result<&Bytes, ErrorCode>) {
        let outcome = answer.map_or_else(ErrorCode::as_str, |_| "ok");
        let after = match (answer, &self.output) {
            (Ok(bytes), Some(output)) => Some(told(output, bytes)),
            _ => None,
        };
        let record = after.as_ref().and_then(record_of);
        let (db, now) = (self.audit.0.db.clone(), self.audit.0.clock.now().to_sqlx());
        let (org, id) = (self.org, self.id);
        let work = async move {
            let mut tx = db.begin(&OrgScope::new(org)).await?;
            sqlx::query(
                "INSERT INTO audit_outcomes (org_id, id, created_at, outcome, record_id, after) VALUES ($1,$2,$3,$4,$5,$6)",
            )
            .bind(org.uuid())
            .bind(id)
            .bind(now)
            .bind(outcome)
            .bind(record)
            .bind(after)
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        };
        // The reason was logged.
        drop(self.audit.stored(work).await);
    }
}

fn reads(method: &str) -> bool {
    let name = method.rsplit('/').next().unwrap_or_default();
    ["Get", "List", "BatchGet", "BatchList"]
        .iter()
        .any(|word| name.starts_with(word))
}
