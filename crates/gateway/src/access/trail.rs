//! What the access services tell the audit log themselves: calls of public methods have no organization before they are done.

use ids::{Clock, IdGen};
use serde_json::{Value, json};
use sqlx::Row as _;
use store::Tx;
use tonic::Request;
use uuid::Uuid;

use super::parts::{Api, Fault, address};
use crate::audit::{Note, note};

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(super) struct Whence {
    pub(super) address: String,
    pub(super) request_id: String,
}

impl Whence {
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let caller = rpc::caller(request);
        Self {
            address: address(request),
            request_id: caller.map(|c| c.request_id().to_owned()).unwrap_or_default(),
        }
    }
}

/// What a person did.
pub(super) struct Deed<'a> {
    pub(super) org: Uuid,
    pub(super) user: Uuid,
    pub(super) role: &'a str,
    /// `Register`, of `AuthService`.
    pub(super) method: &'a str,
    /// What was made, if anything.
    pub(super) made: Option<(&'a str, Value)>,
}

impl Api {
    /// Notes what a person did, with the transaction that does it.
    pub(super) async fn note(&self, tx: &mut Tx, deed: Deed<'_>, whence: &Whence) -> Result<(), Fault> {
        let (record, after) = match deed.made {
            Some((id, after)) => (Some(id.to_owned()), Some(after)),
            None => (None, None),
        };
        let action = format!("access.v1.{}", deed.method);
        let entry = Note {
            id: self.0.ids.next(),
            at: self.0.clock.now(),
            org: deed.org,
            actor: ("user", deed.user.to_string()),
            role: deed.role,
            action: &action,
            resource: if deed.method.starts_with("AuthService") {
                "sessions"
            } else {
                "organization"
            },
            record,
            request: json!({}),
            after,
            from: (&whence.address, &whence.request_id),
        };
        note(tx, entry).await?;
        Ok(())
    }

    /// Notes what a person did to themselves, in every organization that they are in.
    pub(super) async fn note_everywhere(
        &self,
        tx: &mut Tx,
        user: Uuid,
        method: &str,
        whence: &Whence,
    ) -> Result<(), Fault> {
        let rows = sqlx::query("SELECT org_id, role FROM members WHERE id = $1 ORDER BY org_id LIMIT 1000")
            .bind(user)
            .fetch_all(&mut **tx)
            .await?;
        for row in rows {
            let deed = Deed {
                org: row.try_get("org_id")?,
                user,
                role: row.try_get("role")?,
                method,
                made: None,
            };
            self.note(tx, deed, whence).await?;
        }
        Ok(())
    }
}

/// Notes what the command line did.
pub(super) async fn note_command(
    tx: &mut Tx,
    (clock, ids): (&dyn Clock, &dyn IdGen),
    org: Uuid,
    (action, resource): (&str, &str),
    (record, after): (Uuid, Value),
) -> Result<(), store::StoreError> {
    let entry = Note {
        id: ids.next(),
        at: clock.now(),
        org,
        actor: ("system", "command line".to_owned()),
        role: "SYSTEM",
        action,
        resource,
        record: Some(record.to_string()),
        request: json!({}),
        after: Some(after),
        from: ("", ""),
    };
    note(tx, entry).await
}
