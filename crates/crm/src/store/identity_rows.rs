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

/// The list that somebody was told to have, as it stands in a contact.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'c> {
    /// The contact.
    pub(super) contact: &'c Contact,
    /// Of whom the list was told.
    pub(super) told_by: ContactId,
    /// Whether there was no list of theirs before.
    pub(super) is_new: bool,
}

/// Writes the list that `told_by` was told to have, as it stands in `contact`, in place of the one before.
pub(super) async fn replace(
    tx: &mut Tx,
    scope: &OrgScope,
    contact: &Contact,
    told_by: ContactId,
) -> Result<(), CrmError> {
    let list = List {
        contact,
        told_by,
        is_new: false,
    };
    replace_many(tx, scope, &[list]).await
}

/// As [`replace`], of many lists, each of another person.
pub(super) async fn replace_many(tx: &mut Tx, scope: &OrgScope, lists: &[List<'_>]) -> Result<(), CrmError> {
    let known = lists.iter().filter(|list| !list.is_new);
    let known: Vec<Uuid> = known.map(|list| list.told_by.uuid()).collect();
    if !known.is_empty() {
        sqlx::query("DELETE FROM contact_identities WHERE org_id = $1 AND told_by = ANY($2)")
            .bind(scope.uuid())
            .bind(known)
            .execute(&mut **tx)
            .await?;
    }
    let rows: Vec<(Uuid, &ToldIdentity)> = lists
        .iter()
        .flat_map(|list| {
            let (of, by) = (list.contact.id.uuid(), list.told_by);
            let told = list.contact.identities.iter();
            told.filter(move |told| told.told_by == by)
                .map(move |told| (of, told))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(rows: &[(Uuid, &'a ToldIdentity)], get: impl Fn(&'a ToldIdentity) -> T) -> Vec<T> {
        rows.iter().map(|(_, told)| get(told)).collect()
    }
    sqlx::query(
        "INSERT INTO contact_identities (org_id, told_by, contact_id, position, type, value, verified, confidence) \
         SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::boolean[], $8::float8[])",
    )
    .bind(scope.uuid())
    .bind(column(&rows, |told| told.told_by.uuid()))
    .bind(rows.iter().map(|(of, _)| *of).collect::<Vec<Uuid>>())
    .bind(column(&rows, |told| told.position))
    .bind(column(&rows, |told| told.identity.kind.as_str()))
    .bind(column(&rows, |told| told.identity.value.as_str()))
    .bind(column(&rows, |told| told.identity.verified))
    .bind(column(&rows, |told| told.identity.confidence))
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
