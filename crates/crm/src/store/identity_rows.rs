//! Rows of `contact_identities`.

use std::collections::HashMap;

use ::store::{OrgScope, Tx};
use ids::ContactId;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::contact::Contact;
use crate::domain::identity::{Identity, ToldIdentity};
use crate::error::CrmError;

#[derive(Debug, FromRow)]
struct IdentityRow {
    contact_id: Uuid,
    told_by: Uuid,
    position: i32,
    r#type: String,
    value: String,
    verified: bool,
    confidence: f64,
}

/// Reads the identities of all `contacts` with one statement.
pub(super) async fn fill(tx: &mut Tx, scope: &OrgScope, contacts: &mut [Contact]) -> Result<(), CrmError> {
    let ids: Vec<Uuid> = contacts.iter().map(|contact| contact.id.uuid()).collect();
    let rows: Vec<IdentityRow> = sqlx::query_as(
        "SELECT contact_id, told_by, position, type, value, verified, confidence FROM contact_identities \
         WHERE org_id = $1 AND contact_id = ANY($2) ORDER BY contact_id, told_by, position",
    )
    .bind(scope.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut by_contact: HashMap<Uuid, Vec<ToldIdentity>> = HashMap::new();
    for row in rows {
        let IdentityRow {
            contact_id,
            told_by,
            position,
            r#type,
            value,
            verified,
            confidence,
        } = row;
        let identity = Identity {
            kind: r#type,
            value,
            verified,
            confidence,
        };
        by_contact.entry(contact_id).or_default().push(ToldIdentity {
            told_by: ContactId(told_by),
            position,
            identity,
        });
    }
    for contact in contacts {
        contact.identities = by_contact.remove(&contact.id.uuid()).unwrap_or_default();
    }
    Ok(())
}

/// Writes the list that `told_by` was told to have, as it stands in `contact`, in place of the one before.
pub(super) async fn replace(
    tx: &mut Tx,
    scope: &OrgScope,
    contact: &Contact,
    told_by: ContactId,
) -> Result<(), CrmError> {
    let list: Vec<&ToldIdentity> = contact
        .identities
        .iter()
        .filter(|told| told.told_by == told_by)
        .collect();
    sqlx::query("DELETE FROM contact_identities WHERE org_id = $1 AND told_by = $2")
        .bind(scope.uuid())
        .bind(told_by.uuid())
        .execute(&mut **tx)
        .await?;
    if list.is_empty() {
        return Ok(());
    }
    let column = |get: fn(&ToldIdentity) -> &str| list.iter().map(|told| get(told)).collect::<Vec<&str>>();
    sqlx::query(
        "INSERT INTO contact_identities (org_id, told_by, contact_id, position, type, value, verified, confidence) \
         SELECT $1, $2, $3, * FROM unnest($4::int[], $5::text[], $6::text[], $7::boolean[], $8::float8[])",
    )
    .bind(scope.uuid())
    .bind(told_by.uuid())
    .bind(contact.id.uuid())
    .bind(list.iter().map(|told| told.position).collect::<Vec<i32>>())
    .bind(column(|told| &told.identity.kind))
    .bind(column(|told| &told.identity.value))
    .bind(list.iter().map(|told| told.identity.verified).collect::<Vec<bool>>())
    .bind(list.iter().map(|told| told.identity.confidence).collect::<Vec<f64>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives all identities of one contact to another.
pub(super) async fn hand_over(
    tx: &mut Tx,
    scope: &OrgScope,
    from: ContactId,
    into: ContactId,
) -> Result<(), CrmError> {
    sqlx::query("UPDATE contact_identities SET contact_id = $3 WHERE org_id = $1 AND contact_id = $2")
        .bind(scope.uuid())
        .bind(from.uuid())
        .bind(into.uuid())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
